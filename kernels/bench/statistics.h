// Order statistics of a handful of timings: robust, because a shared machine adds time to some of
// them and never takes time away.
#pragma once

#include <cstdint>
#include <vector>

namespace sparseserve::bench {

struct Summary {
  std::int64_t num_samples = 0;
  double median = 0;
  double lower_quartile = 0;
  double upper_quartile = 0;
  // The 95 % confidence interval of the median. Free of any distribution: it ends at two order
  // statistics, whose ranks follow from the binomial law (its normal approximation). With fewer
  // than six samples it is the whole range, which then covers less than 95 %.
  double median_low = 0;
  double median_high = 0;
};

// All zero for an empty sample.
Summary Summarize(std::vector<double> samples);

// The q-quantile, 0 <= q <= 1, interpolated linearly. REQUIRES: sorted, not empty.
double QuantileOfSorted(const std::vector<double>& sorted, double q);

// How much slower the slowest round was than the fastest: rounds[r] are the times of all points in
// round r, each over that point's median of all rounds. A round counts with its median, so one
// outlier moves nothing. 0 with fewer than two rounds.
double DriftOfRounds(const std::vector<std::vector<double>>& rounds);

}  // namespace sparseserve::bench
