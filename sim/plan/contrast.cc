#include "sim/plan/contrast.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "sim/core/error.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

using Outcomes = std::vector<std::optional<Outcome>>;

std::string JoinWords(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

[[noreturn]] void Unknown(const char* key, const std::string& word,
                          const std::vector<std::string>& known) {
  const std::string close = ClosestMatch(word, known);
  throw InputError({{},
                    key,
                    "'" + word + "' is not there",
                    "one of " + JoinWords(known),
                    close.empty() ? "" : "did you mean '" + close + "'?"});
}

std::size_t FindAxis(const Sweep& sweep, const std::string& name) {
  const auto it = std::find(sweep.axes.begin(), sweep.axes.end(), name);
  if (it == sweep.axes.end()) Unknown("--contrast", name, sweep.axes);
  return static_cast<std::size_t>(it - sweep.axes.begin());
}

std::vector<std::size_t> FindFigures(const std::vector<std::string>& names) {
  std::vector<std::size_t> figures;
  for (const std::string& name : names) {
    const auto index = metrics::FindFigure(name);
    if (!index) {
      std::vector<std::string> known;
      for (const metrics::FigureInfo& figure : metrics::Figures()) known.emplace_back(figure.name);
      Unknown("--metric", name, known);
    }
    figures.push_back(*index);
  }
  return figures;
}

// Samples of one figure by replication; NaN where there is none.
using Samples = std::map<std::int64_t, double>;

struct Cell {
  ContrastRow row;
  std::vector<Samples> samples;  // by metric
};

void AddOutcome(const SweepPoint& point, const std::optional<Outcome>& outcome,
                const std::vector<std::size_t>& figures, Cell& cell) {
  if (!outcome) return;
  if (!outcome->feasible) {
    cell.row.infeasible = outcome->note;
    return;
  }
  static const std::size_t saturated = *metrics::FindFigure("saturated");
  static const std::size_t extrapolated = *metrics::FindFigure("extrapolated");
  ++cell.row.num_done;
  cell.row.num_saturated += outcome->figures[saturated] != 0 ? 1 : 0;
  cell.row.extrapolated |= outcome->figures[extrapolated] != 0;
  for (std::size_t m = 0; m < figures.size(); ++m) {
    const double value = outcome->figures[figures[m]];
    if (!std::isnan(value)) cell.samples[m][point.replication] = value;
  }
}

Interval Scale(const Interval& interval, double factor) {
  Interval scaled{interval.mean * factor, interval.low * factor, interval.high * factor};
  if (factor < 0) std::swap(scaled.low, scaled.high);
  return scaled;
}

// Fills in the effects of `cell` against `base`, or without any for a baseline.
void AddEffects(const std::vector<std::size_t>& figures, const Cell* base, Cell& cell) {
  for (std::size_t m = 0; m < figures.size(); ++m) {
    Effect& effect = cell.row.effects.emplace_back();
    effect.figure = figures[m];
    for (const auto& [replication, value] : cell.samples[m]) effect.samples.push_back(value);
    effect.value = MeanInterval(effect.samples);
    if (base == nullptr) continue;
    std::vector<double> theirs, ours;
    for (const auto& [replication, value] : cell.samples[m]) {
      const auto other = base->samples[m].find(replication);
      if (other == base->samples[m].end()) continue;
      theirs.push_back(other->second);
      ours.push_back(value);
    }
    if (ours.empty()) continue;
    effect.difference = PairedDifference(theirs, ours);
    const double mean = MeanInterval(theirs).mean;
    if (mean != 0) effect.relative = Scale(*effect.difference, 1 / mean);
  }
}

}  // namespace

std::vector<std::string> LabelsOf(const Sweep& sweep, std::size_t axis) {
  std::vector<std::string> labels;
  for (const SweepPoint& point : sweep.points) {
    const std::string& label = point.labels[axis];
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) labels.push_back(label);
  }
  return labels;
}

Contrast MakeContrast(const Sweep& sweep, const Outcomes& outcomes,
                      const ContrastRequest& request) {
  Contrast contrast;
  contrast.request = request;
  const std::size_t axis = FindAxis(sweep, request.axis);
  const std::vector<std::size_t> figures = FindFigures(request.metrics);
  const std::vector<std::string> labels = LabelsOf(sweep, axis);
  std::string& baseline = contrast.request.baseline;
  if (baseline.empty()) baseline = labels.front();
  const auto at = std::find(labels.begin(), labels.end(), baseline);
  if (at == labels.end()) Unknown("--baseline", baseline, labels);
  const auto baseline_index = static_cast<std::size_t>(at - labels.begin());
  for (std::size_t a = 0; a < sweep.axes.size(); ++a) {
    if (a != axis) contrast.other_axes.push_back(sweep.axes[a]);
  }

  std::map<std::vector<std::string>, std::size_t> group_of;
  std::vector<std::vector<Cell>> cells;  // by group and label
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    std::vector<std::string> others = sweep.points[i].labels;
    const std::string label = others[axis];
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(axis));
    const auto [it, is_new] = group_of.emplace(others, contrast.groups.size());
    if (is_new) {
      contrast.groups.push_back({others, {}});
      cells.emplace_back(labels.size(), Cell{{}, std::vector<Samples>(figures.size())});
    }
    const auto l =
        static_cast<std::size_t>(std::find(labels.begin(), labels.end(), label) - labels.begin());
    if (!outcomes[i]) ++contrast.num_missing;
    AddOutcome(sweep.points[i], outcomes[i], figures, cells[it->second][l]);
  }
  for (std::size_t g = 0; g < cells.size(); ++g) {
    for (std::size_t l = 0; l < labels.size(); ++l) {
      Cell& cell = cells[g][l];
      cell.row.label = labels[l];
      const bool previous = request.against_previous;
      cell.row.is_baseline = previous ? l == 0 : l == baseline_index;
      const Cell* base = &cells[g][previous ? l - (l > 0 ? 1 : 0) : baseline_index];
      AddEffects(figures, cell.row.is_baseline ? nullptr : base, cell);
    }
    for (Cell& cell : cells[g]) contrast.groups[g].rows.push_back(std::move(cell.row));
  }
  return contrast;
}

}  // namespace sparseserve::plan
