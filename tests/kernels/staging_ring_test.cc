#include "kernels/staging_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cpu/lane.h"
#include "kernels/pinned_pool.h"
#include "sim/core/rng.h"

namespace sparseserve::kernels {
namespace {

constexpr int kNumSlots = 3;
constexpr Bytes kSlot{1024};

// Fragments in a row on a "device" and where they belong in "DRAM", in random order with gaps.
struct Fragments {
  Fragments(std::int64_t fragment_bytes, std::int64_t count, std::uint64_t seed)
      : bytes(fragment_bytes) {
    RandomStream random(seed, "fragments");
    const std::int64_t num_places = count + count / 2 + 1;
    std::vector<std::int64_t> places;
    for (std::int64_t i = 0; i < num_places; ++i) {
      places.insert(places.begin() + random.UniformInt(0, i), i);
    }
    if (random.UniformInt(0, 1) == 0) std::sort(places.begin(), places.begin() + count);  // runs
    device.resize(static_cast<std::size_t>(count * bytes + 32));
    for (std::byte& x : device) x = static_cast<std::byte>(random.Bits());
    dram.assign(static_cast<std::size_t>(num_places * bytes), std::byte{0xee});
    expected = dram;
    for (std::int64_t i = 0; i < count; ++i) {
      moves.push_back({32 + i * bytes, places[static_cast<std::size_t>(i)] * bytes});
      std::memcpy(expected.data() + moves.back().destination, device.data() + moves.back().source,
                  static_cast<std::size_t>(bytes));
    }
  }

  SaveParams Params(int max_workers = 0) {
    return {.hbm = device.data(),
            .dram = dram.data(),
            .fragment_bytes = bytes,
            .moves = moves.data(),
            .num_moves = static_cast<std::int64_t>(moves.size()),
            .max_workers = max_workers};
  }

  std::int64_t bytes;
  std::vector<std::byte> device;
  std::vector<std::byte> dram;
  std::vector<std::byte> expected;
  std::vector<FragmentMove> moves;
};

class StagingRingTest : public testing::Test {
 protected:
  StagingRing MakeRing(std::function<void()> before_scatter = nullptr, int num_threads = 1) {
    Buffer memory = PinnedPool({}).Allocate(kSlot * kNumSlots);
    ring_memory_ = memory.data();
    return StagingRing(std::move(memory), {.num_slots = kNumSlots,
                                           .slot = kSlot,
                                           .scatter_threads = num_threads,
                                           .before_scatter = std::move(before_scatter)});
  }

  // Copies on a thread of its own, as a device does.
  StagingRing::CopyToSlot CopyOnLane() {
    return [this](std::byte* slot, const std::byte* source, Bytes size) {
      lane_.Enqueue([=] { std::memcpy(slot, source, static_cast<std::size_t>(size.value())); });
      return lane_.Record();
    };
  }

