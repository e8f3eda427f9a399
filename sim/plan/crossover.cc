#include "sim/plan/crossover.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "sim/core/error.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

std::size_t FindOtherAxis(const Contrast& contrast, const std::string& name) {
  const auto& axes = contrast.other_axes;
  const auto it = std::find(axes.begin(), axes.end(), name);
  if (it != axes.end()) return static_cast<std::size_t>(it - axes.begin());
  std::string known;
  for (const std::string& axis : axes) known += (known.empty() ? "" : ", ") + axis;
  throw InputError({{},
                    "--map",
                    "'" + name + "' is no axis beside " + contrast.request.axis,
                    known.empty() ? "a sweep with two more axes" : "two of " + known,
                    ""});
}

std::size_t IndexIn(std::vector<std::string>& labels, const std::string& label) {
  const auto it = std::find(labels.begin(), labels.end(), label);
  if (it != labels.end()) return static_cast<std::size_t>(it - labels.begin());
  labels.push_back(label);
  return labels.size() - 1;
}

CrossoverCell CellOf(const ContrastRow& row, const ContrastRow& baseline) {
  CrossoverCell cell;
  if (!row.effects.empty()) cell.relative = row.effects.front().relative;
  cell.only_baseline = row.num_done == 0 && baseline.num_done > 0;
  cell.only_other = baseline.num_done == 0 && row.num_done > 0;
  return cell;
}

// Does it pay in this cell: +1, -1, or 0 when nothing is known.
int SignOf(const CrossoverCell& cell, bool lower_is_better) {
  if (cell.only_other) return 1;
  if (cell.only_baseline) return -1;
  if (!cell.relative || cell.relative->mean == 0) return 0;
  return (cell.relative->mean > 0) != lower_is_better ? 1 : -1;
}

// Where the effect is zero between two columns.
double Interpolate(const std::string& from, const std::string& to, const CrossoverCell& a,
                   const CrossoverCell& b) {
  const double x0 = NumberOf(from).value_or(std::nan(""));
  const double x1 = NumberOf(to).value_or(std::nan(""));
  if (!a.relative || !b.relative) return std::sqrt(x0 * x1);  // no effect to weigh with
  const double share = a.relative->mean / (a.relative->mean - b.relative->mean);
  if (x0 > 0 && x1 > 0) return std::exp(std::log(x0) + share * (std::log(x1) - std::log(x0)));
  return x0 + share * (x1 - x0);
}

void AddCrossovers(const std::vector<std::string>& columns, bool lower_is_better,
                   CrossoverRow& row) {
  std::optional<std::size_t> last;  // column with a sign
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const int sign = SignOf(row.cells[c], lower_is_better);
    if (sign == 0) continue;
    if (last && SignOf(row.cells[*last], lower_is_better) != sign) {
      row.crossovers.push_back(
          {.at = Interpolate(columns[*last], columns[c], row.cells[*last], row.cells[c]),
           .from = columns[*last],
           .to = columns[c],
           .starts_to_pay = sign > 0});
    }
    last = c;
  }
}

}  // namespace

std::optional<double> NumberOf(const std::string& label) {
  double value = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
  if (error != std::errc() || end == label.data()) return std::nullopt;
  return value;
}

CrossoverMaps MakeCrossoverMaps(const Contrast& contrast, const std::string& x_axis,
                                const std::string& y_axis) {
  const std::size_t x = FindOtherAxis(contrast, x_axis);
  const std::size_t y = FindOtherAxis(contrast, y_axis);
  if (x == y) throw InputError({{}, "--map", "both axes are " + x_axis, "two axes", ""});
  CrossoverMaps maps{.x_axis = x_axis, .y_axis = y_axis, .columns = {}, .figure = 0, .maps = {}};
  if (contrast.groups.empty()) return maps;
  maps.figure = contrast.groups.front().rows.front().effects.front().figure;
  const bool lower = metrics::Figures()[maps.figure].better == metrics::Better::kLower;

  std::vector<std::string> row_labels;
  for (const ContrastGroup& group : contrast.groups) {
    IndexIn(maps.columns, group.labels[x]);
    IndexIn(row_labels, group.labels[y]);
  }
  std::map<std::pair<std::vector<std::string>, std::string>, std::size_t> map_of;
  for (const ContrastGroup& group : contrast.groups) {
    std::vector<std::string> others;
    for (std::size_t a = 0; a < group.labels.size(); ++a) {
      if (a != x && a != y) others.push_back(group.labels[a]);
    }
    const auto baseline = std::find_if(group.rows.begin(), group.rows.end(),
                                       [](const ContrastRow& row) { return row.is_baseline; });
    for (const ContrastRow& row : group.rows) {
      if (row.is_baseline) continue;
      const auto [it, is_new] = map_of.emplace(std::pair(others, row.label), maps.maps.size());
      if (is_new) {
        CrossoverMap& made = maps.maps.emplace_back();
        made.label = row.label;
        made.others = others;
        for (const std::string& label : row_labels)
          made.rows.push_back({label, std::vector<CrossoverCell>(maps.columns.size()), {}});
      }
      CrossoverRow& target = maps.maps[it->second].rows[IndexIn(row_labels, group.labels[y])];
      target.cells[IndexIn(maps.columns, group.labels[x])] = CellOf(row, *baseline);
    }
  }
  for (CrossoverMap& made : maps.maps) {
    for (CrossoverRow& row : made.rows) AddCrossovers(maps.columns, lower, row);
  }
  return maps;
}

}  // namespace sparseserve::plan
