#include "models/selection/overlap_meter.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "sim/core/rng.h"

namespace sparseserve::selection {
namespace {

TEST(OverlapMeterTest, AFixedSelectionOverlapsFully) {
  OverlapMeter meter;
  meter.BeginGroup(0);
  meter.Observe(0, {{1, 2, 3}, {}});
  for (int step = 0; step < 20; ++step) meter.Observe(0, {});
  EXPECT_EQ(meter.measured_steps(), 5);
  EXPECT_EQ(meter.Overlap(1), 1);
  EXPECT_EQ(meter.Overlap(16), 1);
}

TEST(OverlapMeterTest, TwoUnitsThatAlternateOverlapAtWindowTwo) {
  OverlapMeter meter;
  meter.BeginGroup(3);
  meter.Observe(3, {{0}, {}});
  for (int step = 0; step < 20; ++step) {
    const Unit in = step % 2 == 0 ? 1 : 0;
    meter.Observe(3, {{in}, {1 - in}});
  }
  EXPECT_EQ(meter.Overlap(1), 0);
  EXPECT_EQ(meter.Overlap(2), 1);
}

// Differential: random selections against sets kept in full.
TEST(OverlapMeterTest, AgreesWithTheDefinition) {
  OverlapMeter meter;
  CounterRng rng(11);
  double expected[kMaxWindow + 1] = {};
  int steps = 0;
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
      meter.Observe(group, delta);
      if (step >= kMaxWindow) {
        ++steps;
        for (std::int64_t window = 1; window <= kMaxWindow; ++window) {
          int seen = 0;
          for (const Unit unit : now)
            for (std::int64_t back = 0; back < window; ++back)
              if (history[back].contains(unit)) {
                ++seen;
                break;
              }
          expected[window] += seen / double(now.size());
        }
      }
      history.push_front(now);
    }
  }
  EXPECT_EQ(meter.measured_steps(), steps);
  for (std::int64_t window = 1; window <= kMaxWindow; ++window)
    EXPECT_NEAR(meter.Overlap(window), expected[window] / steps, 1e-12) << window;
}

}  // namespace
}  // namespace sparseserve::selection
