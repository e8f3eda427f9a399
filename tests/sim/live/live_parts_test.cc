#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <set>
#include <utility>

#include "kernels/cpu/cpu_backend.h"
#include "sim/core/rng.h"
#include "sim/live/arena.h"
#include "sim/live/block_choice.h"
#include "sim/live/metadata_store.h"

namespace sparseserve::live {
namespace {

// Two heads or three, beside a set of pairs; contexts grow over words of 64 units.
TEST(BlockChoiceTest, ComparingAndApplyingGivesTheNewBlocks) {
  for (const std::int64_t heads : {2, 3}) {
    RandomStream random(7, "blocks");
    BlockChoice choice(heads);
    std::set<std::pair<std::int64_t, std::int64_t>> before;  // block, head
    for (std::int64_t step = 0; step < 200; ++step) {
      std::set<std::pair<std::int64_t, std::int64_t>> wanted;
      selection::UnitSet units;
      for (std::int64_t block = 0; block < 20 + step; ++block) {
        for (std::int64_t head = 0; head < heads; ++head) {
          if (random.Uniform() >= 0.4) continue;
          wanted.emplace(block, head);
          EXPECT_TRUE(units.Insert(static_cast<selection::Unit>(block * heads + head)));
        }
      }
      selection::SelectionDelta delta, expected;
      choice.Compare(units, delta);
      const auto unit = [&](const auto& pair) {
        return static_cast<selection::Unit>(pair.first * heads + pair.second);
      };
      for (const auto& pair : wanted)
        if (!before.contains(pair)) expected.added.push_back(unit(pair));
      for (const auto& pair : before)
        if (!wanted.contains(pair)) expected.removed.push_back(unit(pair));
      EXPECT_EQ(delta.added, expected.added);
      EXPECT_EQ(delta.removed, expected.removed);

      choice.Apply(delta);
      std::vector<std::pair<std::int64_t, std::int64_t>> visited;
      choice.ForEach([&](auto block, auto head) { visited.emplace_back(block, head); });
      EXPECT_TRUE(std::equal(visited.begin(), visited.end(), wanted.begin(), wanted.end()));
      for (std::int64_t head = 0; head < heads; ++head) {
        EXPECT_EQ(choice.count(head), std::count_if(wanted.begin(), wanted.end(), [&](auto pair) {
                    return pair.second == head;
                  }));
      }
      before = wanted;
    }
  }
}

TEST(BlockChoiceDeathTest, NothingLeavesOrComesTwice) {
  BlockChoice choice(2);
  selection::SelectionDelta delta;
  delta.added = {5};
  choice.Apply(delta);
  EXPECT_DEATH(choice.Apply(delta), "a block comes that was selected");
  delta = {};
  delta.removed = {700};
  EXPECT_DEATH(choice.Apply(delta), "a block leaves that was not selected");
}

TEST(MetadataStoreTest, RunsNeverOverlapAndAllComesBack) {
  kernels::cpu::CpuBackend backend({});
  MetadataStore store(backend, 64, 1000);
  RandomStream random(3, "runs");
  std::vector<std::pair<std::int64_t, std::int64_t>> taken;
  std::vector<char> used(1000, 0);
  for (int step = 0; step < 2000; ++step) {
    if (random.Uniform() < 0.5 && !taken.empty()) {
      const auto i = static_cast<std::size_t>(
          random.UniformInt(0, static_cast<std::int64_t>(taken.size()) - 1));
      const auto [first, count] = taken[i];
      store.Return(first, count);
      for (std::int64_t e = first; e < first + count; ++e) used[static_cast<std::size_t>(e)] = 0;
      taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    const std::int64_t count = random.UniformInt(1, 90);
    try {
      const std::int64_t first = store.Take(count);
      for (std::int64_t e = first; e < first + count; ++e)
        ASSERT_EQ(std::exchange(used.at(static_cast<std::size_t>(e)), 1), 0);
      taken.emplace_back(first, count);
    } catch (const std::bad_alloc&) {
      EXPECT_FALSE(taken.empty());
    }
  }
  for (const auto& [first, count] : taken) store.Return(first, count);
  EXPECT_EQ(store.Take(1000), 0);
}

TEST(ArenaTest, WhatIsTakenIsApartUntilReset) {
  kernels::cpu::CpuBackend backend({});
  Arena arena(backend, Place::kHost);
  auto* first = arena.Take<std::int64_t>(10);
  auto* large = arena.Take<std::byte>(std::int64_t{6} << 20);  // more than a chunk
  auto* after = arena.Take<std::int32_t>(4);
  EXPECT_NE(static_cast<void*>(first), static_cast<void*>(large));
  EXPECT_NE(static_cast<void*>(large), static_cast<void*>(after));
  first[9] = 5;
  after[3] = 7;
  large[0] = large[(std::int64_t{6} << 20) - 1] = std::byte{1};
  EXPECT_EQ(first[9], 5);
  EXPECT_EQ(after[3], 7);
  arena.Reset();
  EXPECT_EQ(arena.Take<std::int64_t>(10), first);
}

}  // namespace
}  // namespace sparseserve::live
