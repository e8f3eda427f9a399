// Exact statistics of a sample, with the definitions of numpy and of vLLM's benchmark.
#pragma once

#include <cstdint>
#include <deque>
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

// The mean of all but the largest twentieth (rounded down); 0 for an empty sample. For times that
// make up sums, less the rare ones in which something else ran.
double TrimmedMean(std::vector<double> values);

// A sample in which equal values come in a row: all requests of a batch have the same gap between
// two tokens. Keeps 8 bytes a run.
class RunLengthSample {
 public:
  struct Run {
    float value;
    std::uint32_t count;
  };

  void Add(float value) {
    if (runs_.empty() || runs_.back().value != value || runs_.back().count == ~std::uint32_t{0})
      runs_.push_back({value, 0});
    ++runs_.back().count;
    ++size_;
  }
  // The sample less its first `count` values. REQUIRES: count <= size().
  RunLengthSample Without(std::int64_t count) const;
  std::int64_t size() const { return size_; }
  const std::deque<Run>& runs() const { return runs_; }

 private:
  std::deque<Run> runs_;  // in order of Add; a vector would hold all twice when it grows
  std::int64_t size_ = 0;
};

// As for the values one by one, to the last bit. O(size) additions, O(runs) otherwise.
SampleStatistics Summarize(const RunLengthSample& sample);

}  // namespace sparseserve
