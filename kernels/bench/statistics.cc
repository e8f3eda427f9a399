#include "kernels/bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sparseserve::bench {

double QuantileOfSorted(const std::vector<double>& sorted, double q) {
  const double rank = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (rank - static_cast<double>(below));
}

Summary Summarize(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const auto count = static_cast<double>(samples.size());
  // One-based ranks (n - 1.96 sqrt n) / 2 and 1 + (n + 1.96 sqrt n) / 2.
  const double spread = 1.96 * std::sqrt(count);
  const double low = std::max(std::floor((count - spread) / 2), 1.0);
  const double high = std::min(std::ceil(1 + (count + spread) / 2), count);
  Summary summary;
  summary.num_samples = static_cast<std::int64_t>(samples.size());
  summary.median = QuantileOfSorted(samples, 0.5);
  summary.lower_quartile = QuantileOfSorted(samples, 0.25);
  summary.upper_quartile = QuantileOfSorted(samples, 0.75);
  summary.median_low = samples[static_cast<std::size_t>(low) - 1];
  summary.median_high = samples[static_cast<std::size_t>(high) - 1];
  return summary;
}

double DriftOfRounds(const std::vector<std::vector<double>>& rounds) {
  double fastest = 0;
  double slowest = 0;
  for (const std::vector<double>& round : rounds) {
    if (round.empty()) continue;
    const double median = Summarize(round).median;
    fastest = fastest == 0 ? median : std::min(fastest, median);
    slowest = std::max(slowest, median);
  }
  return fastest > 0 ? slowest / fastest - 1 : 0;
}

}  // namespace sparseserve::bench
