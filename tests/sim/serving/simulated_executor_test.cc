// The compute of an iteration, with times computed by hand from the cost model.
#include "sim/serving/simulated_executor.h"

#include <gtest/gtest.h>

#include "tests/sim/serving/executor_bench.h"

namespace sparseserve::serving {
namespace {

TEST(SimulatedExecutorTest, AResidentPrefillIsItsLayersAndOneTokenOfLogits) {
  Bench bench(Config(0), /*offloads=*/false);
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 400, 1000, true)}});
  const Seconds head = bench.costs.Head(Tokens(1)).time;
  EXPECT_NEAR(r.time.compute.value(), (Linear(bench.costs, 600) * kLayers + head).value(),
              kTolerance);
  EXPECT_NEAR(r.time.attention.value(), (Prefill(bench.costs, 400, 1000) * kLayers).value(),
              kTolerance);
  EXPECT_NEAR(r.time.prefill_compute.value(), r.time.compute.value(), kTolerance);
  EXPECT_NEAR(r.time.prefill_attention.value(), r.time.attention.value(), kTolerance);
  EXPECT_EQ(r.time.host, kHost);
  EXPECT_EQ(r.h2d_busy + r.d2h_busy, Seconds(0));
}

TEST(SimulatedExecutorTest, AChunkThatDoesNotCompleteComputesNoLogits) {
  Bench bench(Config(0), false);
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 600, false)}});
  EXPECT_NEAR(r.time.compute.value(), (Linear(bench.costs, 600) * kLayers).value(), kTolerance);
}

// Contexts of 501 and 5001 tokens: the first fits into the budget of 2048, the second chooses among
// 156 full blocks of each head.
TEST(SimulatedExecutorTest, ASparseDecodeScoresChoosesAndAttendsToTheBudget) {
  Bench bench(Config(kBudget), false);
  bench.AddDecoding(500);
  bench.AddDecoding(5000);
  const IterationResult r = bench.Run({.ticket = 1, .decodes = {0, 1}, .prefills = {}});
  const cost::CostModel& c = bench.costs;
  const Seconds select = c.Score(156 * kHeads, Bytes(512)).time + c.TopK(kHeads, 156).time;
  EXPECT_NEAR(r.time.compute.value(),
              ((Linear(c, 2) + select) * kLayers + c.Head(Tokens(2)).time).value(), kTolerance);
  EXPECT_NEAR(r.time.attention.value(),
              (c.DecodeAttention(2, Tokens(501 + 2048), true).time * kLayers).value(), kTolerance);
  EXPECT_EQ(r.time.prefill_compute + r.time.prefill_attention, Seconds(0));
}

TEST(SimulatedExecutorTest, DenseLayersAttendToEverythingAndChooseNothing) {
  SimulatedExecutorConfig config = Config(kBudget);
  config.geometry.dense_layers = 5;
  Bench bench(config, false);
  bench.AddDecoding(5000);
  const IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
  const cost::CostModel& c = bench.costs;
  const Seconds dense = c.DecodeAttention(1, Tokens(5001), false).time;
  const Seconds sparse = c.DecodeAttention(1, Tokens(2048), true).time;
  EXPECT_NEAR(r.time.attention.value(), (dense * 5 + sparse * (kLayers - 5)).value(), kTolerance);
}

TEST(SimulatedExecutorTest, PrefillAndDecodesShareTheGemms) {
  Bench bench(Config(0), false);
  bench.AddDecoding(500);
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {0}, .prefills = {Whole(1, 0, 1000, true)}});
  const cost::CostModel& c = bench.costs;
  EXPECT_NEAR(r.time.compute.value(), (Linear(c, 1001) * kLayers + c.Head(Tokens(2)).time).value(),
              kTolerance);
  // By tokens: 1000 of 1001 in the layers, 1 of 2 in the head.
  EXPECT_NEAR(r.time.prefill_compute.value(),
              (Linear(c, 1001) * kLayers * (1000.0 / 1001) + c.Head(Tokens(2)).time * 0.5).value(),
              kTolerance);
  EXPECT_NEAR(r.time.prefill_attention.value(), (Prefill(c, 0, 1000) * kLayers).value(),
              kTolerance);
}

// The offloaded path goes layer by layer; its shares are those of the resident one.
TEST(SimulatedExecutorTest, PrefillHasTheSameShareWhereKvIsOffloaded) {
  for (const bool offloads : {false, true}) {
    Bench bench(Config(kBudget), offloads);
    bench.AddDecoding(5000);
    bench.AddPrompt(1000);
    const IterationResult r =
        bench.Run({.ticket = 1, .decodes = {0}, .prefills = {Whole(1, 0, 1000, false)}});
    EXPECT_NEAR(r.time.prefill_compute.value(),
                (Linear(bench.costs, 1001) * kLayers * (1000.0 / 1001)).value(), kTolerance);
    EXPECT_NEAR(r.time.prefill_attention.value(), (Prefill(bench.costs, 0, 1000) * kLayers).value(),
                kTolerance);
  }
}

}  // namespace
}  // namespace sparseserve::serving
