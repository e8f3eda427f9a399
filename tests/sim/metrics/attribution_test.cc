#include "sim/metrics/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "sim/core/rng.h"
#include "sim/metrics/collector.h"
#include "sim/metrics/summary.h"

namespace sparseserve::metrics {
namespace {

SimTime Ms(std::int64_t ms) { return SimTime(ms * 1'000'000); }

// An iteration of replica 0 in which compute takes all but `stall_ms` of load stall and 1 ms of
// host time; prefill has `prefill` of the compute.
IterationRecord Iteration(std::int64_t begin_ms, std::int64_t end_ms, double prefill,
                          std::int64_t stall_ms = 0) {
  IterationRecord r;
  r.begin = Ms(begin_ms);
  r.end = Ms(end_ms);
  r.host = Seconds(0.001);
  r.load_stall = Seconds(static_cast<double>(stall_ms) * 1e-3);
  r.compute = Seconds(static_cast<double>(end_ms - begin_ms) * 1e-3) - r.host - r.load_stall;
  r.prefill_compute = r.compute * prefill;
  return r;
}

// The parts of request `id` in ms that are not 0, by name.
template <typename Parts>
std::vector<std::pair<std::string_view, double>> Of(const Parts& parts) {
  std::vector<std::pair<std::string_view, double>> named;
  for (std::size_t i = 0; i < kNumParts; ++i)
    if (parts.ns[i] != 0) named.emplace_back(kPartNames[i], static_cast<double>(parts.ns[i]) / 1e6);
  return named;
}

using Named = std::vector<std::pair<std::string_view, double>>;

TEST(SplitIterationTest, PartsAreWholeNanosecondsThatSumUpToTheLength) {
  RandomStream random(3, "split");
  for (int trial = 0; trial < 2000; ++trial) {
    IterationRecord r;
    r.begin = SimTime(random.UniformInt(0, 1'000'000));
    r.compute = Seconds(random.Uniform() * 1e-6);  // a few hundred ns: rounding would show
    r.prefill_compute = r.compute * random.Uniform();
    r.attention = Seconds(random.Uniform() * 1e-6);
    r.prefill_attention = r.attention * random.Uniform();
    r.load_stall = Seconds(random.Uniform() * 1e-6);
    r.save_stall = Seconds(random.Uniform() * 1e-6);
    r.host = Seconds(random.Uniform() * 1e-6);
    r.block_loads = 7;
    r.block_reloads = random.UniformInt(0, 7);
    r.end = r.begin + (r.compute + r.attention + r.load_stall + r.save_stall + r.host);
    const TimeParts parts = SplitIteration(r);
    ASSERT_EQ(parts.sum(), r.end.ns() - r.begin.ns()) << trial;
    const auto near = [&](Part part, Seconds time) {
      EXPECT_NEAR(static_cast<double>(parts[part]), time.value() * 1e9, 1.5) << trial;
    };
    near(Part::kPrefillCompute, r.prefill_compute);
    near(Part::kDecodeCompute, r.compute - r.prefill_compute);
    near(Part::kPrefillAttention, r.prefill_attention);
    near(Part::kDecodeAttention, r.attention - r.prefill_attention);
    near(Part::kEvictionStall, r.load_stall * (static_cast<double>(r.block_reloads) / 7));
    near(Part::kLoadStall, r.load_stall * (1 - static_cast<double>(r.block_reloads) / 7));
    near(Part::kSaveStall, r.save_stall);
    near(Part::kHost, r.host);
  }
}

TEST(SplitIterationTest, OnAMeasuredClockPartsAreShares) {
  IterationRecord r = Iteration(0, 10, 0.5);  // 4.5, 4.5, host 1
  r.end = Ms(20);
  EXPECT_EQ(Of(SplitIteration(r)),
            (Named{{"prefill_compute", 9}, {"decode_compute", 9}, {"host", 2}}));
  r.compute = r.prefill_compute = r.host = Seconds(0);
  EXPECT_EQ(Of(SplitIteration(r)), (Named{{"host", 20}}));
}

//   ms           0      10      30      50      60
//   iterations    [  A  ] [  B  ]        [  C  ]        B begins at 10
//   request 0     s       t                      t      held from 30 to 50: not in B
//   request 1   a(5)      s       t       t at 60       queue 5; B and C
TEST(AttributionTest, AHeldRequestWaitsAndTheOthersGoOn) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(2));
  c.OnScheduled(Ms(0), 0);
  c.OnArrival(Ms(5), 1, 0, Tokens(100), Tokens(2));
  c.OnIteration(Iteration(0, 10, 1));
  c.OnPrefill(Ms(10), 0);
  c.OnToken(Ms(10), 0);
  c.OnScheduled(Ms(10), 1);
  c.OnIteration(Iteration(10, 30, 1));
  c.OnPrefill(Ms(30), 1);
  c.OnToken(Ms(30), 1);
  c.OnIteration(Iteration(50, 60, 0, 4));
  for (const std::int64_t id : {0, 1}) {
    c.OnToken(Ms(60), id);
    c.OnFinish(Ms(60), id, false);
  }
  c.CheckConservation();
  EXPECT_EQ(Of(c.requests()[0].ttft.Unpack()), (Named{{"prefill_compute", 9}, {"host", 1}}));
  EXPECT_EQ(Of(c.requests()[1].ttft.Unpack()),
            (Named{{"queue", 5}, {"prefill_compute", 19}, {"host", 1}}));
  // Gaps: 50 ms of request 0 (40 held), 30 ms of request 1 (20 held), 10 ms of C in both.
  EXPECT_EQ(Of(c.attribution().Gaps().Total()),
            (Named{{"held", 60}, {"decode_compute", 10}, {"load_stall", 8}, {"host", 2}}));
}

