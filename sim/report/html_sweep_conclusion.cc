#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "sim/metrics/figures.h"
#include "sim/report/html_page.h"
#include "sim/report/html_sweep.h"

namespace sparseserve::report {
namespace {

using metrics::Better;
using metrics::FigureInfo;

// One label against the baseline, in one group and one metric.
struct Comparison {
  const plan::ContrastGroup* group = nullptr;
  const plan::Effect* effect = nullptr;
  const plan::Effect* base = nullptr;
  std::string label;
  plan::Interval shown;  // relative or, of shares and beside a zero, absolute
  bool is_relative = false;
  bool is_saturated = false;  // one of the two
  double size = 0;            // of what is shown: |log ratio|, or |difference|

  bool is_known() const { return std::isfinite(shown.low); }
};

std::vector<Comparison> ComparisonsOf(const plan::Contrast& contrast, std::size_t metric) {
  std::vector<Comparison> comparisons;
  for (const plan::ContrastGroup& group : contrast.groups) {
    const auto base = std::find_if(group.rows.begin(), group.rows.end(),
                                   [](const plan::ContrastRow& row) { return row.is_baseline; });
    for (const plan::ContrastRow& row : group.rows) {
      const plan::Effect& effect = row.effects[metric];
      if (row.is_baseline || !effect.difference || base == group.rows.end()) continue;
      const bool is_share = metrics::Figures()[effect.figure].unit == "share";
      Comparison found;
      found.group = &group;
      found.effect = &effect;
      found.base = &base->effects[metric];
      found.label = row.label;
      found.is_relative = !is_share && effect.relative.has_value();
      found.shown = found.is_relative ? *effect.relative : *effect.difference;
      found.is_saturated = row.num_saturated > 0 || base->num_saturated > 0;
      found.size = found.is_relative ? std::abs(std::log(std::max(1e-9, 1 + found.shown.mean)))
                                     : std::abs(found.shown.mean);
      comparisons.push_back(std::move(found));
    }
  }
  return comparisons;
}

std::string ValueText(const FigureInfo& info, double value) {
  if (info.unit == "share") return ThreeDigits(100 * value) + " %";
  return ThreeDigits(value) + (info.unit.empty() ? "" : " " + std::string(info.unit));
}

// "+25.0 % [+21.3, +28.1]".
std::string EffectText(const FigureInfo& info, const Comparison& found) {
  const bool is_share = info.unit == "share";
  const double unit = found.is_relative || is_share ? 100 : 1;
  const auto text = [&](double value) {
    return (value > 0 ? "+" : "") + ThreeDigits(value * unit);
  };
  const std::string unit_text = found.is_relative   ? " %"
                                : is_share          ? " points"
                                : info.unit.empty() ? ""
                                                    : " " + std::string(info.unit);
  std::string out = text(found.shown.mean) + unit_text;
  if (found.is_known()) out += " [" + text(found.shown.low) + ", " + text(found.shown.high) + "]";
  return out;
}

std::string TallyText(const FigureInfo& info, const std::vector<Comparison>& comparisons) {
  std::int64_t higher = 0, lower = 0;
  for (const Comparison& found : comparisons) {
    if (!found.shown.ExcludesZero()) continue;
    (found.shown.mean > 0 ? higher : lower) += 1;
  }
  if (info.better == Better::kNeither)
    return fmt::format("Of {} comparisons {} higher, {} lower beyond the spread.",
                       comparisons.size(), higher, lower);
  if (info.better == Better::kLower) std::swap(higher, lower);
  return fmt::format("Of {} comparisons {} better, {} worse beyond the spread.", comparisons.size(),
                     higher, lower);
}

struct Sentence {
  int rank = 0;  // 0: beyond the spread; 1: spread not known; 2: nothing to tell
  double size = 0;
  std::string text;
};

// The largest effect: beyond the spread and not saturated if there is one.
Sentence SentenceOf(const plan::Contrast& contrast, const FigureInfo& info,
                    const std::vector<Comparison>& comparisons) {
  const Comparison* best = nullptr;
  const auto order = [](const Comparison& found) {
    return std::tuple(found.shown.ExcludesZero(), !found.is_saturated, found.size);
  };
  for (const Comparison& found : comparisons) {
    const bool can_be_told = found.shown.ExcludesZero() || !found.is_known();
    if (can_be_told && found.size > 0 && (best == nullptr || order(found) > order(*best)))
      best = &found;
  }
  const std::string title(info.label);
  if (best == nullptr)
    return {2, 0, fmt::format("No effect on {} beyond the spread over seeds.", title)};
  const bool is_beyond = best->shown.ExcludesZero();
  const std::string where = GroupText(contrast, *best->group);
  std::string text =
      fmt::format("{} on {}: {}, {} against {}{}: {} instead of {}{}.",
                  is_beyond ? "Largest effect" : "Largest difference (one seed, spread not known)",
                  title, best->label, EffectText(info, *best), contrast.request.baseline,
                  where.empty() ? "" : " at " + where, ValueText(info, best->effect->value.mean),
                  ValueText(info, best->base->value.mean), best->is_saturated ? ", saturated" : "");
  if (is_beyond) text += " " + TallyText(info, comparisons);
  return {is_beyond ? 0 : 1, best->size, std::move(text)};
}

}  // namespace

std::string GroupText(const plan::Contrast& contrast, const plan::ContrastGroup& group) {
  std::string text;
  for (std::size_t a = 0; a < group.labels.size(); ++a)
    text += (a > 0 ? ", " : "") + contrast.other_axes[a] + " " + group.labels[a];
  return text;
}

std::vector<std::string> SweepConclusions(const plan::Contrast& contrast) {
  std::vector<Sentence> sentences;
  const auto& effects = contrast.groups.front().rows.front().effects;
  for (std::size_t metric = 0; metric < effects.size(); ++metric) {
    const std::vector<Comparison> comparisons = ComparisonsOf(contrast, metric);
    if (comparisons.empty()) continue;
    sentences.push_back(
        SentenceOf(contrast, metrics::Figures()[effects[metric].figure], comparisons));
  }
  std::stable_sort(sentences.begin(), sentences.end(), [](const Sentence& a, const Sentence& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.size > b.size;
  });
  std::vector<std::string> texts;
  for (Sentence& sentence : sentences) texts.push_back(std::move(sentence.text));
  if (texts.empty()) texts.emplace_back("There is nothing to compare yet.");
  return texts;
}

std::vector<std::string> SweepWarnings(const plan::Sweep& sweep, const plan::Contrast& contrast) {
  std::vector<std::string> warnings;
  if (contrast.num_missing > 0)
    warnings.push_back(
        fmt::format("{} of {} points have not run yet; the same sweep command goes on.",
                    contrast.num_missing, sweep.points.size()));
  std::int64_t saturated = 0, extrapolated = 0, rows = 0, most_seeds = 0;
  std::map<std::string, std::int64_t> infeasible;  // by label
  for (const plan::ContrastGroup& group : contrast.groups) {
    for (const plan::ContrastRow& row : group.rows) {
      ++rows;
      saturated += row.num_saturated > 0 ? 1 : 0;
      extrapolated += row.extrapolated ? 1 : 0;
      most_seeds = std::max(most_seeds, row.num_done);
      if (!row.infeasible.empty()) ++infeasible[row.label];
    }
  }
  const auto groups = contrast.groups.size();
  for (const auto& [label, count] : infeasible)
    warnings.push_back(fmt::format("{} cannot run in {} of {} combinations; the tables say why.",
                                   label, count, groups));
  if (saturated > 0)
    warnings.push_back(fmt::format(
        "{} of {} rows are saturated with one of the seeds: the queue keeps growing, so latencies "
        "depend on the length of the run and only throughput can be compared.",
        saturated, rows));
  if (extrapolated > 0)
    warnings.push_back(fmt::format(
        "{} of {} rows are extrapolated: a cost lies outside the range in which it was measured.",
        extrapolated, rows));
  if (most_seeds == 1)
    warnings.emplace_back("One seed says nothing about the spread: there are no intervals.");
  return warnings;
}

}  // namespace sparseserve::report
