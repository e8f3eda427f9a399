#include "models/selection/replacement_plan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "models/selection/locality_model.h"

namespace sparseserve::selection {
namespace {

constexpr double kTwoTo64 = 0x1.0p64;

double ReturnShare(const ReplacementPlan& plan) {
  return static_cast<double>(plan.returns) / kTwoTo64;
}

// A block of a gap stays away with probability (1 - o(gap)) / (1 - o(gap - 1)), of which chance, by
// `hazard`, is a part: the odds of the gap are minus the logarithm of the rest.
double AskedOdds(const OverlapCurve& curve, std::int64_t gap, double hazard) {
  return std::log((1 - curve.At(gap - 1)) * (1 - hazard) / (1 - curve.At(gap)));
}

void ExpectOdds(const ReplacementPlan& plan, const OverlapCurve& curve, double hazard) {
  for (std::int64_t gap = 2; gap <= kMaxWindow; ++gap) {
    const double ratio = static_cast<double>(plan.odds[gap - 2]) / plan.odds[0];
    EXPECT_NEAR(ratio, AskedOdds(curve, gap, hazard) / AskedOdds(curve, 2, hazard), 1e-4) << gap;
    EXPECT_NEAR(plan.expected_odds[gap - 2] / static_cast<double>(plan.odds[gap - 2]),
                64 * (1 - curve.At(gap - 1)), 1e-3)
        << gap;
  }
}

TEST(ReplacementPlanTest, AsManyLeaveAsTheAdjacentOverlapAsks) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 960});
  EXPECT_NEAR(static_cast<double>(plan.leave) / kTwoTo64 * 60, 64 * 0.2, 1e-6);
}

TEST(ReplacementPlanTest, InAnEndlessContextReturnsAreTheIncrements) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 1'000'000'000});
  EXPECT_NEAR(ReturnShare(plan) * 0.2, curve.At(kMaxWindow) - curve.At(1), 1e-6);
  ExpectOdds(plan, curve, 0);
}

// Returns and chance together bring back what the curve asks.
TEST(ReplacementPlanTest, ChanceReturnsAreTakenOffTheReturns) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 1984});
  const double fresh = 0.2 * (1 - ReturnShare(plan));
  ExpectOdds(plan, curve, fresh / (1984.0 / 64 - (0.2 - fresh)));
}

TEST(ReplacementPlanTest, InACrowdedContextEveryReplacementIsFresh) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 16});
  EXPECT_NEAR(ReturnShare(plan), 0, 1e-6);
}

// A gap of which every block returns does not leave the others without odds.
TEST(ReplacementPlanTest, NothingIsNewToAWindowThatHoldsAll) {
  const OverlapCurve curve(std::vector<OverlapPoint>{{1, 0.5}, {2, 0.7}, {3, 0.8}, {4, 1.0}});
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 1984});
  EXPECT_NEAR(ReturnShare(plan), 1, 1e-6);
  EXPECT_GT(plan.odds[0], 10'000U);
  EXPECT_GT(plan.odds[2], plan.odds[0]);
}

TEST(ReplacementPlanTest, NoMoreLeaveThanCanComeIn) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 3});
  EXPECT_NEAR(static_cast<double>(plan.leave) / kTwoTo64 * 60, 3, 1e-6);
}

TEST(ReplacementPlanTest, NothingLeavesWhenNothingMay) {
  const std::vector<OverlapPoint> all = {{1, 1.0}};
  EXPECT_EQ(PlanReplacements(OverlapCurve(all), 1, {64, 60, 960}).leave, 0U);
  const OverlapCurve curve(LocalityConfig{}.overlap);
  EXPECT_EQ(PlanReplacements(curve, 1, {4, 0, 960}).leave, 0U);
  EXPECT_EQ(PlanReplacements(curve, 0, {64, 60, 960}).leave, 0U);
}

}  // namespace
}  // namespace sparseserve::selection
