#include "sim/report/sweep_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/metrics/figures.h"
#include "sim/report/text_table.h"

namespace sparseserve::report {
namespace {

using metrics::FigureInfo;
using plan::Interval;
using Row = std::vector<std::string>;

bool IsKnown(const Interval& interval) { return std::isfinite(interval.low); }

std::string Signed(double value) {
  return std::abs(value) >= 99.95 ? fmt::format("{:+.0f}", value) : fmt::format("{:+.1f}", value);
}

std::string Number(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  return size >= 9999.5 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
}

// "51.0 +-0.4".
std::string MeanText(const FigureInfo& info, const plan::Effect& effect) {
  if (effect.samples.empty()) return "-";
  const double unit = info.unit == "share" ? 100 : 1;
  std::string text = Number(effect.value.mean * unit);
  if (IsKnown(effect.value))
    text += " +-" + fmt::format("{:.2g}", (effect.value.high - effect.value.low) / 2 * unit);
  return text;
}

// "+7.3 % [+6.1, +8.4]"; in parentheses when zero lies within.
std::string EffectText(const FigureInfo& info, const plan::Effect& effect) {
  if (!effect.difference) return "-";
  const bool is_share = info.unit == "share";
  const bool is_relative = !is_share && effect.relative.has_value();
  const Interval& shown = is_relative ? *effect.relative : *effect.difference;
  const double unit = is_relative || is_share ? 100 : 1;
  const char* name = is_relative ? " %" : is_share ? " pt" : "";
  const auto value = [&](double x) {
    return is_relative || is_share ? Signed(x * unit) : fmt::format("{:+.4g}", x);
  };
  std::string text = value(shown.mean) + name;
  if (!IsKnown(shown)) return text;
  if (shown.low == 0 && shown.high == 0) return "=";
  if (!shown.ExcludesZero()) text = "(" + text + ")";
  return text + " [" + value(shown.low) + ", " + value(shown.high) + "]";
}

std::string FlagsText(const plan::ContrastRow& row) {
  std::string text;
  if (row.num_saturated > 0) text += fmt::format("S{}/{}", row.num_saturated, row.num_done);
  if (row.extrapolated) text += text.empty() ? "E" : " E";
  return text.empty() ? "-" : text;
}

std::string HeadText(const FigureInfo& info) {
  const std::string unit = info.unit == "share" ? "%" : std::string(info.unit);
  return std::string(info.label) + (unit.empty() ? "" : " " + unit);
}

std::string GroupTitle(const plan::Contrast& contrast, const plan::ContrastGroup& group) {
  std::string title;
  for (std::size_t a = 0; a < group.labels.size(); ++a)
    title += (a > 0 ? ", " : "") + contrast.other_axes[a] + " " + group.labels[a];
  return title;
}

void AppendGroup(const plan::Contrast& contrast, const plan::ContrastGroup& group, Style style,
                 std::string& out) {
  const std::string title = GroupTitle(contrast, group);
  if (!title.empty()) out += (style == Style::kMarkdown ? "**" + title + "**\n" : title) + "\n";
  const auto figures = metrics::Figures();
  std::vector<Row> rows(1, {contrast.request.axis});
  std::vector<std::string> infeasible;
  for (const plan::Effect& effect : group.rows.front().effects)
    rows.front().push_back(HeadText(figures[effect.figure]));
  rows.front().insert(rows.front().end(), {"seeds", "flags"});
  for (const plan::ContrastRow& row : group.rows) {
    Row& text = rows.emplace_back(Row{row.label + (row.is_baseline ? " (base)" : "")});
    for (const plan::Effect& effect : row.effects) {
      const FigureInfo& info = figures[effect.figure];
      text.push_back(row.is_baseline ? MeanText(info, effect) : EffectText(info, effect));
    }
    text.push_back(std::to_string(row.num_done));
    text.push_back(FlagsText(row));
    if (!row.infeasible.empty()) infeasible.push_back(row.label + ": " + row.infeasible);
  }
  AppendTextTable(rows, style, out);
  for (const std::string& why : infeasible) out += "  cannot run: " + why + "\n";
  out += "\n";
}

std::string CellText(const plan::CrossoverCell& cell) {
  if (cell.only_other) return "only";
  if (cell.only_baseline) return "never";
  if (!cell.relative) return "-";
  const std::string text = Signed(cell.relative->mean * 100) + " %";
  if (!IsKnown(*cell.relative) || cell.relative->ExcludesZero()) return text;
  return cell.relative->low == 0 && cell.relative->high == 0 ? "=" : "(" + text + ")";
}

void AppendInterval(const std::optional<Interval>& interval, std::string& out) {
  if (!interval) {
    out += ",,,";
    return;
  }
  for (const double value : {interval->mean, interval->low, interval->high})
    out += std::isfinite(value) ? fmt::format(",{}", value) : ",";
}

// Whether any figure has more than one sample.
bool SeveralSeeds(const plan::Contrast& contrast) {
  for (const plan::ContrastGroup& group : contrast.groups)
    for (const plan::ContrastRow& row : group.rows)
      for (const plan::Effect& effect : row.effects)
        if (effect.samples.size() > 1) return true;
  return false;
}

}  // namespace

std::string CrossoverText(const plan::Contrast& contrast, const plan::CrossoverMaps& maps,
                          Style style) {
  const FigureInfo& info = metrics::Figures()[maps.figure];
  std::string out;
  for (const plan::CrossoverMap& map : maps.maps) {
    out += fmt::format("{} {} against {}: {}", contrast.request.axis, map.label,
                       contrast.request.baseline, info.label);
    for (const std::string& label : map.others) out += ", " + label;
    out += "\n\n";
    std::vector<Row> rows(1, {maps.y_axis + " \\ " + maps.x_axis});
    rows.front().insert(rows.front().end(), maps.columns.begin(), maps.columns.end());
    rows.front().emplace_back("pays");
    for (const plan::CrossoverRow& row : map.rows) {
      Row& text = rows.emplace_back(Row{row.label});
      for (const plan::CrossoverCell& cell : row.cells) text.push_back(CellText(cell));
      std::string pays;
      for (const plan::Crossover& crossover : row.crossovers) {
        pays += (pays.empty() ? "" : ", ");
        pays += (crossover.starts_to_pay ? "from " : "up to ");
        pays += std::isfinite(crossover.at) ? "~" + Number(crossover.at) : crossover.to;
      }
      text.push_back(pays.empty() ? "-" : pays);
    }
    AppendTextTable(rows, style, out);
    out += "\n";
  }
  out +=
      "cells: effect on the base's mean; in parentheses: the interval over seeds contains zero. "
      "only: the\nbase cannot run there; never: this one cannot. pays: where the sign changes, "
      "interpolated between columns.\n";
  return out;
}

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string ContrastTable(const plan::Sweep& sweep, const plan::Contrast& contrast, Style style) {
  const plan::ContrastRequest& request = contrast.request;
  std::string out = fmt::format("{}: {} against {}", sweep.name, request.axis,
                                request.against_previous ? "the row before" : request.baseline);
  out += SeveralSeeds(contrast) ? ", paired over seeds, 95 % intervals\n\n"
                                : "; one seed, so there are no intervals\n\n";
  for (const plan::ContrastGroup& group : contrast.groups) AppendGroup(contrast, group, style, out);
  if (contrast.num_missing > 0) {
    out += fmt::format("{} of {} points have not run yet; the same sweep command goes on.\n",
                       contrast.num_missing, sweep.points.size());
  }
  out +=
      "(base): mean and half of its interval; below: effect on that mean, seed by seed. % of the "
      "base,\npt percentage points. In parentheses: the interval contains zero; =: every seed "
      "gives the same.\nS: in so many seeds the queue kept growing, so latencies depend on the "
      "length of the run.\nE: a cost from outside its measured range.\n";
  return out;
}

std::string ContrastCsv(const plan::Contrast& contrast) {
  std::string out;
  for (const std::string& axis : contrast.other_axes) out += CsvField(axis) + ",";
  out += CsvField(contrast.request.axis) +
         ",metric,unit,n,mean,mean_low,mean_high,difference,difference_low,difference_high,"
         "relative,relative_low,relative_high,saturated,extrapolated\n";
  for (const plan::ContrastGroup& group : contrast.groups) {
    for (const plan::ContrastRow& row : group.rows) {
      for (const plan::Effect& effect : row.effects) {
        if (effect.samples.empty()) continue;
        for (const std::string& label : group.labels) out += CsvField(label) + ",";
        const FigureInfo& info = metrics::Figures()[effect.figure];
        out += fmt::format("{},{},{},{}", CsvField(row.label), info.name, info.unit,
                           effect.samples.size());
        AppendInterval(effect.value, out);
        AppendInterval(effect.difference, out);
        AppendInterval(effect.relative, out);
        out += fmt::format(",{},{}\n", row.num_saturated, row.extrapolated ? 1 : 0);
      }
    }
  }
  return out;
}

std::string PointsCsv(const plan::Sweep& sweep,
                      const std::vector<std::optional<plan::Outcome>>& outcomes) {
  std::string out;
  for (const std::string& axis : sweep.axes) out += CsvField(axis) + ",";
  out += "replication,seed,feasible,note";
  for (const FigureInfo& figure : metrics::Figures()) out += "," + std::string(figure.name);
  out += "\n";
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    if (!outcomes[i]) continue;
    const plan::SweepPoint& point = sweep.points[i];
    for (const std::string& label : point.labels) out += CsvField(label) + ",";
    out += fmt::format("{},{},{},{}", point.replication, point.seed, outcomes[i]->feasible ? 1 : 0,
                       CsvField(outcomes[i]->note));
    for (std::size_t f = 0; f < metrics::Figures().size(); ++f) {
      const double value = outcomes[i]->feasible ? outcomes[i]->figures[f] : std::nan("");
      out += std::isnan(value) ? "," : fmt::format(",{}", value);
    }
    out += "\n";
  }
  return out;
}

}  // namespace sparseserve::report
