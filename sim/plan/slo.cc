#include "sim/plan/slo.h"

#include <cmath>
#include <limits>

#include "sim/core/check.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

std::size_t FigureIndex(std::string_view name) {
  const auto index = metrics::FindFigure(name);
  SPARSESERVE_CHECK(index.has_value(), "no such figure");
  return *index;
}

}  // namespace

double Criterion::Use(std::span<const double> figures) const {
  const double value = figures[figure];
  if (std::isnan(value)) return std::numeric_limits<double>::infinity();
  if (!at_least) return value / limit;
  return value > 0 ? limit / value : std::numeric_limits<double>::infinity();
}

std::vector<Criterion> CriteriaOf(const Slo& slo) {
  std::vector<Criterion> criteria;
  const auto add = [&](const char* name, std::string_view figure, double limit, bool at_least) {
    criteria.push_back({name, FigureIndex(figure), limit, at_least});
  };
  if (slo.definition != SloDefinition::kSarathi) {
    add("share of requests within limits", "slo_attainment", slo.attainment, true);
    return criteria;
  }
  if (slo.tbt_p99) add("TBT P99", "p99_itl_ms", slo.tbt_p99->value() * 1e3, false);
  const auto delay = [&](const char* name, std::string_view figure,
                         const std::optional<Seconds>& limit) {
    if (limit) add(name, figure, limit->value(), false);
  };
  delay("scheduling delay mean", "scheduling_delay.mean_s", slo.delay_mean);
  delay("scheduling delay P95", "scheduling_delay.p95_s", slo.delay_p95);
  delay("scheduling delay P99", "scheduling_delay.p99_s", slo.delay_p99);
  return criteria;
}

Verdict Judge(const std::vector<Criterion>& criteria, const Outcome& outcome) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!outcome.feasible) return {.held = false, .use = kInfinite, .binding = outcome.note};
  static const std::size_t saturated = FigureIndex("saturated");
  static const std::size_t failed = FigureIndex("failed");
  Verdict verdict;
  for (const Criterion& criterion : criteria) {
    const double use = criterion.Use(outcome.figures);
    if (!verdict.binding.empty() && use <= verdict.use) continue;
    verdict.use = use;
    verdict.binding = criterion.name;
  }
  const bool grows = outcome.figures[saturated] != 0;
  verdict.held = verdict.use <= 1 && !grows && outcome.figures[failed] == 0;
  if (verdict.use <= 1 && grows) verdict.binding = "queue growth";
  if (outcome.figures[failed] != 0) verdict.binding = "failed requests";
  return verdict;
}

}  // namespace sparseserve::plan
