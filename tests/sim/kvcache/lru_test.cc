// LRU and layer-cyclic, fact by fact. That all decisions agree with the plain forms is tested in
// eviction_policy_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <tuple>

#include "sim/core/rng.h"
#include "tests/sim/kvcache/one_layer.h"

namespace sparseserve::kvcache {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(LruTest, AUnitThatStaysSelectedIsUsedWithItsGroup) {
  OneLayer hbm(4);
  hbm.AddSaved(0, 4);
  hbm.AddSaved(1, 4);
  hbm.Step(0, {0, 1});
  hbm.Step(1, {0, 1});
  hbm.Step(0, {});                                // uses request 0's units again
  EXPECT_THAT(hbm.Step(0, {2}), ElementsAre(2));  // so one of request 1's goes
  EXPECT_THAT(hbm.Resident(0), ElementsAre(0, 1, 2));
  EXPECT_THAT(hbm.Resident(1), ElementsAre(1));  // the lower unit first
}

TEST(LruTest, AUnitThatLeftWasLastUsedAtTheUseBefore) {
  OneLayer hbm(4);
  hbm.AddSaved(0, 4);
  hbm.AddSaved(1, 4);
  hbm.Step(0, {0, 1});
  hbm.Step(1, {0, 1});
  hbm.Step(0, {}, {0});  // unit 0 was last used before request 1's units
  hbm.Step(0, {2});
  EXPECT_THAT(hbm.Resident(0), ElementsAre(1, 2));
  EXPECT_THAT(hbm.Resident(1), ElementsAre(0, 1));
}

TEST(LruTest, AmongUnitsThatLeftTogetherTheFirstReportedGoesFirst) {
  OneLayer hbm(4);
  hbm.AddSaved(0, 6);
  hbm.Step(0, {0, 1, 2, 3});
  hbm.Step(0, {}, {2, 0});
  hbm.Step(0, {4});
  EXPECT_THAT(hbm.Resident(0), ElementsAre(0, 1, 3, 4));
}

TEST(LruTest, ASelectedUnitThatWasEvictedIsAMissAtTheNextStepUnlessItLeaves) {
  OneLayer hbm(2);
  hbm.AddSaved(0, 4);
  hbm.AddSaved(1, 4);
  hbm.Step(0, {0, 1});
  hbm.Step(1, {0, 1});
  EXPECT_THAT(hbm.Step(0, {}, {1}), ElementsAre(0));
  EXPECT_EQ(hbm.cache.stats().loads, 5);
}

TEST(LruTest, ACycleLargerThanHbmMissesOnEverything) {
  OneLayer hbm(6);
  for (RequestIndex request = 0; request < 4; ++request) {
    hbm.AddSaved(request, 2);
    hbm.Step(request, {0, 1});
  }
  for (RequestIndex request = 0; request < 4; ++request) {
    EXPECT_THAT(hbm.Step(request, {}), ElementsAre(0, 1));
  }
}

TEST(LayerCyclicTest, ACycleLargerThanHbmKeepsWhatFits) {
  OneLayer hbm(6, "layer-cyclic");
  for (RequestIndex request = 0; request < 4; ++request) hbm.AddSaved(request, 2);
  for (RequestIndex request = 0; request < 4; ++request) hbm.Step(request, {0, 1});
  EXPECT_THAT(hbm.Step(0, {}), IsEmpty());
  EXPECT_THAT(hbm.Step(1, {}), IsEmpty());
  EXPECT_THAT(hbm.Step(2, {}), ElementsAre(0, 1));  // request 3 had taken its place
  EXPECT_THAT(hbm.Step(3, {}), IsEmpty());
}

TEST(LayerCyclicTest, WhatIsNoLongerSelectedGoesFirstInTheOrderOfLeaving) {
  OneLayer hbm(4, "layer-cyclic");
  hbm.AddSaved(0, 4);
  hbm.AddSaved(1, 4);
  hbm.Step(0, {0, 1});
  hbm.Step(1, {0, 1});
  hbm.Step(1, {}, {1});
  hbm.Step(0, {}, {0});
  hbm.Step(0, {2});
  EXPECT_THAT(hbm.Resident(1), ElementsAre(0));
  hbm.Step(0, {3});
  EXPECT_THAT(hbm.Resident(0), ElementsAre(1, 2, 3));
}

// Long without an eviction, so that what the policy notes about units that come and go is tidied
// many times; then everything is evicted, one by one.
TEST(UnselectedLogTest, UnitsThatCameAndWentOftenLeaveInTheOrderOfTheirLastUse) {
  constexpr Unit kUnits = 100;
  for (const std::string eviction : {"lru", "layer-cyclic"}) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      SCOPED_TRACE(eviction + " seed " + std::to_string(seed));
      CounterRng rng(seed);
      OneLayer hbm(kUnits, eviction);
      hbm.AddResident(0, kUnits);
      std::vector<bool> selected(kUnits, false);
      std::vector<int> left(kUnits, 0);  // when the unit ceased to be selected
      for (int step = 1; step <= 500; ++step) {
        std::vector<Unit> added, removed;
        for (Unit unit = 0; unit < kUnits; ++unit) {
          if (rng.Below(1 + unit / 4) != 0) continue;  // some move often, some seldom
          (selected[unit] ? removed : added).push_back(unit);
          if (selected[unit]) left[unit] = step;
          selected[unit] = !selected[unit];
        }
        ASSERT_THAT(hbm.Step(0, added, removed), IsEmpty());
      }
      hbm.cache.BeginLayer();
      std::vector<Unit> order(kUnits), evicted;
      for (Unit unit = 0; unit < kUnits; ++unit) order[unit] = unit;
      std::sort(order.begin(), order.end(), [&](Unit a, Unit b) {
        const auto rank = [&](Unit unit) {
          return std::tuple(selected[unit] ? 1000 : left[unit], unit);
        };
        return rank(a) < rank(b);
      });
      Reservation space;
      while (evicted.size() < kUnits) {
        const std::vector<Unit> before = hbm.Resident(0);
        ASSERT_TRUE(hbm.cache.Reserve(1, space));
        hbm.cache.Audit();
        const std::vector<Unit> after = hbm.Resident(0);
        std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                            std::back_inserter(evicted));
      }
      EXPECT_EQ(evicted, order);
    }
  }
}

}  // namespace
}  // namespace sparseserve::kvcache
