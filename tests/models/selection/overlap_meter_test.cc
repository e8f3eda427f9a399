#include "models/selection/overlap_meter.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "sim/core/rng.h"

namespace sparseserve::selection {
namespace {

TEST(OverlapMeterTest, AFixedSelectionOverlapsFully) {
  OverlapMeter meter(1);
  meter.BeginGroup(0);
  meter.Observe(0, 3, {{1, 2, 3}, {}});
  for (int step = 0; step < 20; ++step) meter.Observe(0, 3, {});
  EXPECT_EQ(meter.MeasuredSteps(1), 20);
  EXPECT_EQ(meter.MeasuredSteps(16), 5);
  EXPECT_EQ(meter.Overlap(1), 1);
  EXPECT_EQ(meter.Overlap(16), 1);
}

TEST(OverlapMeterTest, TwoUnitsThatAlternateOverlapAtWindowTwo) {
  OverlapMeter meter(1);
  meter.BeginGroup(3);
  meter.Observe(3, 2, {{0}, {}});
  for (int step = 0; step < 20; ++step) {
    const Unit in = step % 2 == 0 ? 1 : 0;
    meter.Observe(3, 2, {{in}, {1 - in}});
  }
  EXPECT_EQ(meter.Overlap(1), 0);
  EXPECT_EQ(meter.Overlap(2), 1);
}

// Differential: random selections against sets kept in full.
TEST(OverlapMeterTest, AgreesWithTheDefinition) {
  OverlapMeter meter(1);
  CounterRng rng(11);
  double expected[kMaxWindow + 1] = {};
  int steps[kMaxWindow + 1] = {};
  for (std::size_t group = 0; group < 3; ++group) {
    meter.BeginGroup(group);
    std::deque<std::set<Unit>> history;  // newest first
    for (int step = 0; step < 60; ++step) {
      std::set<Unit> now;
      const std::uint32_t size = 1 + rng.Below(12);
      while (now.size() < size) now.insert(rng.Below(40));
      SelectionDelta delta;
      const std::set<Unit> before = history.empty() ? std::set<Unit>{} : history.front();
      for (const Unit unit : now)
        if (!before.contains(unit)) delta.added.push_back(unit);
      for (const Unit unit : before)
        if (!now.contains(unit)) delta.removed.push_back(unit);
      meter.Observe(group, 40, delta);
      for (std::int64_t window = 1; window <= std::min<std::int64_t>(step, kMaxWindow); ++window) {
        int seen = 0;
        for (const Unit unit : now)
          for (std::int64_t back = 0; back < window; ++back)
            if (history[back].contains(unit)) {
              ++seen;
              break;
            }
        expected[window] += seen / double(now.size());
        ++steps[window];
      }
      history.push_front(now);
    }
  }
  for (std::int64_t window = 1; window <= kMaxWindow; ++window) {
    EXPECT_EQ(meter.MeasuredSteps(window), steps[window]) << window;
    EXPECT_NEAR(meter.Overlap(window), expected[window] / steps[window], 1e-12) << window;
  }
}

// Two units that alternate at a context of 100 blocks, a fixed selection at 200.
OverlapMeter TwoContexts() {
  OverlapMeter meter(1);
  meter.BeginGroup(0);
  meter.BeginGroup(1);
  meter.Observe(0, 100, {{0, 7, 8, 9}, {}});
  meter.Observe(1, 200, {{0, 7, 8, 9}, {}});
  for (int step = 0; step < 40; ++step) {
    const Unit in = step % 2 == 0 ? 1 : 0;
    meter.Observe(0, 100, {{in}, {1 - in}});
    meter.Observe(1, 200, {});
  }
  return meter;
}

TEST(OverlapMeterTest, BlocksNewToTheContextAreLeftOut) {
  OverlapMeter meter(2);
  meter.BeginGroup(0);
  meter.Observe(0, 3, {{0, 1, 4, 5}, {}});
  meter.Observe(0, 4, {{6, 7}, {4, 5}});  // block 3 is new, block 0 stays
  EXPECT_EQ(meter.Overlap(1), 1);
  meter.Observe(0, 4, {{2}, {0}});  // block 1 is not: 1, 6 and 7 of 4 units stay
  EXPECT_DOUBLE_EQ(meter.Overlap(1), (1 + 0.75) / 2);
}

TEST(OverlapMeterTest, AFitHasACurveForEachContext) {
  const std::vector<OverlapPoint> points = TwoContexts().Fit(2, Tokens(16));
  const OverlapCurves curves(points);
  EXPECT_EQ(points.front().context, Tokens(1600));
  EXPECT_EQ(points.back().context, Tokens(3200));
  EXPECT_DOUBLE_EQ(curves.At(1600).At(1), 0.75);
  EXPECT_EQ(curves.At(1600).At(2), 1);
  EXPECT_EQ(curves.At(3200).At(1), 1);
}

TEST(OverlapMeterTest, AFitTellsContextsApartThatDifferByABlock) {
  OverlapMeter meter(1);
  for (std::size_t group = 0; group < 2; ++group) {
    const std::int64_t context = 97 + static_cast<std::int64_t>(group);
    meter.BeginGroup(group);
    meter.Observe(group, context, {{0, 7, 8, 9}, {}});
    for (Unit step = 1; step <= 10; ++step)
      meter.Observe(group, context,
                    group == 0 ? SelectionDelta{} : SelectionDelta{{step % 2}, {(step + 1) % 2}});
  }
  const std::vector<OverlapPoint> points = meter.Fit(8, Tokens(16));
  const OverlapCurves curves(points);
  EXPECT_EQ(curves.At(97 * 16).At(1), 1);
  EXPECT_DOUBLE_EQ(curves.At(98 * 16).At(1), 0.75);
}

TEST(OverlapMeterTest, AFitOfOneContextIsTheMean) {
  const OverlapMeter meter = TwoContexts();
  const std::vector<OverlapPoint> points = meter.Fit(1, Tokens(16));
  EXPECT_EQ(points.front().context, Tokens(2400));
  EXPECT_DOUBLE_EQ(points.front().overlap, meter.Overlap(1));
  EXPECT_DOUBLE_EQ(points.front().overlap, 0.875);
}

TEST(OverlapMeterTest, WhatWasAskedIsTheMeanOverTheContextsMeasured) {
  const OverlapCurves curves(std::vector<OverlapPoint>{
      {1, 0.5, Tokens(1600)}, {1, 0.9, Tokens(3200)}, {1, 0.99, Tokens(100'000)}});
  EXPECT_NEAR(TwoContexts().Asked(curves, Tokens(16), 1), 0.7, 1e-12);
}

TEST(OverlapMeterTest, AFitOfNothingIsEmpty) {
  OverlapMeter meter(1);
  EXPECT_TRUE(meter.Fit(4, Tokens(16)).empty());
  meter.BeginGroup(0);
  meter.Observe(0, 5, {{1, 2}, {}});  // nothing to compare it with
  EXPECT_TRUE(meter.Fit(4, Tokens(16)).empty());
  EXPECT_EQ(meter.Overlap(1), 0);
}

}  // namespace
}  // namespace sparseserve::selection
