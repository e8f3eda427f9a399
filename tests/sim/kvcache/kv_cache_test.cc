#include "sim/kvcache/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "sim/core/error.h"
#include "tests/sim/kvcache/one_layer.h"

namespace sparseserve::kvcache {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(KvCacheTest, WithRoomForAllOnlyColdLoadsHappen) {
  OneLayer hbm(10);
  hbm.AddSaved(0, 10);
  EXPECT_THAT(hbm.Step(0, {3, 1}), ElementsAre(1, 3));
  EXPECT_THAT(hbm.Step(0, {5}, {1}), ElementsAre(5));
  EXPECT_THAT(hbm.Step(0, {1}, {3, 5}), IsEmpty());
  EXPECT_THAT(hbm.Step(0, {}), IsEmpty());
  EXPECT_EQ(hbm.cache.stats().loads, 3);
  EXPECT_EQ(hbm.cache.stats().evictions, 0);
  EXPECT_EQ(hbm.cache.stats().touches, 2 + 2 + 1 + 1);
}

TEST(KvCacheTest, OnlyLoadsOfEvictedUnitsAreReloads) {
  OneLayer hbm(2);
  hbm.AddSaved(0, 4);
  hbm.Step(0, {0, 1});
  EXPECT_EQ(hbm.cache.stats().reloads, 0) << "saved, never in HBM";
  hbm.Step(0, {2}, {0, 1});  // evicts 0 or 1
  EXPECT_EQ(hbm.cache.stats().evictions, 1);
  hbm.Step(0, {0, 1}, {2});
  EXPECT_EQ(hbm.cache.stats().loads, 4);
  EXPECT_EQ(hbm.cache.stats().reloads, 1);
  hbm.cache.RemoveRequest(0);
  hbm.AddResident(0, 1);
  hbm.AddSaved(1, 2);
  hbm.Step(1, {0, 1});  // evicts the block that was computed in HBM
  hbm.Step(0, {0});
  EXPECT_EQ(hbm.cache.stats().loads, 7);
  EXPECT_EQ(hbm.cache.stats().reloads, 2) << "an index starts anew with its next request";
}

TEST(KvCacheTest, UnitsInUseAreNotEvictedUntilTheNextLayer) {
  OneLayer hbm(3);
  hbm.AddSaved(0, 4);
  hbm.AddSaved(1, 4);
  hbm.cache.BeginLayer();
  hbm.cache.Select(0, 0, std::vector<Unit>{0, 1}, {});
  hbm.cache.Select(1, 0, std::vector<Unit>{0, 1}, {});
  std::vector<Load> loads;
  std::int64_t num_loads = 0;
  EXPECT_FALSE(hbm.cache.LoadMisses(num_loads, &loads));
  EXPECT_EQ(num_loads, 3) << "what can be done is done";
  EXPECT_EQ(loads.size(), 3u);
  Reservation space;
  EXPECT_FALSE(hbm.cache.Reserve(1, space));
  hbm.cache.BeginLayer();
  EXPECT_TRUE(hbm.cache.Reserve(1, space));
  hbm.cache.Audit();
}

TEST(KvCacheTest, DirtyUnitsStayUntilTheirSaveCompletes) {
  OneLayer hbm(4);
  hbm.AddResident(0, 3, /*ticket=*/7);
  hbm.AddSaved(1, 4);
  EXPECT_THAT(hbm.Step(1, {0, 1}), ElementsAre(0));
  EXPECT_FALSE(hbm.complete);
  hbm.cache.CompleteSaves(6);
  std::int64_t num_loads = 0;
  EXPECT_FALSE(hbm.cache.LoadMisses(num_loads));
  hbm.cache.CompleteSaves(7);
  EXPECT_TRUE(hbm.cache.LoadMisses(num_loads));
  EXPECT_EQ(num_loads, 1);
  EXPECT_THAT(hbm.Resident(0), ElementsAre(1, 2));
}

TEST(KvCacheTest, ALoadThatFailedComesBackAtTheNextStep) {
  OneLayer hbm(2);
  hbm.AddResident(0, 1, /*ticket=*/1);
  hbm.AddSaved(1, 3);
  EXPECT_THAT(hbm.Step(1, {0, 2}), ElementsAre(0));
  EXPECT_FALSE(hbm.complete);
  hbm.cache.CompleteSaves(1);
  EXPECT_THAT(hbm.Step(1, {}), ElementsAre(2));
  EXPECT_TRUE(hbm.complete);
}

TEST(KvCacheTest, AnAppendedBlockIsDirtyFromBirthUntilAMarkedSaveCompletes) {
  OneLayer hbm(2);
  hbm.AddSaved(0, 1);
  ASSERT_TRUE(hbm.cache.ReserveDram(0, 4));
  ASSERT_TRUE(hbm.cache.AppendBlock(0));
  ASSERT_TRUE(hbm.cache.AppendBlock(0));
  hbm.cache.CompleteSaves(100);
  EXPECT_FALSE(hbm.cache.AppendBlock(0));
  EXPECT_EQ(hbm.cache.num_blocks(0), 3);
  hbm.cache.MarkTailDirty(0, 101);  // covers both blocks
  hbm.cache.CompleteSaves(101);
  EXPECT_TRUE(hbm.cache.AppendBlock(0));
  EXPECT_THAT(hbm.Resident(0), ElementsAre(2, 3));
  hbm.cache.Audit();
}

TEST(KvCacheTest, RewritingTheTailMakesItDirtyAgain) {
  OneLayer hbm(2);
  hbm.AddResident(0, 2);
  hbm.AddSaved(1, 2);
  hbm.cache.MarkTailDirty(0, 1);
  EXPECT_THAT(hbm.Step(1, {0, 1}), ElementsAre(0));
  EXPECT_THAT(hbm.Resident(0), ElementsAre(1));
  hbm.cache.CompleteSaves(1);
  EXPECT_THAT(hbm.Step(1, {}), ElementsAre(1));
  EXPECT_THAT(hbm.Resident(0), IsEmpty());
}

TEST(KvCacheTest, ReserveTakesAllItAsksForOrNothing) {
  OneLayer hbm(4);
  hbm.AddResident(0, 2, /*ticket=*/1);
  hbm.AddResident(1, 2);
  Reservation space;
  EXPECT_FALSE(hbm.cache.Reserve(3, space));
  EXPECT_EQ(space.size(), 0);
  EXPECT_EQ(hbm.cache.resident_slots(), 4) << "nothing was evicted";
  EXPECT_TRUE(hbm.cache.Reserve(2, space));
  EXPECT_EQ(hbm.cache.reserved_slots(), 2);
  EXPECT_THAT(hbm.Resident(1), IsEmpty());
  hbm.cache.Release(space, 2);
  EXPECT_EQ(space.size(), 0);
  EXPECT_EQ(hbm.cache.stats().hbm_peak_slots, 4);
  hbm.cache.Audit();
}

TEST(KvCacheTest, AdoptPrefillKeepsTheSlotsItWasComputedIn) {
  KvCache cache({.num_layers = 2, .heads = 2, .hbm_slots = 20, .dram_blocks = 4});
  Reservation space;
  ASSERT_TRUE(cache.Reserve(13, space));
  const std::set<Slot> reserved(space.slots.begin(), space.slots.end());
  cache.AddRequest(0);
  ASSERT_TRUE(cache.ReserveDram(0, 3));
  cache.AdoptPrefill(0, 3, space, 3, 0);
  EXPECT_EQ(space.size(), 1);
  EXPECT_EQ(cache.reserved_slots(), 1);
  std::set<Slot> adopted;
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    for (Unit unit = 0; unit < 6; ++unit) {
      EXPECT_TRUE(reserved.contains(cache.SlotOf(0, layer, unit)));
      adopted.insert(cache.SlotOf(0, layer, unit));
    }
  }
  EXPECT_EQ(adopted.size(), 12u);
  EXPECT_EQ(cache.WorkingSet(0), 0) << "nothing was selected yet";
  cache.Audit();
}