TEST(AttributionTest, GapsOfOneIterationAreItsParts) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(4));
  c.OnScheduled(Ms(0), 0);
  c.OnIteration(Iteration(0, 10, 1));
  c.OnPrefill(Ms(10), 0);
  c.OnToken(Ms(10), 0);
  for (const std::int64_t end : {20, 30, 40}) {
    IterationRecord iteration = Iteration(end - 10, end, 0.25, 1);
    iteration.block_loads = 4;
    iteration.block_reloads = end == 30 ? 4 : 0;
    c.OnIteration(iteration);
    c.OnToken(Ms(end), 0);
  }
  c.OnFinish(Ms(40), 0, false);
  c.CheckConservation();
  EXPECT_EQ(Of(c.attribution().Gaps().Total()), (Named{{"prefill_compute", 6},
                                                       {"decode_compute", 18},
                                                       {"load_stall", 2},
                                                       {"eviction_stall", 1},
                                                       {"host", 3}}));
}

// Chunked prefill of three iterations, the second without the request; a preemption after the first
// loses it.
TEST(AttributionTest, WorkLostToAPreemptionBeforeTheFirstTokenIsRecompute) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(1));
  c.OnScheduled(Ms(2), 0);
  c.OnIteration(Iteration(2, 12, 1));
  c.OnPrefill(Ms(12), 0);
  c.OnPreempted(0);
  c.OnIteration(Iteration(12, 20, 1));
  c.OnScheduled(Ms(20), 0);
  c.OnIteration(Iteration(20, 35, 1));
  c.OnPrefill(Ms(35), 0);
  c.OnPrefill(Ms(35), 0);  // two pieces in one iteration count once
  c.OnToken(Ms(35), 0);
  c.OnFinish(Ms(35), 0, false);
  c.CheckConservation();
  EXPECT_EQ(
      Of(c.requests()[0].ttft.Unpack()),
      (Named{{"queue", 2}, {"held", 8}, {"prefill_compute", 14}, {"host", 1}, {"recompute", 10}}));
}

TEST(AttributionTest, IterationsThatBringAPreemptedRequestBackAreRecompute) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(4));
  c.OnScheduled(Ms(0), 0);
  c.OnIteration(Iteration(0, 10, 1));
  c.OnPrefill(Ms(10), 0);
  c.OnToken(Ms(10), 0);
  c.OnIteration(Iteration(10, 15, 0));
  c.OnToken(Ms(15), 0);
  c.OnPreempted(0);
  c.OnIteration(Iteration(15, 18, 1));  // without it
  c.OnScheduled(Ms(18), 0);
  c.OnIteration(Iteration(18, 24, 1));
  c.OnPrefill(Ms(24), 0);
  c.OnIteration(Iteration(25, 31, 1));  // the replica was idle for 1 ms
  c.OnPrefill(Ms(31), 0);
  c.OnToken(Ms(31), 0);
  c.OnIteration(Iteration(31, 33, 0));
  c.OnToken(Ms(33), 0);
  c.OnFinish(Ms(33), 0, false);
  c.CheckConservation();
  // Gaps of 5, 16 and 2 ms.
  EXPECT_EQ(Of(c.attribution().Gaps().Total()),
            (Named{{"held", 4}, {"decode_compute", 5}, {"host", 2}, {"recompute", 12}}));
}

