#include "models/selection/replacement_plan.h"

#include <gtest/gtest.h>

#include "models/selection/locality_model.h"

namespace sparseserve::selection {
namespace {

constexpr double kTwoTo32 = 0x1.0p32;
constexpr double kTwoTo64 = 0x1.0p64;

double ReturnShare(const ReplacementPlan& plan, std::int64_t gap) {
  const double before = gap == 2 ? 0 : plan.returns[gap - 3];
  return (plan.returns[gap - 2] - before) / kTwoTo32;
}

TEST(ReplacementPlanTest, AsManyLeaveAsTheAdjacentOverlapAsks) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 960});
  EXPECT_NEAR(static_cast<double>(plan.leave) / kTwoTo64 * 60, 64 * 0.2, 1e-6);
}

TEST(ReplacementPlanTest, InAnEndlessContextReturnsAreTheIncrements) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 1'000'000'000});
  for (std::int64_t gap = 2; gap <= kMaxWindow; ++gap)
    EXPECT_NEAR(ReturnShare(plan, gap) * 0.2, curve.At(gap) - curve.At(gap - 1), 1e-6) << gap;
}

// Returns, chance returns and what is new to the window make up all replacements, on the curve.
TEST(ReplacementPlanTest, ChanceReturnsAreTakenOffTheReturns) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 1984});
  const double fresh = 0.2 * (1 - plan.returns.back() / kTwoTo32);
  const double hazard = fresh / (1984.0 / 64 - (0.2 - fresh));
  for (std::int64_t gap = 2; gap <= kMaxWindow; ++gap) {
    const double returns = ReturnShare(plan, gap) * 0.2;
    const double by_chance = (1 - curve.At(gap - 1) - returns) * hazard;
    EXPECT_NEAR(returns + by_chance, curve.At(gap) - curve.At(gap - 1), 1e-6);
  }
}

TEST(ReplacementPlanTest, InACrowdedContextEveryReplacementIsFresh) {
  const OverlapCurve curve(LocalityConfig{}.overlap);
  const ReplacementPlan plan = PlanReplacements(curve, 1, {64, 60, 16});
  EXPECT_NEAR(plan.returns.back() / kTwoTo32, 0, 1e-6);
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
