// The odds by which a lane replaces blocks at one step, such that its overlap follows a curve.
//
// Per step a lane of `selected` blocks replaces selected * (1 - o(1)) of them. A replacement is a
// *return* of a block last selected exactly j steps ago, 2 <= j <= kMaxWindow, or a *fresh* draw
// among the other unselected blocks. Fresh draws hit recently left blocks as well: each with hazard
// h = F / (M - R) per step (F fresh draws, R returns, M unselected blocks). In the stationary state
// selected * (1 - o(j-1)) blocks were last selected exactly j steps ago; with r(j) of them
// returned,
//     P(gap = j) = r(j) + (1 - o(j-1) - r(j)) * h,
// and returns add what the curve asks beyond chance: each of these blocks returns with probability
// q(j) = r(j) / (1 - o(j-1)). A lane draws as many returns as it needs one after the other; a block
// that is drawn with odds -log(1 - q) has probability q by the time all are drawn. Odds per block,
// not per gap, because in a small context a lane has few blocks of a long gap, and often none.
// Where the context is so small that fresh draws alone lift the overlap above the curve, returns
// vanish: it could stay on the curve only if a block that just left were *less* likely to be
// selected than one long unseen. F follows by bisection from: returns + F = replacements. Skewed
// popularity raises the hazard of popular blocks; the plan ignores this.
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
  // P(a replacement is a return), in units of 2^-64.
  std::uint64_t returns = 0;
  // The odds that a return is this block, relative to those of other blocks, by gap - 2; 0 for the
  // last, which no lane remembers. Summed over the blocks that one remembers they stay below 2^32.
  std::array<std::uint32_t, kMaxWindow> odds{};
  // The odds of all blocks of a gap together, when there are as many as expected.
  std::array<std::uint32_t, kMaxWindow> expected_odds{};
  // P(an unselected block comes in by chance), h above.
  double hazard = 0;
};

// `change_scale` multiplies 1 - o(w) at every w: how much more than the average a layer changes.
ReplacementPlan PlanReplacements(const OverlapCurve& curve, double change_scale,
                                 const LaneShape& shape);

}  // namespace sparseserve::selection