TEST(KvCacheTest, DramIsFiniteAndARowHasOneOwner) {
  KvCache cache({.num_layers = 1, .heads = 1, .hbm_slots = 4, .dram_blocks = 5});
  cache.AddRequest(0);
  cache.AddRequest(1);
  EXPECT_TRUE(cache.ReserveDram(0, 3));
  EXPECT_FALSE(cache.ReserveDram(1, 3));
  EXPECT_EQ(cache.free_dram_blocks(), 2);
  EXPECT_TRUE(cache.ReserveDram(1, 2));
  const std::set<std::int32_t> rows{cache.DramRow(0, 0), cache.DramRow(0, 1), cache.DramRow(0, 2),
                                    cache.DramRow(1, 0), cache.DramRow(1, 1)};
  EXPECT_EQ(rows.size(), 5u);
  cache.RemoveRequest(0);
  EXPECT_EQ(cache.free_dram_blocks(), 3);
  EXPECT_EQ(cache.stats().dram_peak_blocks, 5);
  cache.Audit();
}

TEST(KvCacheTest, ARemovedRequestFreesItsSlotsAndItsIndex) {
  OneLayer hbm(4);
  hbm.AddSaved(0, 4);
  hbm.Step(0, {0, 1, 2});
  hbm.cache.RemoveRequest(0);
  EXPECT_EQ(hbm.cache.resident_slots(), 0);
  hbm.AddSaved(0, 2);
  EXPECT_EQ(hbm.cache.WorkingSet(0), 0);
  EXPECT_THAT(hbm.Step(0, {1}), ElementsAre(1));
}

TEST(KvCacheTest, TheWorkingSetIsTheUnionOverTheWindow) {
  OneLayer hbm(10, "lru", /*window=*/3);
  hbm.AddSaved(0, 10);
  const auto after = [&](std::vector<Unit> added, std::vector<Unit> removed) {
    hbm.Step(0, std::move(added), std::move(removed));
    return hbm.cache.WorkingSet(0);
  };
  EXPECT_EQ(after({0, 1}, {}), 2);
  EXPECT_EQ(after({2}, {0}), 3);  // 0 was selected one step ago
  EXPECT_EQ(after({}, {}), 3);    // two steps ago
  EXPECT_EQ(after({}, {}), 2);    // outside the window of three
  EXPECT_EQ(after({0}, {1}), 3);
  EXPECT_EQ(after({1}, {0}), 3);  // 1 came back within the window: counted once
  EXPECT_EQ(after({}, {}), 3);
  EXPECT_EQ(after({}, {}), 2);
}

TEST(KvCacheTest, RefusesNumbersOutOfRangeByTheirKey) {
  try {
    KvCache cache({.num_layers = 1, .heads = 1, .hbm_slots = 1, .working_set_window = 256});
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "working_set_window: found 256; expected a number from 1 to 255");
  }
}

TEST(KvCacheDeathTest, SelectingTheSameUnitTwiceIsABrokenContract) {
  OneLayer hbm(4);
  hbm.AddSaved(0, 4);
  hbm.Step(0, {1});
  EXPECT_DEATH(hbm.Step(0, {1}), "selected or absent");
  EXPECT_DEATH(hbm.Step(0, {}, {2}), "not selected");
  EXPECT_DEATH(hbm.Step(0, {4}), "selected or absent");
}

}  // namespace
}  // namespace sparseserve::kvcache
