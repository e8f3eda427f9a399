#include "sim/metrics/summary.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sparseserve::metrics {
namespace {

SimTime Ms(std::int64_t ms) { return SimTime(ms * 1'000'000); }

struct Life {
  std::int64_t arrival_ms, scheduled_ms;
  std::vector<std::int64_t> tokens_ms;
  bool failed = false;  // after its last token
};

// Plays the lives in order of time; arrivals in the order given.
void Play(const std::vector<Life>& lives, Collector& c) {
  std::int64_t end = 0;
  for (const Life& life : lives)
    end = std::max({end, life.scheduled_ms, life.tokens_ms.empty() ? 0 : life.tokens_ms.back()});
  for (std::int64_t ms = 0; ms <= end; ++ms) {
    for (std::size_t i = 0; i < lives.size(); ++i) {
      const Life& life = lives[i];
      const auto id = static_cast<std::int64_t>(i);
      const auto asked = static_cast<std::int64_t>(life.tokens_ms.size()) + (life.failed ? 1 : 0);
      if (life.arrival_ms == ms) c.OnArrival(Ms(ms), id, 0, Tokens(100), Tokens(asked));
      if (life.scheduled_ms == ms) c.OnScheduled(Ms(ms), id);
      for (const std::int64_t token : life.tokens_ms)
        if (token == ms) c.OnToken(Ms(ms), id);
      if (life.tokens_ms.back() == ms) c.OnFinish(Ms(ms), id, life.failed);
    }
  }
  c.CheckConservation();
}

Summary Of(const std::vector<Life>& lives, const ServiceLevel& slo = {}) {
  Collector c;
  Play(lives, c);
  return Summarize(c, slo, 1, {}, {}, {});
}

TEST(SummaryTest, LatenciesAreThoseOfVllm) {
  const Summary s = Of({{0, 0, {10, 14, 22}}, {5, 10, {35}}});
  EXPECT_EQ(s.completed, 2);
  EXPECT_DOUBLE_EQ(s.ttft_ms.mean, (10 + 30) / 2.0);
  EXPECT_DOUBLE_EQ(s.tpot_ms.mean, 6);  // (22 - 10) / 2; a single token has none
  EXPECT_DOUBLE_EQ(s.itl_ms.mean, 6);
  EXPECT_DOUBLE_EQ(s.itl_ms.max, 8);
  EXPECT_DOUBLE_EQ(s.e2el_ms.mean, (22 + 30) / 2.0);
  EXPECT_NEAR(s.scheduling_delay_s.mean, 0.0025, 1e-9);
  EXPECT_NEAR(s.duration.value(), 0.035, 1e-12);
  EXPECT_NEAR(s.request_throughput, 2 / 0.035, 1e-6);
  EXPECT_NEAR(s.output_throughput, 4 / 0.035, 1e-6);
  EXPECT_NEAR(s.total_token_throughput, 204 / 0.035, 1e-6);
}

TEST(SummaryTest, DurationBeginsWithTheFirstArrival) {
  EXPECT_NEAR(Of({{1000, 1000, {1010}}}).duration.value(), 0.010, 1e-12);
}

TEST(SummaryTest, FailedRequestsCountNeitherInLatenciesNorInTokens) {
  const Summary s = Of({{0, 0, {10}}, {0, 0, {500, 600}, /*failed=*/true}});
  EXPECT_EQ(s.completed, 1);
  EXPECT_EQ(s.failed, 1);
  EXPECT_DOUBLE_EQ(s.ttft_ms.max, 10);
  EXPECT_EQ(s.total_output_tokens, Tokens(1));
  EXPECT_EQ(s.total_input_tokens, Tokens(100));
}

TEST(SummaryTest, GoodputCountsRequestsThatMeetEveryLimitInclusively) {
  const std::vector<Life> lives = {{0, 0, {10, 20}}, {0, 0, {11, 20}}, {0, 0, {10, 40}}};
  ServiceLevel slo;
  slo.ttft = Seconds(0.010);
  slo.tpot = Seconds(0.010);
  const Summary s = Of(lives, slo);
  EXPECT_DOUBLE_EQ(*s.slo_attainment, 1.0 / 3);
  EXPECT_NEAR(*s.request_goodput, 1 / 0.040, 1e-6);
  slo.ttft = Seconds(0.011);
  EXPECT_DOUBLE_EQ(*Of(lives, slo).slo_attainment, 2.0 / 3);
  slo.e2el = Seconds(0.019);
  EXPECT_DOUBLE_EQ(*Of(lives, slo).slo_attainment, 0);
}

TEST(SummaryTest, WithoutLimitsThereIsNoGoodput) {
  const Summary s = Of({{0, 0, {10}}});
  EXPECT_FALSE(s.request_goodput || s.slo_attainment);
}

TEST(SummaryTest, TimeSharesAddUpToOneOverAllReplicas) {
  Collector c;
  Play({{0, 0, {100}}}, c);
  IterationRecord r;
  r.num_decodes = 1;
  r.compute = Seconds(0.02);
  r.attention = Seconds(0.03);
  r.load_stall = Seconds(0.01);
  r.host = Seconds(0.04);
  r.block_loads = 25;
  r.block_touches = 100;
  c.OnIteration(r);
  const Summary one = Summarize(c, {}, 1, {}, {}, {});
  EXPECT_NEAR(one.time_share.compute, 0.2, 1e-9);
  EXPECT_NEAR(one.time_share.attention, 0.3, 1e-9);
  EXPECT_NEAR(one.time_share.load_stall, 0.1, 1e-9);
  EXPECT_NEAR(one.time_share.idle, 0, 1e-9);
  EXPECT_NEAR(Summarize(c, {}, 2, {}, {}, {}).time_share.idle, 0.5, 1e-9);
  EXPECT_DOUBLE_EQ(one.hit_rate, 0.75);
  EXPECT_DOUBLE_EQ(one.block_loads_per_iteration, 25);
}

TEST(SummaryTest, NothingSelectedIsAFullHit) { EXPECT_DOUBLE_EQ(Of({{0, 0, {10}}}).hit_rate, 1); }

// A single server of 10 ms with an arrival every `gap_ms`.
Summary Queue(std::int64_t gap_ms) {
  std::vector<Life> lives;
  std::int64_t free = 0;
  for (std::int64_t i = 0; i < 60; ++i) {
    const std::int64_t begin = std::max(free, i * gap_ms);
    free = begin + 10;
    lives.push_back({i * gap_ms, begin, {free}});
  }
  return Of(lives);
}

TEST(SummaryTest, AQueueThatGrowsIsSaturated) { EXPECT_TRUE(Queue(5).saturated); }

TEST(SummaryTest, AServerThatKeepsUpIsNotSaturated) {
  EXPECT_FALSE(Queue(10).saturated);
  EXPECT_FALSE(Queue(11).saturated);
}

TEST(SummaryTest, AQueueThatStaysAsLongAsItWasIsNotSaturated) {
  std::vector<Life> lives;  // 20 at once, then arrivals at the rate of the server
  for (std::int64_t i = 0; i < 60; ++i)
    lives.push_back({i < 20 ? 0 : (i - 20) * 10, i * 10, {i * 10 + 10}});
  EXPECT_FALSE(Of(lives).saturated);
}

TEST(SummaryTest, ABurstWithoutDurationIsNotSaturated) {
  EXPECT_FALSE(Of({{0, 0, {10}}, {0, 10, {20}}, {0, 20, {30}}}).saturated);
}

}  // namespace
}  // namespace sparseserve::metrics
