#include "sim/des/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "sim/core/rng.h"

namespace sparseserve::des {
namespace {

// The obvious queue: a vector sorted by (time, phase, sequence).
class SortedQueue {
 public:
  void Push(SimTime at, Phase phase, std::int64_t subject) {
    const Event event{at, phase, next_++, subject};
    const auto before = [](const Event& a, const Event& b) {
      return std::tuple(a.at, a.phase, a.sequence) < std::tuple(b.at, b.phase, b.sequence);
    };
    events_.insert(std::upper_bound(events_.begin(), events_.end(), event, before), event);
  }
  Event Pop() {
    const Event event = events_.front();
    events_.erase(events_.begin());
    return event;
  }
  bool empty() const { return events_.empty(); }

 private:
  std::vector<Event> events_;
  std::uint64_t next_ = 0;
};

void ExpectSameNext(EventQueue& queue, SortedQueue& reference) {
  const SimTime before = queue.now();
  const Event event = queue.Pop();
  const Event expected = reference.Pop();
  ASSERT_EQ(event.at, expected.at);
  ASSERT_EQ(event.phase, expected.phase);
  ASSERT_EQ(event.sequence, expected.sequence);
  ASSERT_EQ(event.subject, expected.subject);
  ASSERT_EQ(queue.now(), event.at);
  ASSERT_LE(before, queue.now());
}

TEST(EventQueueTest, RandomPushesAndPopsLeaveAsFromASortedVector) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(seed, "events");
    EventQueue queue;
    SortedQueue reference;
    for (std::int64_t step = 0; step < 2000; ++step) {
      if (!queue.empty() && random.Uniform() < 0.45) {
        ASSERT_NO_FATAL_FAILURE(ExpectSameNext(queue, reference));
        continue;
      }
      const SimTime at(queue.now().ns() + random.UniformInt(0, 5));  // many ties
      const auto phase = static_cast<Phase>(random.UniformInt(0, 2));
      queue.Push(at, phase, step);
      reference.Push(at, phase, step);
    }
    while (!queue.empty()) ASSERT_NO_FATAL_FAILURE(ExpectSameNext(queue, reference));
    EXPECT_TRUE(reference.empty());
  }
}

TEST(EventQueueTest, OneInstantCompletesThenArrivesThenSchedules) {
  EventQueue queue;
  queue.Push(SimTime(5), Phase::kSchedule, 0);
  queue.Push(SimTime(5), Phase::kArrival, 1);
  queue.Push(SimTime(5), Phase::kCompletion, 2);
  queue.Push(SimTime(4), Phase::kSchedule, 3);
  for (const std::int64_t subject : {3, 2, 1, 0}) EXPECT_EQ(queue.Pop().subject, subject);
}

TEST(EventQueueTest, EqualTimeAndPhaseLeaveInOrderOfPush) {
  EventQueue queue;
  for (std::int64_t i = 0; i < 100; ++i) queue.Push(SimTime(1), Phase::kArrival, i);
  for (std::int64_t i = 0; i < 100; ++i) EXPECT_EQ(queue.Pop().subject, i);
  EXPECT_EQ(queue.num_pushed(), 100u);
}

TEST(EventQueueTest, APastEventAborts) {
  EventQueue queue;
  queue.Push(SimTime(5), Phase::kArrival, 0);
  queue.Pop();
  queue.Push(SimTime(5), Phase::kArrival, 0);  // now is not the past
  EXPECT_DEATH(queue.Push(SimTime(4), Phase::kArrival, 0), "lies in the past");
}

TEST(EventQueueTest, PoppingNothingAborts) {
  EventQueue queue;
  EXPECT_DEATH(queue.Pop(), "no event is left");
}

}  // namespace
}  // namespace sparseserve::des
