// The odds by which a lane replaces blocks at one step, such that its overlap follows a curve.
//
// Per step a lane of `selected` blocks replaces selected * (1 - o(1)) of them. A replacement is a
// *return* of a block last selected exactly j steps ago, 2 <= j <= kMaxWindow, or a *fresh* draw
// among the other unselected blocks. Fresh draws hit recently left blocks as well: each with hazard
// h = F / (M - R) per step (F fresh draws, R returns, M unselected blocks). In the stationary state
// selected * (1 - o(j-1)) blocks were last selected exactly j steps ago; with r(j) of them
// returned,
//     P(gap = j) = r(j) + (1 - o(j-1) - r(j)) * h,
// and returns add what the curve asks beyond chance. Where the context is so small that fresh draws
// alone lift the overlap above the curve, returns vanish: it could stay on the curve only if a
// block that just left were *less* likely to be selected than one long unseen. F follows by
// bisection from: returns + F = replacements. Skewed popularity raises the hazard of popular
// blocks; the plan ignores this.
#pragma once

#include <array>
#include <cstdint>

#include "models/selection/overlap_curve.h"

namespace sparseserve::selection {

struct LaneShape {
  std::int64_t selected = 0;    // blocks, always-selected ones included
  std::int64_t dynamic = 0;     // of these, the ones that may be replaced
  std::int64_t unselected = 0;  // blocks that may come in
};

struct ReplacementPlan {
  // P(a dynamic block leaves), in units of 2^-64.
  std::uint64_t leave = 0;
  // A replacement with uniform bits u returns from gap 2 + #{i : u >= returns[i]}; beyond
  // kMaxWindow it is fresh. P in units of 2^-32.
  std::array<std::uint32_t, kMaxWindow - 1> returns{};
  // P(an unselected block comes in by chance), h above.
  double hazard = 0;
};

// `change_scale` multiplies 1 - o(w) at every w: how much more than the average a layer changes.
ReplacementPlan PlanReplacements(const OverlapCurve& curve, double change_scale,
                                 const LaneShape& shape);

}  // namespace sparseserve::selection
