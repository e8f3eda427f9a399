// FIFO, CLOCK, SIEVE and S3-FIFO, fact by fact. Request 0 is the one looked at; request 1 makes the
// pressure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/kvcache/one_layer.h"

namespace sparseserve::kvcache {
namespace {

using testing::ElementsAre;

TEST(FifoTest, UseDoesNotKeepAUnit) {
  OneLayer hbm(3, "fifo");
  hbm.AddSaved(0, 3);
  hbm.AddSaved(1, 3);
  hbm.Step(0, {0});
  hbm.Step(1, {0, 1});
  hbm.Step(0, {});
  hbm.Step(1, {2});
  EXPECT_THAT(hbm.Resident(0), ElementsAre());
  EXPECT_THAT(hbm.Resident(1), ElementsAre(0, 1, 2));
}

TEST(ClockTest, AUnitUsedSinceItsLoadGetsOneSecondChance) {
  OneLayer hbm(3, "clock");
  hbm.AddSaved(0, 3);
  hbm.AddSaved(1, 4);
  hbm.Step(0, {0, 1});
  hbm.Step(0, {}, {1});  // touches unit 0, not unit 1
  hbm.Step(1, {0, 1});   // takes the free slot and unit 1's
  EXPECT_THAT(hbm.Resident(0), ElementsAre(0));
  hbm.Step(1, {2, 3}, {0, 1});  // unit 0 was not used since it was spared
  EXPECT_THAT(hbm.Resident(0), ElementsAre());
}

// The hand stands behind the old units when 2 is loaded. CLOCK puts it behind the hand, SIEVE at
// the young end, where the hand comes to it before it starts over.
TEST(SieveTest, TheHandReachesNewUnitsBeforeItStartsOver) {
  for (const std::string eviction : {"clock", "sieve"}) {
    OneLayer hbm(3, eviction);
    hbm.AddSaved(0, 8);
    hbm.Step(0, {0, 1, 2});
    hbm.Step(0, {}, {1, 2});  // only unit 0 is touched
    hbm.Step(0, {3}, {0});    // the hand spares 0 and evicts 1
    EXPECT_THAT(hbm.Resident(0), ElementsAre(0, 2, 3)) << eviction;
    hbm.Step(0, {4}, {3});  // the hand stands at 2
    EXPECT_THAT(hbm.Resident(0), ElementsAre(0, 3, 4)) << eviction;
    hbm.Step(0, {5}, {4});
    if (eviction == "clock") {
      EXPECT_THAT(hbm.Resident(0), ElementsAre(3, 4, 5));  // round to 0, the oldest
    } else {
      EXPECT_THAT(hbm.Resident(0), ElementsAre(0, 4, 5));  // on to 3, which came in last but one
    }
  }
}

TEST(S3FifoTest, AUnitSelectedOnceLeavesBeforeOneSelectedOften) {
  OneLayer hbm(10, "s3-fifo");
  hbm.AddSaved(0, 30);
  hbm.Step(0, {0});
  for (int step = 0; step < 3; ++step) hbm.Step(0, {});
  hbm.Step(0, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {0});
  hbm.Step(0, {10, 11}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_THAT(hbm.Resident(0), ElementsAre(0, 3, 4, 5, 6, 7, 8, 9, 10, 11));
}

TEST(S3FifoTest, AUnitThatReturnsWhileItsGhostIsRememberedEntersTheMainQueue) {
  OneLayer hbm(10, "s3-fifo");
  hbm.AddSaved(0, 40);
  hbm.Step(0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  hbm.Step(0, {10}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});  // 0 leaves a ghost
  hbm.Step(0, {0}, {10});                             // and comes back; 1 goes
  hbm.Step(0, {}, {0});
  for (Unit unit = 11; unit < 22; ++unit)
    hbm.Step(0, {unit}, unit > 11 ? std::vector<Unit>{unit - 1} : std::vector<Unit>{});
  EXPECT_NE(hbm.cache.SlotOf(0, 0, 0), kNoSlot) << "eleven one-hit units passed through";
  EXPECT_EQ(hbm.cache.SlotOf(0, 0, 10), kNoSlot);
}

}  // namespace
}  // namespace sparseserve::kvcache
