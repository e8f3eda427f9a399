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

}  // namespace sparseserve
