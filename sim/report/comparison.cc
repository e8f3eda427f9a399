#include "sim/report/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "sim/core/check.h"

namespace sparseserve::report {
namespace {

MetricComparison CompareMetric(const MetricInfo& info, const RunFigures& a, const RunFigures& b,
                               double tolerance) {
  MetricComparison result;
  result.metric = info.metric;
  result.a = a[info.metric];
  result.b = b[info.metric];
  if (!result.a || !result.b) return result;
  const double difference = *result.b - *result.a;
  result.is_equal = difference == 0;
  if (result.is_equal || info.unit == "%") {
    result.error = difference;
  } else if (*result.a != 0) {
    result.error = 100 * difference / *result.a;
  }
  result.is_judged = info.is_key;
  result.is_exceeded = info.is_key && (!result.error || std::abs(*result.error) > 100 * tolerance);
  return result;
}

GapExplanation ExplainGap(const BusyTime& a, const BusyTime& b) {
  const double to_points = 100 / a.duration_s;
  const double mean_count = (a.num_iterations + b.num_iterations) / 2;
  const double more_iterations = b.num_iterations - a.num_iterations;
  GapExplanation gap;
  Contribution number{kNumberOfIterations, a.num_iterations, b.num_iterations, 0};
  for (std::size_t i = 0; i < kNumBusyParts; ++i) {
    const double part_a = a.parts_s[i] / a.num_iterations;
    const double part_b = b.parts_s[i] / b.num_iterations;
    number.points += (part_a + part_b) / 2 * more_iterations * to_points;
    gap.contributions.push_back({NameOf(static_cast<BusyPart>(i)), 1e3 * part_a, 1e3 * part_b,
                                 mean_count * (part_b - part_a) * to_points});
  }
  gap.contributions.push_back(number);
  std::stable_sort(gap.contributions.begin(), gap.contributions.end(),
                   [](const Contribution& x, const Contribution& y) {
                     return std::abs(x.points) > std::abs(y.points);
                   });
  gap.busy_points = (b.total_s() - a.total_s()) * to_points;
  gap.duration_points = (b.duration_s - a.duration_s) * to_points;
  gap.idle_points = gap.duration_points - gap.busy_points;
  return gap;
}

// Model names without the organisation and in one case: benchmarks name the repository.
std::string BareModel(std::string name) {
  name.erase(0, name.rfind('/') + 1);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

std::vector<std::string> FindDifferences(const RunFigures& a, const RunFigures& b) {
  std::vector<std::string> differences;
  const auto compare = [&](std::string_view what, const std::string& of_a,
                           const std::string& of_b) {
    if (!of_a.empty() && !of_b.empty() && of_a != of_b)
      differences.push_back(fmt::format("{} ({}, {})", what, of_a, of_b));
  };
  if (BareModel(a.model) != BareModel(b.model)) compare("model", a.model, b.model);
  compare("system", a.system, b.system);
  compare("hardware", a.hardware, b.hardware);
  compare("seed", a.seed, b.seed);
  if (a.num_requests && b.num_requests) {
    compare("number of requests", fmt::format("{}", *a.num_requests),
            fmt::format("{}", *b.num_requests));
  }
  return differences;
}

}  // namespace

bool Comparison::IsWithinTolerance() const {
  return std::none_of(metrics.begin(), metrics.end(),
                      [](const MetricComparison& m) { return m.is_exceeded; });
}

bool Comparison::IsJudged() const {
  return std::any_of(metrics.begin(), metrics.end(),
                     [](const MetricComparison& m) { return m.is_judged; });
}

Comparison Compare(const RunFigures& measured, const RunFigures& predicted, double tolerance) {
  SPARSESERVE_CHECK(tolerance >= 0, "a tolerance is not negative");
  Comparison result;
  result.a = measured;
  result.b = predicted;
  result.tolerance = tolerance;
  for (const MetricInfo& info : Metrics())
    result.metrics.push_back(CompareMetric(info, measured, predicted, tolerance));
  if (measured.busy && predicted.busy) result.gap = ExplainGap(*measured.busy, *predicted.busy);
  result.differences = FindDifferences(measured, predicted);
  return result;
}

}  // namespace sparseserve::report
