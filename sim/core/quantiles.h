// Exact statistics of a sample, with the definitions of numpy and of vLLM's benchmark.
#pragma once

#include <vector>

namespace sparseserve {

struct SampleStatistics {
  double mean = 0;
  double median = 0;
  double std = 0;  // of the population (ddof 0), as vLLM reports it
  double p95 = 0;
  double p99 = 0;
  double max = 0;
};

// The q-quantile (0 <= q <= 1) by linear interpolation between order statistics (numpy's default,
// type 7). Reorders `values`; expected O(size). Returns 0 for an empty sample.
double Quantile(std::vector<float>& values, double q);

// All of the above in one go; every field is 0 for an empty sample. Sums run in index order and in
// double, so the result is reproducible. Reorders `values` after summing.
SampleStatistics Summarize(std::vector<float>& values);

}  // namespace sparseserve
