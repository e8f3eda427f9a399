// Where the time of whole runs went, in the situations that fill a part. That the parts sum up is
// checked by every run.
#include <gtest/gtest.h>

#include "sim/metrics/attribution.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

using metrics::BatchBound;
using metrics::Part;

double Ms(const metrics::Breakdown& b, Part part) {
  return b.parts_ms[static_cast<std::size_t>(part)];
}

std::int64_t Iterations(const metrics::Summary& s, BatchBound bound) {
  return s.batch_bounds[static_cast<std::size_t>(bound)].iterations;
}

double SumMs(const metrics::Breakdown& b) {
  double sum = 0;
  for (const double part : b.parts_ms) sum += part;
  return sum;
}

constexpr std::int64_t kTokenBytes = 128 * 1024;

TEST(AttributionOfRunsTest, ALoneRequestIsPrefilledAndDecodedAndNeverWaits) {
  const metrics::Summary s = Simulate(Shipped("vllm"), Equal(1, 0, 6000, 50)).result.summary;
  EXPECT_NEAR(SumMs(s.breakdown.ttft), s.ttft_ms.mean, 1e-6 * s.ttft_ms.mean);
  EXPECT_NEAR(SumMs(s.breakdown.itl), s.itl_ms.mean, 1e-6 * s.itl_ms.mean);
  EXPECT_EQ(Ms(s.breakdown.ttft, Part::kQueue) + Ms(s.breakdown.ttft, Part::kHeld), 0);
  EXPECT_EQ(Ms(s.breakdown.ttft, Part::kDecodeAttention), 0);
  EXPECT_NEAR(Ms(s.breakdown.ttft, Part::kHost), 3 * 4, 1e-6);  // chunks of 2048 tokens
  EXPECT_EQ(Ms(s.breakdown.itl, Part::kPrefillCompute), 0);
  EXPECT_NEAR(Ms(s.breakdown.itl, Part::kHost), 4, 1e-6);
  // Two chunks were cut by the budget of tokens.
  EXPECT_EQ(Iterations(s, BatchBound::kMaxBatchTokens), 2);
  EXPECT_EQ(Iterations(s, BatchBound::kRequests), 50);
}

TEST(AttributionOfRunsTest, PreemptedRequestsRecompute) {
  SystemConfig config = Shipped("vllm");
  config.memory.kv_pool = Bytes(kTokenBytes * 2400);
  const metrics::Summary s = Simulate(config, Equal(4, 0, 1000, 300)).result.summary;
  ASSERT_GT(s.preemptions, 0);
  EXPECT_GT(Ms(s.breakdown.itl, Part::kRecompute), 0);
  EXPECT_GT(Ms(s.breakdown.itl, Part::kHeld), 0);  // until there is room again
  EXPECT_GT(Ms(s.breakdown.ttft, Part::kQueue), 0);
  EXPECT_NEAR(SumMs(s.breakdown.itl), s.itl_ms.mean, 1e-6 * s.itl_ms.mean);
  EXPECT_GT(Iterations(s, BatchBound::kHbm), 0);
  EXPECT_GT(s.breakdown.slowest_itl.mean_ms, 5 * s.breakdown.itl.mean_ms);
  EXPECT_GT(Ms(s.breakdown.slowest_itl, Part::kHeld), Ms(s.breakdown.itl, Part::kHeld));
}

// Layer-segmented prefill leaves nothing in HBM: what is selected is loaded once, and again only
// when it was evicted.
TEST(AttributionOfRunsTest, FirstLoadsAndReloadsAreToldApart) {
  const Requests requests = Equal(3, 0, 6000, 40);
  const metrics::Summary ample = Simulate(Shipped("sparseserve"), requests).result.summary;
  EXPECT_GT(ample.totals.block_loads, 0);
  EXPECT_EQ(ample.totals.block_reloads, 0);
  EXPECT_GT(Ms(ample.breakdown.itl, Part::kLoadStall), 0);
  EXPECT_EQ(Ms(ample.breakdown.itl, Part::kEvictionStall), 0);
  SystemConfig config = Shipped("sparseserve");
  config.memory.kv_pool = Bytes(900'000'000);
  config.choice.working_set_control = false;
  const metrics::Summary tight = Simulate(config, requests).result.summary;
  EXPECT_GT(tight.totals.block_reloads, 0);
  EXPECT_LT(tight.totals.block_reloads, tight.totals.block_loads);
  EXPECT_GT(Ms(tight.breakdown.itl, Part::kEvictionStall), 0);
  // Chunked prefill leaves its blocks in HBM: whatever is loaded had been evicted.
  config = Shipped("vllm-so-ft");
  config.memory.kv_pool = Bytes(1'800'000'000);
  const metrics::Summary chunked = Simulate(config, requests).result.summary;
  EXPECT_GT(chunked.totals.block_loads, 0);
  EXPECT_EQ(chunked.totals.block_reloads, chunked.totals.block_loads);
  EXPECT_EQ(Ms(chunked.breakdown.itl, Part::kLoadStall), 0);
}

TEST(AttributionOfRunsTest, WorkingSetControlHoldsDecodes) {
  SystemConfig config = Shipped("sparseserve");
  config.memory.kv_pool = Bytes(900'000'000);
  const metrics::Summary s = Simulate(config, Equal(4, 0, 6000, 40)).result.summary;
  EXPECT_GT(Iterations(s, BatchBound::kWorkingSet) + Iterations(s, BatchBound::kHbm), 0);
  EXPECT_GT(Ms(s.breakdown.itl, Part::kHeld), 0);
}

TEST(AttributionOfRunsTest, ADramThatIsFullBoundsTheBatch) {
  SystemConfig config = Shipped("sparseserve");
  config.memory.dram = Bytes(kTokenBytes * 9000);
  const metrics::Summary s = Simulate(config, Equal(3, 0, 6000, 40)).result.summary;
  EXPECT_GT(Iterations(s, BatchBound::kDram), 0);
  EXPECT_GT(Ms(s.breakdown.ttft, Part::kQueue), 0);
}

}  // namespace
}  // namespace sparseserve::serving
