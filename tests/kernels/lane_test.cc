#include "kernels/cpu/lane.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sparseserve::kernels::cpu {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

class LaneTest : public testing::TestWithParam<nanoseconds> {};

TEST_P(LaneTest, RunsInOrderWhetherItPollsOrSleeps) {
  CpuLane lane(GetParam());
  std::vector<int> order;
  for (int i = 0; i < 6; ++i) {
    // At once, while it polls, and after it has given up.
    std::this_thread::sleep_for(milliseconds(i % 3));
    lane.Enqueue([&, i] { order.push_back(2 * i); });
    lane.Enqueue([&, i] { order.push_back(2 * i + 1); });
  }
  lane.Synchronize();
  EXPECT_EQ(order, std::vector<int>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
}

TEST_P(LaneTest, RunsWhatWasEnqueuedBeforeItEnds) {
  std::atomic<int> count = 0;
  {
    CpuLane lane(GetParam());
    for (int i = 0; i < 100; ++i) lane.Enqueue([&] { ++count; });
  }
  EXPECT_EQ(count, 100);
}

TEST_P(LaneTest, StartsAfterTheEventOfAnotherLane) {
  CpuLane first, second(GetParam());
  std::atomic<bool> done = false, seen = false;
  first.Enqueue([&] {
    std::this_thread::sleep_for(milliseconds(2));
    done = true;
  });
  second.Wait(first.Record());
  second.Enqueue([&] { seen = done.load(); });
  second.Synchronize();
  EXPECT_TRUE(seen);
}

TEST_P(LaneTest, AnErrorStays) {
  CpuLane lane(GetParam());
  lane.Enqueue([] { throw std::runtime_error("broken"); });
  EXPECT_THROW(lane.Synchronize(), std::runtime_error);
  EXPECT_THROW(lane.Enqueue([] {}), std::runtime_error);
}

// Times this thread gave up its core because it had nothing to do.
std::int64_t CountSleeps() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// Also: a lane that polls ends at once, whatever its patience.
TEST(LanePatienceTest, APatientLaneDoesNotSleepBetweenTasks) {
  constexpr int kTasks = 100;
  std::int64_t before = 0, after = 0;
  {
    CpuLane lane(std::chrono::hours(1));
    lane.Enqueue([&] { before = CountSleeps(); });
    for (int i = 0; i < kTasks; ++i) {
      lane.Synchronize();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    lane.Enqueue([&] { after = CountSleeps(); });
  }
  EXPECT_LT(after - before, kTasks / 2);  // a few wait for the mutex; without polling all of them
}

TEST(LanePatienceTest, APatientLaneDoesNotSleepWhileItWaitsForAnother) {
  constexpr int kTasks = 100;
  std::int64_t before = 0, after = 0;
  CpuLane other, lane(std::chrono::hours(1));
  lane.Enqueue([&] { before = CountSleeps(); });
  for (int i = 0; i < kTasks; ++i) {
    other.Enqueue([] { std::this_thread::sleep_for(std::chrono::microseconds(100)); });
    lane.Wait(other.Record());
  }
  lane.Enqueue([&] { after = CountSleeps(); });
  lane.Synchronize();
  EXPECT_LT(after - before, kTasks / 2);
}

INSTANTIATE_TEST_SUITE_P(Patience, LaneTest,
                         testing::Values(nanoseconds(0), nanoseconds(milliseconds(1))),
                         [](const auto& tested) {
                           return tested.param.count() ? "Polls" : "Sleeps";
                         });

}  // namespace
}  // namespace sparseserve::kernels::cpu
