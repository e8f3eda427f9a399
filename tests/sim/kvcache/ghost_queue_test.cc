#include "sim/kvcache/ghost_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "sim/core/rng.h"

namespace sparseserve::kvcache {
namespace {

CacheState MakeState(std::size_t num_groups, std::size_t num_units) {
  CacheState state;
  state.groups.resize(num_groups);
  for (Group& group : state.groups) {
    group.bits.resize((num_units + 63) / 64);
    group.slot_of.resize(num_units, kNoSlot);
  }
  return state;
}

// The queue as it is told: every place searched. Few units and places for many, so that a unit has
// any number of dead ghosts, and groups that end.
TEST(GhostQueueTest, RemembersWhatAPlainQueueDoes) {
  int num_taken = 0, num_forgotten = 0;
  std::ptrdiff_t most_dead = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CounterRng rng(seed);
    const std::size_t capacity = rng.Below(40);
    const std::uint32_t num_units = 1 + rng.Below(90), num_groups = 1 + rng.Below(3);
    const CacheState state = MakeState(num_groups, num_units);
    GroupLives lives;
    GhostQueue ghosts(state, lives, static_cast<std::int64_t>(capacity));
    struct Place {
      GroupIndex group;
      Unit unit;
      bool is_living;
    };
    std::deque<Place> plain;
    for (int step = 0; step < 2000; ++step) {
      const auto group = static_cast<GroupIndex>(rng.Below(num_groups));
      const Unit unit = rng.Below(rng.Below(4) == 0 ? num_units : 2);
      const auto is_it = [&](const Place& p) { return p.group == group && p.unit == unit; };
      const auto found = std::find_if(plain.begin(), plain.end(),
                                      [&](const Place& p) { return p.is_living && is_it(p); });
      ghosts.Resize(group);
      ASSERT_EQ(ghosts.Take({group, unit}), found != plain.end()) << seed << ", step " << step;
      if (found != plain.end()) {
        found->is_living = false;
        ++num_taken;
      }
      most_dead = std::max(most_dead, std::count_if(plain.begin(), plain.end(), is_it));
      ghosts.Push({group, unit});
      plain.push_back({group, unit, true});
      if (plain.size() > capacity) {
        num_forgotten += plain.front().is_living;
        plain.pop_front();
      }
      if (rng.Below(100) != 0) continue;
      lives.End(group);
      ghosts.End(group);
      for (Place& place : plain) {
        if (place.group == group) place = {-1, 0, false};  // keeps its place
      }
    }
  }
  EXPECT_GT(num_taken, 10000) << "the streams exercise nothing";
  EXPECT_GT(num_forgotten, 10000) << "the streams exercise nothing";
  EXPECT_GT(most_dead, 3) << "no unit has more dead ghosts than its bits count";
}

}  // namespace
}  // namespace sparseserve::kvcache
