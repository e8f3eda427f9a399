#include "sim/metrics/collector.h"

#include <gtest/gtest.h>

namespace sparseserve::metrics {
namespace {

SimTime Ms(std::int64_t ms) { return SimTime(ms * 1'000'000); }

// Two requests: 0 is served at once, 1 waits for it.
//   ms   0    10   20   30   40   50
//   0    a s  t    t,f
//   1         a              s    t,f
void RunTwo(Collector& c) {
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(2));
  c.OnScheduled(Ms(0), 0);
  c.OnArrival(Ms(10), 1, 0, Tokens(50), Tokens(1));
  c.OnToken(Ms(10), 0);
  c.OnToken(Ms(20), 0);
  c.OnFinish(Ms(20), 0, false);
  c.OnScheduled(Ms(40), 1);
  c.OnToken(Ms(50), 1);
  c.OnFinish(Ms(50), 1, false);
}

TEST(CollectorTest, RecordsSayWhatHappenedWhen) {
  Collector c;
  RunTwo(c);
  c.CheckConservation();
  ASSERT_EQ(c.requests().size(), 2u);
  const RequestRecord& first = c.requests()[0];
  EXPECT_EQ(first.first_token, Ms(10));
  EXPECT_EQ(first.last_token, Ms(20));
  EXPECT_EQ(first.finish, Ms(20));
  EXPECT_EQ(first.produced, Tokens(2));
  EXPECT_EQ(c.requests()[1].scheduled, Ms(40));
  ASSERT_EQ(c.token_gaps_ms().size(), 1);
  EXPECT_EQ(c.token_gaps_ms().runs()[0].value, 10);
  EXPECT_EQ(c.num_finished(), 2);
  EXPECT_EQ(c.end(), Ms(50));
}

TEST(CollectorTest, BeingScheduledAgainAfterAPreemptionChangesNothing) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(1));
  c.OnScheduled(Ms(5), 0);
  c.OnPreempted(0);
  c.OnScheduled(Ms(9), 0);
  c.OnToken(Ms(10), 0);
  c.OnFinish(Ms(10), 0, false);
  c.CheckConservation();
  EXPECT_EQ(c.requests()[0].scheduled, Ms(5));
  EXPECT_EQ(c.requests()[0].preemptions, 1);
  EXPECT_EQ(c.preemptions(), 1);
}

TEST(CollectorTest, AFailedRequestBalancesWhetherItWasScheduledOrNot) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(5));
  c.OnArrival(Ms(0), 1, 0, Tokens(100), Tokens(5));
  c.OnScheduled(Ms(1), 0);
  c.OnToken(Ms(2), 0);
  c.OnFinish(Ms(3), 0, true);
  c.OnFinish(Ms(4), 1, true);
  c.CheckConservation();
  EXPECT_TRUE(c.requests()[0].failed && c.requests()[1].failed);
}

// Waiting in the first half [0, 50) ms of the arrivals: request 1 for 10; in the second [50, 100):
// request 1 until 60, request 2 not at all before 100.
TEST(CollectorTest, MeanWaitingIsTheTimeAverageOverEachHalfOfTheArrivals) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(1), Tokens(1));
  c.OnScheduled(Ms(0), 0);
  c.OnArrival(Ms(40), 1, 0, Tokens(1), Tokens(1));
  c.OnScheduled(Ms(60), 1);
  c.OnArrival(Ms(100), 2, 0, Tokens(1), Tokens(1));
  c.OnScheduled(Ms(500), 2);
  EXPECT_DOUBLE_EQ(c.MeanWaiting(false), 10.0 / 50);
  EXPECT_DOUBLE_EQ(c.MeanWaiting(true), 10.0 / 50);
}

TEST(CollectorTest, TotalsAddUpIterationsAndTheSinkSeesEach) {
  class Counter : public IterationSink {
   public:
    void OnIteration(const IterationRecord& record) override { last = record.index, ++calls; }
    std::int64_t last = -1;
    int calls = 0;
  } sink;
  Collector c(&sink);
  IterationRecord r;
  r.num_decodes = 3;
  r.num_prefills = 2;
  r.block_loads = 7;
  r.host = Seconds(0.5);
  r.h2d_bytes = Bytes(70);
  c.OnIteration(r);
  r.index = 1;
  r.num_decodes = 0;
  c.OnIteration(r);
  EXPECT_EQ(sink.calls, 2);
  EXPECT_EQ(sink.last, 1);
  EXPECT_EQ(c.totals().iterations, 2);
  EXPECT_EQ(c.totals().decode_iterations, 1);
  EXPECT_EQ(c.totals().batch_sum, 7);
  EXPECT_EQ(c.totals().batch_max, 5);
  EXPECT_EQ(c.totals().block_loads, 14);
  EXPECT_EQ(c.totals().host, Seconds(1));
  EXPECT_EQ(c.totals().h2d_bytes, Bytes(140));
}

TEST(CollectorDeathTest, ALostRequestAborts) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(1), Tokens(1));
  c.OnScheduled(Ms(0), 0);
  c.OnToken(Ms(0), 0);
  EXPECT_DEATH(c.CheckConservation(), "left in the system");
}

TEST(CollectorDeathTest, ALostTokenAborts) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(1), Tokens(2));
  c.OnScheduled(Ms(0), 0);
  c.OnToken(Ms(1), 0);
  c.OnFinish(Ms(1), 0, false);
  EXPECT_DEATH(c.CheckConservation(), "lacks tokens");
}

// Two requests that arrive together; `second_finisher` ends at 2 ms, request 0 already at 1 ms.
void FinishTwice(std::int64_t second_finisher, Collector& c) {
  for (const std::int64_t id : {0, 1}) c.OnArrival(Ms(0), id, 0, Tokens(1), Tokens(1));
  for (const std::int64_t id : {0, 1}) c.OnScheduled(Ms(0), id);
  for (const std::int64_t id : {0, 1}) c.OnToken(Ms(0), id);
  c.OnFinish(Ms(1), 0, false);
  c.OnFinish(Ms(2), second_finisher, false);
}

// One request finishing twice keeps the number of finished requests right, but not the time that
// they were in the system.
TEST(CollectorDeathTest, ALossThatTheCountsDoNotShowBreaksLittlesLaw) {
  Collector whole;
  FinishTwice(1, whole);
  whole.CheckConservation();
  Collector lost;
  FinishTwice(0, lost);
  EXPECT_DEATH(lost.CheckConservation(), "Little's law: time in system");
}

TEST(CollectorDeathTest, AClockThatRunsBackwardsAborts) {
  Collector c;
  c.OnArrival(Ms(5), 0, 0, Tokens(1), Tokens(1));
  EXPECT_DEATH(c.OnArrival(Ms(4), 1, 0, Tokens(1), Tokens(1)), "backwards");
}

TEST(CollectorDeathTest, IdsOutOfOrderOrUnknownAbort) {
  Collector c;
  EXPECT_DEATH(c.OnArrival(Ms(0), 1, 0, Tokens(1), Tokens(1)), "order of their ids");
  EXPECT_DEATH(c.OnToken(Ms(0), 0), "unknown request");
}

}  // namespace
}  // namespace sparseserve::metrics
