#include "sim/core/quantiles.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sparseserve {

double Quantile(std::vector<float>& values, double q) {
  if (values.empty()) return 0;
  const double rank = q * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<std::ptrdiff_t>(std::floor(rank));
  std::nth_element(values.begin(), values.begin() + lower, values.end());
  const double low = values[static_cast<std::size_t>(lower)];
  if (static_cast<std::size_t>(lower) + 1 == values.size()) return low;
  const double high = *std::min_element(values.begin() + lower + 1, values.end());
  return low + (high - low) * (rank - static_cast<double>(lower));
}

SampleStatistics Summarize(std::vector<float>& values) {
  SampleStatistics s;
  if (values.empty()) return s;
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const float v : values) sum += v;
  s.mean = sum / count;
  double squares = 0;
  for (const float v : values) squares += (v - s.mean) * (v - s.mean);
  s.std = std::sqrt(squares / count);
  s.median = Quantile(values, 0.5);
  s.p95 = Quantile(values, 0.95);
  s.p99 = Quantile(values, 0.99);
  s.max = *std::max_element(values.begin(), values.end());
  return s;
}

double TrimmedMean(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  values.resize(values.size() - values.size() / 20);
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

namespace {

// The order statistic of `rank`. REQUIRES: runs sorted by value.
double AtRank(const std::vector<RunLengthSample::Run>& runs, std::int64_t rank) {
  for (const RunLengthSample::Run& run : runs) {
    if (rank < run.count) return run.value;
    rank -= run.count;
  }
  return runs.back().value;
}

double Quantile(const std::vector<RunLengthSample::Run>& sorted, std::int64_t size, double q) {
  const double rank = q * static_cast<double>(size - 1);
  const auto lower = static_cast<std::int64_t>(std::floor(rank));
  const double low = AtRank(sorted, lower);
  if (lower + 1 == size) return low;
  return low + (AtRank(sorted, lower + 1) - low) * (rank - static_cast<double>(lower));
}

}  // namespace

RunLengthSample RunLengthSample::Without(std::int64_t count) const {
  RunLengthSample rest;
  rest.size_ = size_ - count;
  for (const Run& run : runs_) {
    const std::int64_t skipped = std::min<std::int64_t>(count, run.count);
    count -= skipped;
    if (skipped < run.count)
      rest.runs_.push_back({run.value, run.count - static_cast<std::uint32_t>(skipped)});
  }
  return rest;
}

SampleStatistics Summarize(const RunLengthSample& sample) {
  SampleStatistics s;
  if (sample.size() == 0) return s;
  const auto count = static_cast<double>(sample.size());
  // Each value is added by itself: a product would round otherwise than the sum.
  double sum = 0;
  for (const auto& run : sample.runs()) {
    for (std::uint32_t i = 0; i < run.count; ++i) sum += run.value;
  }
  s.mean = sum / count;
  double squares = 0;
  for (const auto& run : sample.runs()) {
    const double square = (run.value - s.mean) * (run.value - s.mean);
    for (std::uint32_t i = 0; i < run.count; ++i) squares += square;
  }
  s.std = std::sqrt(squares / count);
  std::vector<RunLengthSample::Run> sorted = sample.runs();
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.value < b.value; });
  s.median = Quantile(sorted, sample.size(), 0.5);
  s.p95 = Quantile(sorted, sample.size(), 0.95);
  s.p99 = Quantile(sorted, sample.size(), 0.99);
  s.max = sorted.back().value;
  return s;
}

}  // namespace sparseserve