TEST(AttributionTest, ReplicasDoNotMix) {
  Collector c;
  for (const std::int64_t id : {0, 1}) {
    c.OnArrival(Ms(0), id, static_cast<std::int32_t>(id), Tokens(9), Tokens(1));
    c.OnScheduled(Ms(0), id);
  }
  IterationRecord other = Iteration(0, 10, 0, 5);
  other.replica = 1;
  c.OnIteration(Iteration(0, 10, 1));
  c.OnIteration(other);
  for (const std::int64_t id : {0, 1}) {
    c.OnPrefill(Ms(10), id);
    c.OnToken(Ms(10), id);
    c.OnFinish(Ms(10), id, false);
  }
  c.CheckConservation();
  EXPECT_EQ(Of(c.requests()[0].ttft.Unpack()), (Named{{"prefill_compute", 9}, {"host", 1}}));
  EXPECT_EQ(Of(c.requests()[1].ttft.Unpack()),
            (Named{{"decode_compute", 4}, {"load_stall", 5}, {"host", 1}}));
}

TEST(AttributionTest, BoundsCountIterationsAndTheirTime) {
  Collector c;
  IterationRecord r = Iteration(0, 10, 0.5, 6);  // stall 6, compute 3 in two halves, host 1
  r.batch_bound = BatchBound::kHbm;
  c.OnIteration(r);
  r = Iteration(10, 20, 0.5, 4);  // compute 5: its halves count together
  c.OnIteration(r);
  const Attribution& a = c.attribution();
  const auto of = [&](IterationBound bound) {
    return a.iteration_bounds()[static_cast<std::size_t>(bound)];
  };
  EXPECT_EQ(of(IterationBound::kLoad).iterations, 1);
  EXPECT_EQ(of(IterationBound::kCompute).iterations, 1);
  EXPECT_EQ(of(IterationBound::kCompute).ns, 10'000'000);
  EXPECT_EQ(a.batch_bounds()[static_cast<std::size_t>(BatchBound::kHbm)].iterations, 1);
  EXPECT_EQ(a.batch_bounds()[static_cast<std::size_t>(BatchBound::kRequests)].ns, 10'000'000);
}

TEST(AttributionDeathTest, TimeThatIsLostAborts) {
  Collector c;
  c.OnArrival(Ms(0), 0, 0, Tokens(100), Tokens(1));
  c.OnScheduled(Ms(0), 0);
  c.OnIteration(Iteration(0, 10, 1));
  c.OnPrefill(Ms(10), 0);
  c.OnToken(Ms(12), 0);  // 2 ms after the iteration that made it: held
  c.OnFinish(Ms(12), 0, false);
  c.CheckConservation();
  RequestRecords records = c.requests();
  EXPECT_EQ(Of(records[0].ttft.Unpack()),
            (Named{{"held", 2}, {"prefill_compute", 9}, {"host", 1}}));
  TimeParts parts = records[0].ttft.Unpack();
  parts[Part::kHeld] -= 1;
  records[0].ttft.Pack(parts);
  EXPECT_DEATH(c.attribution().CheckSums(records), "time to the first token do not sum up");
}

TEST(SlowestFirstTokensTest, AreTheSlowestOfTheCompletedRoundedUp) {
  RequestRecords records(150);
  for (std::size_t i = 0; i < records.size(); ++i) {
    records[i].id = static_cast<std::int64_t>(i);
    const auto ms = static_cast<std::int64_t>((i * 7) % 150);  // each of 0 ... 149 once
    records[i].first_token = Ms(ms);
    TimeParts parts;
    parts[Part::kQueue] = ms * 1'000'000;
    records[i].ttft.Pack(parts);
    records[i].produced = Tokens(1);
    records[i].failed = ms == 149;
  }
  const Breakdown slowest = SlowestFirstTokens(records, 0.01);  // of 149: 2
  EXPECT_EQ(slowest.samples, 2);
  EXPECT_DOUBLE_EQ(slowest.from_ms, 147);
  EXPECT_DOUBLE_EQ(slowest.mean_ms, 147.5);
  EXPECT_DOUBLE_EQ(slowest.parts_ms[0], 147.5);
  const Breakdown all = SlowestFirstTokens(records, 1);
  EXPECT_EQ(all.samples, 149);
  EXPECT_DOUBLE_EQ(all.mean_ms, 74);
  EXPECT_EQ(SlowestFirstTokens({}, 1).samples, 0);
}

}  // namespace
}  // namespace sparseserve::metrics
