#include "models/selection/replacement_plan.h"

#include <algorithm>
#include <cmath>

namespace sparseserve::selection {
namespace {

using PerGap = std::array<double, kMaxWindow - 1>;  // of gaps 2 .. kMaxWindow

struct Returns {  // shares of the selected blocks
  PerGap share;   // r(j)
  PerGap absent;  // 1 - o(j-1): last selected exactly j steps ago
};

// Returns are taken out before fresh blocks are drawn from the rest.
double Hazard(double replaced, double fresh, const LaneShape& shape) {
  const double drawn_from =
      static_cast<double>(shape.unselected) / static_cast<double>(shape.selected) -
      (replaced - fresh);
  return fresh < drawn_from ? fresh / drawn_from : 1;
}

// What returns have to add per gap when fresh draws are the share `fresh` of the selected blocks,
// so that no more than asked_absent[] is new to each window. Returns their sum.
double SplitReturns(const PerGap& asked_absent, double replaced, double fresh,
                    const LaneShape& shape, Returns& returns) {
  const double missed = 1 - Hazard(replaced, fresh, shape);
  double absent = replaced;  // 1 - o(j-1) as it will be realised
  double sum = 0;
  for (std::size_t i = 0; i < asked_absent.size(); ++i) {
    returns.absent[i] = absent;
    returns.share[i] = missed > 0 ? std::max(0.0, absent - asked_absent[i] / missed) : 0;
    absent = (absent - returns.share[i]) * missed;
    sum += returns.share[i];
  }
  return sum;
}

void SetOdds(const Returns& returns, double selected, ReplacementPlan& plan) {
  constexpr double kMost = 7;  // q = 0.999: beyond it the odds of the other gaps would be rounded
  PerGap odds{};
  double most = 0;
  for (std::size_t i = 0; i < odds.size(); ++i) {
    if (!(returns.share[i] > 0)) continue;
    odds[i] = std::min(kMost, -std::log1p(-std::min(1.0, returns.share[i] / returns.absent[i])));
    most = std::max(most, odds[i]);
  }
  if (!(most > 0)) return;
  // A lane remembers less than 33 blocks for each selected one (RingBlocks), and expects less than
  // kMaxWindow.
  const double scale = 0x1.0p26 / (selected + 16) / most;
  for (std::size_t i = 0; i < odds.size(); ++i) {
    plan.odds[i] = static_cast<std::uint32_t>(odds[i] * scale);
    plan.expected_odds[i] = static_cast<std::uint32_t>(plan.odds[i] * returns.absent[i] * selected);
  }
}

std::uint64_t ToFixed64(double probability) {
  return probability >= 1 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(probability * 0x1.0p64);
}

}  // namespace

ReplacementPlan PlanReplacements(const OverlapCurve& curve, double change_scale,
                                 const LaneShape& shape) {
  ReplacementPlan plan;
  const double selected = static_cast<double>(shape.selected);
  const double most = static_cast<double>(std::min(shape.dynamic, shape.unselected));
  const double replaced = std::min(change_scale * (1 - curve.At(1)), most / selected);
  if (!(replaced > 0)) return plan;  // nothing ever leaves

  PerGap asked_absent;
  Returns returns;
  for (std::int64_t gap = 2; gap <= kMaxWindow; ++gap)
    asked_absent[gap - 2] = change_scale * (1 - curve.At(gap));
  double low = 0, high = replaced;  // fresh draws, as a share of the selected blocks
  for (int i = 0; i < 32; ++i) {
    const double fresh = (low + high) / 2;
    (fresh + SplitReturns(asked_absent, replaced, fresh, shape, returns) < replaced ? low : high) =
        fresh;
  }

  plan.leave = ToFixed64(replaced * selected / static_cast<double>(shape.dynamic));
  plan.hazard = Hazard(replaced, (low + high) / 2, shape);
  plan.returns = ToFixed64(1 - (low + high) / 2 / replaced);
  SetOdds(returns, selected, plan);
  return plan;
}

}  // namespace sparseserve::selection
