// What a few runs with different seeds say about a mean: Student's t, the only place that uses it.
//
// Runs of one system with different seeds are independent draws. Two systems that are run with the
// same seeds meet the same requests and selections (common random numbers), so most of the spread
// cancels in the differences of one seed, and the interval of their mean is the one to look at. The
// interval assumes that means are about normal; with three or four samples it is wide, as it has
// to be.
#pragma once

#include <span>

namespace sparseserve::plan {

// A mean and its two-sided confidence interval. Fewer than two samples say nothing about the
// spread: then low is -infinity and high +infinity.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;

  // Zero lies outside: a difference of this size is not the luck of the seeds.
  bool ExcludesZero() const { return low > 0 || high < 0; }
};

// The mean of `samples` with the interval mean +- t s / sqrt(n), where s has n - 1 in its divisor.
// The mean of no sample is 0. REQUIRES: 0 < confidence < 1.
Interval MeanInterval(std::span<const double> samples, double confidence = 0.95);

// The interval of the mean of other[i] - base[i]. REQUIRES: as many samples in both, sample i of
// both from the same seed.
Interval PairedDifference(std::span<const double> base, std::span<const double> other,
                          double confidence = 0.95);

}  // namespace sparseserve::plan
