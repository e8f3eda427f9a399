#include <nlohmann/json.hpp>

#include "sim/report/comparison_text.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;

Json OrNull(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }
Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json SideJson(const RunFigures& side) {
  return {{"source", side.source},
          {"kind", side.kind},
          {"system", OrNull(side.system)},
          {"model", OrNull(side.model)},
          {"hardware", OrNull(side.hardware)},
          {"seed", OrNull(side.seed)},
          {"num_requests", side.num_requests ? Json(*side.num_requests) : Json(nullptr)},
          {"remarks", side.remarks}};
}

Json MetricJson(const MetricComparison& m) {
  const MetricInfo& info = InfoOf(m.metric);
  return {{"metric", info.name},      {"group", NameOf(info.group)},
          {"unit", info.unit},        {"definition", info.definition},
          {"a", OrNull(m.a)},         {"b", OrNull(m.b)},
          {"error", OrNull(m.error)}, {"error_unit", info.unit == "%" ? "points" : "%"},
          {"equal", m.is_equal},      {"judged", m.is_judged},
          {"exceeded", m.is_exceeded}};
}

Json GapJson(const GapExplanation& gap) {
  Json contributions = Json::array();
  for (const Contribution& c : gap.contributions) {
    contributions.push_back({{"component", c.component},
                             {"unit", c.component == kNumberOfIterations ? "iterations" : "ms"},
                             {"a", c.a},
                             {"b", c.b},
                             {"points", c.points}});
  }
  return {{"busy_points", gap.busy_points},
          {"idle_points", gap.idle_points},
          {"duration_points", gap.duration_points},
          {"contributions", contributions},
          {"sentence", GapSentence(gap)}};
}

}  // namespace

std::string ComparisonJson(const Comparison& comparison) {
  Json json;
  json["schema"] = kComparisonSchema;
  json["a"] = SideJson(comparison.a);
  json["b"] = SideJson(comparison.b);
  json["differences"] = comparison.differences;
  json["tolerance"] = comparison.tolerance;
  json["judged"] = comparison.IsJudged();
  json["within_tolerance"] = comparison.IsJudged() && comparison.IsWithinTolerance();
  json["exceeded"] = Json::array();
  json["metrics"] = Json::array();
  for (const MetricComparison& m : comparison.metrics) {
    if (m.is_exceeded) json["exceeded"].push_back(InfoOf(m.metric).name);
    json["metrics"].push_back(MetricJson(m));
  }
  json["gap"] = comparison.gap ? GapJson(*comparison.gap) : Json(nullptr);
  // A path that is not UTF-8 must not cost the result.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sparseserve::report
