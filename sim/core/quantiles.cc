#include "sim/core/quantiles.h"

#include <algorithm>
#include <array>
#include <bit>
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

// The bits of a float in an order in which numbers compare as the floats do.
std::uint32_t OrderedBits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
float FromOrderedBits(std::uint32_t bits) {
  return std::bit_cast<float>((bits & 0x80000000U) != 0 ? bits & 0x7fffffffU : ~bits);
}

// The order statistic of `rank` without a sorted copy: digit by digit, from the highest, by
// counting the values that share the digits found so far.
double AtRank(const RunLengthSample& sample, std::int64_t rank) {
  constexpr std::uint32_t kDigit = (1U << 11) - 1;
  std::uint32_t found = 0, known = 0;  // bits, and which of them; the last two digits share one
  for (const int shift : {21, 10, 0}) {
    std::array<std::int64_t, kDigit + 1> counts{};
    for (const auto& run : sample.runs()) {
      const std::uint32_t bits = OrderedBits(run.value);
      if ((bits & known) == found) counts[bits >> shift & kDigit] += run.count;
    }
    std::uint32_t digit = 0;
    for (; rank >= counts[digit]; ++digit) rank -= counts[digit];
    found |= digit << shift;
    known |= kDigit << shift;
  }
  return FromOrderedBits(found);
}

double Quantile(const RunLengthSample& sample, double q) {
  const double rank = q * static_cast<double>(sample.size() - 1);
  const auto lower = static_cast<std::int64_t>(std::floor(rank));
  const double low = AtRank(sample, lower);
  if (lower + 1 == sample.size()) return low;
  return low + (AtRank(sample, lower + 1) - low) * (rank - static_cast<double>(lower));
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
  s.median = Quantile(sample, 0.5);
  s.p95 = Quantile(sample, 0.95);
  s.p99 = Quantile(sample, 0.99);
  s.max = AtRank(sample, sample.size() - 1);
  return s;
}

}  // namespace sparseserve