  std::byte* ring_memory_ = nullptr;
  cpu::CpuLane lane_;
};

TEST_F(StagingRingTest, EveryByteArrivesForAllSizesAndThreads) {
  std::uint64_t seed = 0;
  for (const int num_threads : {1, 2, 5}) {
    StagingRing ring = MakeRing(nullptr, num_threads);
    for (const std::int64_t bytes : {16, 48, 64, 256, 1008, 1024, 1040, 16384}) {
      for (const std::int64_t count : {1, 2, 7, 100}) {
        for (const int max_workers : {0, 1, 3}) {
          Fragments fragments(bytes, count, ++seed);
          ring.Save(fragments.Params(max_workers), CopyOnLane())->Synchronize();
          ASSERT_TRUE(fragments.dram == fragments.expected)
              << "seed " << seed << ": " << count << " x " << bytes;
        }
      }
    }
    ring.Synchronize();
  }
}

TEST_F(StagingRingTest, SavesCompleteInTheirOrder) {
  StagingRing ring = MakeRing(nullptr, 2);
  RandomStream random(7, "sizes");
  std::vector<std::unique_ptr<Fragments>> fragments;
  std::vector<EventPtr> events;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::int64_t count = random.UniformInt(0, 40);
    fragments.push_back(std::make_unique<Fragments>(16 * random.UniformInt(1, 20), count, i));
    events.push_back(ring.Save(fragments.back()->Params(), CopyOnLane()));
    const auto probe = static_cast<std::size_t>(random.UniformInt(0, static_cast<std::int64_t>(i)));
    if (events[probe]->IsDone()) {
      for (std::size_t j = 0; j < probe; ++j) ASSERT_TRUE(events[j]->IsDone()) << j;
    }
  }
  for (const std::size_t i : {std::size_t{50}, std::size_t{120}, events.size() - 1}) {
    events[i]->Synchronize();
    for (std::size_t j = 0; j <= i; ++j) {
      ASSERT_TRUE(events[j]->IsDone()) << j;
      ASSERT_TRUE(fragments[j]->dram == fragments[j]->expected) << j;
    }
  }
}

TEST_F(StagingRingTest, ASaveOfNothingIsDoneAfterTheSavesBefore) {
  std::promise<void> gate;
  StagingRing ring = MakeRing([opened = gate.get_future().share()] { opened.wait(); });
  Fragments some(16, 4, 1);
  Fragments none(16, 0, 2);
  const EventPtr first = ring.Save(some.Params(), CopyOnLane());
  const EventPtr second = ring.Save(none.Params(), CopyOnLane());
  EXPECT_FALSE(second->IsDone());
  gate.set_value();
  second->Synchronize();
  EXPECT_TRUE(first->IsDone());
}

// The scatter is held at a gate: the saving thread must stop when all slots are taken, and no slot
// may be filled again before its scatter.
TEST_F(StagingRingTest, AFullRingBlocksTheSaver) {
  std::promise<void> gate;
  std::atomic<int> num_scattered = 0;
  std::atomic<int> num_copied = 0;
  std::promise<void> is_full;
  StagingRing ring = MakeRing([&, opened = gate.get_future().share()] {
    opened.wait();
    ++num_scattered;
  });
  Fragments fragments(256, 100, 3);  // 25 slots
  std::atomic<bool> has_returned = false;
  EventPtr saved;
  std::thread saver([&] {
    saved =
        ring.Save(fragments.Params(), [&](std::byte* slot, const std::byte* source, Bytes size) {
          // A scatter under way has been counted, but holds its slot until its end.
          EXPECT_LE(num_copied - num_scattered, kNumSlots);
          EXPECT_EQ(slot, ring_memory_ + num_copied % kNumSlots * kSlot.value());
          if (++num_copied == kNumSlots) is_full.set_value();
          return CopyOnLane()(slot, source, size);
        });
    has_returned = true;
  });
  is_full.get_future().wait();
  lane_.Synchronize();
  EXPECT_FALSE(has_returned);
  EXPECT_EQ(num_copied, kNumSlots);
  gate.set_value();
  saver.join();
  saved->Synchronize();
  EXPECT_EQ(num_scattered, 25);
  EXPECT_TRUE(fragments.dram == fragments.expected);
}

TEST_F(StagingRingTest, AFailedCopyFailsItsSaveOnly) {
  StagingRing ring = MakeRing();
  Fragments before(256, 10, 1), failed(256, 10, 2), after(256, 10, 3);
  const EventPtr first = ring.Save(before.Params(), CopyOnLane());
  int num_copies = 0;
  const EventPtr second =
      ring.Save(failed.Params(), [&](std::byte*, const std::byte*, Bytes) -> EventPtr {
        auto event = std::make_shared<HostEvent>();
        event->Complete(num_copies++ == 1 ? std::make_exception_ptr(DeviceError("copy failed"))
                                          : nullptr);
        return event;
      });
  const EventPtr third = ring.Save(after.Params(), CopyOnLane());
  first->Synchronize();
  EXPECT_THROW(second->Synchronize(), DeviceError);
  third->Synchronize();
  EXPECT_TRUE(after.dram == after.expected);
  EXPECT_THROW(ring.Synchronize(), DeviceError);
  ring.Synchronize();  // said once
}

TEST_F(StagingRingTest, ACopyThatCannotBeEnqueuedLeavesTheRingUsable) {
  StagingRing ring = MakeRing();
  Fragments failed(256, 10, 1);
  for (int fails_at = 0; fails_at < 3; ++fails_at) {
    int num_copies = 0;
    const auto copy = [&](std::byte* slot, const std::byte* source, Bytes size) {
      if (num_copies++ == fails_at) throw DeviceError("no");
      return CopyOnLane()(slot, source, size);
    };
    EXPECT_THROW(ring.Save(failed.Params(), copy), DeviceError);
    Fragments next(256, 30, 2);
    ring.Save(next.Params(), CopyOnLane())->Synchronize();
    EXPECT_TRUE(next.dram == next.expected);
  }
  ring.Synchronize();
}

// Its slot is the next one's; the two in flight are not touched.
TEST_F(StagingRingTest, ACopyThatCannotBeEnqueuedGivesItsSlotBack) {
  std::promise<void> gate;
  StagingRing ring = MakeRing([opened = gate.get_future().share()] { opened.wait(); });
  Fragments in_flight(1024, kNumSlots - 1, 1), failed(1024, 1, 2), next(1024, 1, 3);
  ring.Save(in_flight.Params(), CopyOnLane());
  std::byte* free_slot = nullptr;
  const auto fail = [&](std::byte* slot, const std::byte*, Bytes) -> EventPtr {
    free_slot = slot;
    throw DeviceError("no");
  };
  EXPECT_THROW(ring.Save(failed.Params(), fail), DeviceError);
  ring.Save(next.Params(), [&](std::byte* slot, const std::byte* source, Bytes size) {
    EXPECT_EQ(slot, free_slot);
    return CopyOnLane()(slot, source, size);
  });
  gate.set_value();
  ring.Synchronize();
  EXPECT_TRUE(in_flight.dram == in_flight.expected);
  EXPECT_TRUE(next.dram == next.expected);
}

TEST_F(StagingRingTest, AnAbandonedSaveKeepsItsErrorsFromTheNext) {
  StagingRing ring = MakeRing();
  Fragments failed(1024, 2, 1), next(1024, 1, 2);
  bool is_first = true;
  const auto copy = [&](std::byte*, const std::byte*, Bytes) -> EventPtr {
    if (!std::exchange(is_first, false)) throw DeviceError("cannot be enqueued");
    auto event = std::make_shared<HostEvent>();
    event->Complete(std::make_exception_ptr(DeviceError("copy failed")));
    return event;
  };
  EXPECT_THROW(ring.Save(failed.Params(), copy), DeviceError);
  ring.Save(next.Params(), CopyOnLane())->Synchronize();
  EXPECT_TRUE(next.dram == next.expected);
  EXPECT_THROW(ring.Synchronize(), DeviceError);
}

TEST_F(StagingRingTest, DestructionCompletesWhatWasSaved) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Fragments fragments(48, 200, seed);
    EventPtr saved;
    {
      StagingRing ring = MakeRing([] { std::this_thread::yield(); }, 2);
      saved = ring.Save(fragments.Params(), CopyOnLane());
    }
    EXPECT_TRUE(saved->IsDone());
    EXPECT_TRUE(fragments.dram == fragments.expected);
  }
}

}  // namespace
}  // namespace sparseserve::kernels
