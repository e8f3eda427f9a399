#include "sim/report/html_sweep.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "sim/metrics/figures.h"
#include "sim/plan/crossover.h"
#include "sim/plan/store.h"
#include "sim/report/html_assets.h"
#include "sim/report/html_page.h"
#include "sim/report/html_report.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;

Json Known(double value) { return std::isfinite(value) ? Json(Rounded(value)) : Json(nullptr); }

// [mean, low, high].
Json IntervalJson(const std::optional<plan::Interval>& interval, double unit) {
  if (!interval) return nullptr;
  return Json::array(
      {Known(interval->mean * unit), Known(interval->low * unit), Known(interval->high * unit)});
}

Json EffectJson(const plan::Effect& effect) {
  const bool is_share = metrics::Figures()[effect.figure].unit == "share";
  const double unit = is_share ? 100 : 1;
  const bool has_value = !effect.samples.empty();
  return {{"value", has_value ? IntervalJson(effect.value, unit) : Json(nullptr)},
          {"seeds", effect.samples.size()},
          {"difference", IntervalJson(effect.difference, unit)},
          {"relative", IntervalJson(effect.relative, 100)}};
}

Json RowJson(const plan::ContrastRow& row) {
  Json json = {{"label", row.label},
               {"base", row.is_baseline},
               {"seeds", row.num_done},
               {"saturated", row.num_saturated},
               {"extrapolated", row.extrapolated},
               {"infeasible", row.infeasible},
               {"effects", Json::array()}};
  for (const plan::Effect& effect : row.effects) json["effects"].push_back(EffectJson(effect));
  return json;
}

// The numbers of an axis, or null when they cannot stand on one scale.
Json NumbersJson(const std::vector<std::string>& labels) {
  Json numbers = Json::array();
  std::set<std::string> rests;
  std::set<double> different;
  for (const std::string& label : labels) {
    const std::optional<double> number = plan::NumberOf(label);
    if (!number || !std::isfinite(*number)) return nullptr;
    numbers.push_back(*number);
    different.insert(*number);
    const std::size_t end = label.find_first_not_of("0123456789.+-");
    rests.insert(end == std::string::npos ? "" : label.substr(end));
  }
  // A bare zero needs no unit.
  if (rests.size() == 2 && different.contains(0)) rests.erase("");
  return rests.size() == 1 && different.size() == labels.size() && labels.size() > 1
             ? numbers
             : Json(nullptr);
}

std::size_t AxisIndex(const plan::Sweep& sweep, const std::string& name) {
  std::size_t index = 0;
  while (sweep.axes[index] != name) ++index;
  return index;
}

Json AxesJson(const plan::Sweep& sweep, const plan::Contrast& contrast) {
  Json axes = Json::array();
  for (const std::string& name : contrast.other_axes) {
    const std::vector<std::string> labels = plan::LabelsOf(sweep, AxisIndex(sweep, name));
    axes.push_back({{"name", name}, {"labels", labels}, {"numbers", NumbersJson(labels)}});
  }
  return axes;
}

Json MetricsJson(const plan::Contrast& contrast) {
  Json metrics = Json::array();
  for (const plan::Effect& effect : contrast.groups.front().rows.front().effects) {
    const metrics::FigureInfo& info = metrics::Figures()[effect.figure];
    const bool is_share = info.unit == "share";
    const int better = info.better == metrics::Better::kHigher  ? 1
                       : info.better == metrics::Better::kLower ? -1
                                                                : 0;
    metrics.push_back({{"name", info.name},
                       {"title", info.label},
                       {"unit", is_share ? "%" : info.unit},
                       {"share", is_share},
                       {"better", better}});
  }
  return metrics;
}

std::string SubjectOf(const plan::Sweep& sweep, const plan::Contrast& contrast) {
  std::set<std::int64_t> replications;
  for (const plan::SweepPoint& point : sweep.points) replications.insert(point.replication);
  std::string text = fmt::format("{} against {} ({} {}), paired over {} {}; {} points",
                                 contrast.request.axis, contrast.request.baseline,
                                 contrast.groups.front().rows.size(), "labels", replications.size(),
                                 replications.size() == 1 ? "seed" : "seeds", sweep.points.size());
  for (const std::string& axis : contrast.other_axes)
    text += fmt::format("; {}: {}", axis,
                        fmt::join(plan::LabelsOf(sweep, AxisIndex(sweep, axis)), ", "));
  return text;
}

}  // namespace

std::string SweepDataJson(const plan::Sweep& sweep, const plan::Contrast& contrast) {
  Json json = {{"kind", "sweep"},
               {"name", sweep.name},
               {"contrast", contrast.request.axis},
               {"baseline", contrast.request.baseline},
               {"axes", AxesJson(sweep, contrast)},
               {"metrics", MetricsJson(contrast)},
               {"runs", Json::array()},
               {"groups", Json::array()}};
  for (const plan::ContrastRow& row : contrast.groups.front().rows)
    json["runs"].push_back({{"name", row.label}, {"label", row.label}, {"role", ""}});
  for (const plan::ContrastGroup& group : contrast.groups) {
    Json rows = Json::array();
    for (const plan::ContrastRow& row : group.rows) rows.push_back(RowJson(row));
    json["groups"].push_back({{"labels", group.labels}, {"rows", rows}});
  }
  return EmbeddedJson(json.dump(-1, ' ', true, Json::error_handler_t::replace));
}

std::string HtmlSweepReport(const std::string& path, const std::string& title) {
  plan::Store store(path, "sweep", plan::OpenMode::kExisting);
  const plan::Sweep sweep = store.ReadSweep();
  std::vector<std::optional<plan::Outcome>> outcomes;
  for (const plan::SweepPoint& point : sweep.points) outcomes.push_back(store.Find(point.key));
  const plan::Contrast contrast = plan::MakeContrast(sweep, outcomes,
                                                     {.axis = sweep.contrast,
                                                      .baseline = "",
                                                      .against_previous = false,
                                                      .metrics = sweep.metrics});
  return FilledPage({.title = title.empty() ? "Sweep " + sweep.name : title,
                     .subject = SubjectOf(sweep, contrast),
                     .conclusions = SweepConclusions(contrast),
                     .warnings = SweepWarnings(sweep, contrast),
                     .data = SweepDataJson(sweep, contrast),
                     .script = kHtmlSweepScript});
}

}  // namespace sparseserve::report
