// Fidelity `sampled` against `exact`: equal where everything is tracked, close where it is not, on
// Llama-3.1-8B with its 256 lanes: 8 heads in each of 32 layers, so that below 1/8 layers are left
// out. The errors of the standard experiments stand in results/bench/fidelity.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/report/summary_json.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

SystemConfig Sampled(SystemConfig config, double share) {
  config.fidelity = {.sampled = true, .share = share};
  return config;
}

// Prompts of Mixed() take up to 1.6 GB, and the selections of a step 0.27 GB a request.
SystemConfig Pressed(const std::string& system) {
  SystemConfig config = Shipped(system);
  config.memory.kv_pool = Bytes(4'000'000'000);
  return config;
}

Requests Mixed(std::int64_t count, std::int64_t gap_ms) {
  Requests requests;
  RandomStream random(7, "lengths");
  for (std::int64_t i = 0; i < count; ++i)
    Add(requests, i * gap_ms, random.UniformInt(1000, 12000), random.UniformInt(20, 120));
  return requests;
}

class SampledSystemTest : public ::testing::TestWithParam<std::string> {
 protected:
  bool offloads() const { return Shipped(GetParam()).choice.kv_home == KvHome::kDram; }
};

TEST_P(SampledSystemTest, AShareOfOneIsExactInEveryFigure) {
  const Requests requests = Mixed(10, 150);
  Outcome exact = Simulate(Pressed(GetParam()), requests);
  Outcome all = Simulate(Sampled(Pressed(GetParam()), 1), requests);
  EXPECT_EQ(exact.result.summary.labels.fidelity, "exact");
  EXPECT_EQ(all.result.summary.labels.fidelity,
            offloads() ? "sampled: 256 of 256 lanes" : "exact: no block leaves HBM");
  for (Outcome* outcome : {&exact, &all}) {
    outcome->result.summary.labels.fidelity.clear();
    outcome->result.summary.perf.wall_s = 0;
  }
  EXPECT_EQ(report::SummaryJson(exact.result), report::SummaryJson(all.result));
  EXPECT_EQ(Times(exact.records), Times(all.records));
}

double Relative(double sampled, double exact) {
  return exact == 0 ? std::abs(sampled) : std::abs(sampled / exact - 1);
}

struct Bounds {
  double throughput, loads;
};

void ExpectClose(const RunResult& exact, const RunResult& sampled, const Bounds& bounds) {
  const metrics::Summary& a = exact.summary;
  const metrics::Summary& b = sampled.summary;
  EXPECT_EQ(a.completed, b.completed);
  EXPECT_LE(Relative(b.output_throughput, a.output_throughput), bounds.throughput)
      << b.output_throughput << " for " << a.output_throughput;
  EXPECT_LE(Relative(static_cast<double>(b.totals.block_loads),
                     static_cast<double>(a.totals.block_loads)),
            bounds.loads)
      << b.totals.block_loads << " for " << a.totals.block_loads;
  // What does not depend on chance is equal.
  EXPECT_EQ(a.totals.d2h_bytes, b.totals.d2h_bytes);
  EXPECT_EQ(a.totals.prefill_token_layers, b.totals.prefill_token_layers);
  EXPECT_EQ(a.kv.hbm_capacity_blocks, b.kv.hbm_capacity_blocks);
}

TEST_P(SampledSystemTest, IsCloseToExact) {
  const Requests requests = Mixed(40, 400);
  const RunResult exact = Simulate(Pressed(GetParam()), requests).result;
  if (offloads()) {
    ASSERT_GT(exact.summary.totals.block_loads, 400'000);
  }
  for (const double share : {0.25, 0.125, 1.0 / 16, 1.0 / 64}) {
    SCOPED_TRACE("share " + std::to_string(share));
    ExpectClose(exact, Simulate(Sampled(Pressed(GetParam()), share), requests).result,
                {0.01, 0.03});
  }
}

TEST_P(SampledSystemTest, CountsAreWholeMultiplesOfWhatWasTracked) {
  for (const double share : {0.25, 1.0 / 32}) {
    const auto scale = static_cast<std::int64_t>(1 / share);
    const metrics::Summary s =
        Simulate(Sampled(Pressed(GetParam()), share), Mixed(8, 100)).result.summary;
    EXPECT_EQ(s.totals.block_loads % scale, 0);
    EXPECT_EQ(s.totals.block_touches % scale, 0);
    EXPECT_EQ(s.kv.evictions % scale, 0);
    EXPECT_EQ(s.totals.h2d_bytes, s.kv.block_bytes * s.totals.block_loads);
    EXPECT_LE(s.kv.hbm_peak_blocks, s.kv.hbm_capacity_blocks);
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Presets, SampledSystemTest,
                         ::testing::Values("vllm", "vllm-s", "vllm-so", "vllm-so-ft",
                                           "vllm-so-ft-wc", "sparseserve"),
                         NameOf);

// The batch outgrows the cache, and each layer evicts what the next step of another needs: far
// beyond the edge of thrashing, and near it.
TEST(SampledFidelityTest, ThrashSurvivesTheSampling) {
  for (const std::int64_t pool : {std::int64_t{1'500'000'000}, std::int64_t{6'000'000'000}}) {
    SystemConfig config = Shipped("vllm-so");
    config.memory.kv_pool = Bytes(pool);
    const Requests requests = Mixed(40, 120);
    const RunResult exact = Simulate(config, requests).result;
    const metrics::IterationTotals& totals = exact.summary.totals;
    ASSERT_GT(totals.block_loads, totals.block_touches / 3) << "no thrash";
    for (const double share : {0.125, 1.0 / 64}) {
      SCOPED_TRACE(std::to_string(pool) + " B, share " + std::to_string(share));
      // Four lanes in a pool that few batches fill: which requests share a tracked layer decides
      // how many decodes fit.
      const bool coarse = share < 0.125 && pool < 2'000'000'000;
      ExpectClose(exact, Simulate(Sampled(config, share), requests).result,
                  coarse ? Bounds{0.05, 0.05} : Bounds{0.01, 0.02});
    }
  }
}

// Where working-set control decides at its limit, one block more or less gives another batch, and a
// short run goes another way. Over several seeds the error is one of chance, not a bias.
TEST(SampledFidelityTest, TheErrorsOfTightWorkingSetControlCancelOut) {
  for (const std::string system : {"vllm-so-ft-wc", "sparseserve"}) {
    double loads[2] = {0, 0}, throughput[2] = {0, 0};
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      SystemConfig config = Pressed(system);
      config.seed = seed;
      for (const bool sampled : {false, true}) {
        const metrics::Summary s =
            Simulate(sampled ? Sampled(config, 0.125) : config, Mixed(20, 200)).result.summary;
        loads[sampled] += static_cast<double>(s.totals.block_loads);
        throughput[sampled] += s.output_throughput;
      }
    }
    EXPECT_LE(Relative(loads[1], loads[0]), 0.05) << system << loads[1] / loads[0];
    EXPECT_LE(Relative(throughput[1], throughput[0]), 0.01)
        << system << throughput[1] / throughput[0];
  }
}

TEST(SampledFidelityTest, EveryPolicyIsClose) {
  for (const std::string eviction : {"fifo", "clock", "sieve", "s3-fifo", "layer-cyclic"}) {
    SCOPED_TRACE(eviction);
    SystemConfig config = Pressed("vllm-so-ft");
    config.memory.eviction = eviction;
    const Requests requests = Mixed(10, 120);
    ExpectClose(Simulate(config, requests).result,
                Simulate(Sampled(config, 0.125), requests).result, {0.01, 0.03});
  }
}

TEST(SampledFidelityTest, ReplaysOfEvictionsAreScaledToo) {
  SystemConfig config = Pressed("vllm-so-ft");
  config.memory.replay_evictions = {"lru", "opt"};
  const Requests requests = Mixed(8, 120);
  const RunResult exact = Simulate(config, requests).result;
  const RunResult sampled = Simulate(Sampled(config, 0.125), requests).result;
  ASSERT_GT(exact.eviction_replays[1].block_loads, 10'000);
  EXPECT_EQ(sampled.eviction_replays[0].block_loads, sampled.summary.totals.block_loads);
  EXPECT_LE(Relative(static_cast<double>(sampled.eviction_replays[1].block_loads),
                     static_cast<double>(exact.eviction_replays[1].block_loads)),
            0.03);
}

TEST(SampledFidelityTest, OtherSelectionsAndFullAttention) {
  SystemConfig quest = Pressed("sparseserve");
  quest.selection = selection::SelectionPreset("quest");  // two dense layers
  SystemConfig uneven = Pressed("vllm-so-ft");
  uneven.locality.per_layer_variation = 0.5;
  SystemConfig every_block = Pressed("vllm-so-ft");
  every_block.choice.attention = Attention::kFull;
  const Requests requests = Mixed(10, 200);
  for (const SystemConfig& config : {quest, uneven, every_block}) {
    SCOPED_TRACE(config.selection.name + " " + config.choice.name);
    ExpectClose(Simulate(config, requests).result,
                Simulate(Sampled(config, 0.125), requests).result, {0.01, 0.02});
  }
}

std::string Refusal(const SystemConfig& config) {
  try {
    ComputeGeometry(config);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(SampledFidelityTest, ASampleWithoutLanesOrOutOfProportionIsRefused) {
  EXPECT_NE(Refusal(Sampled(Pressed("sparseserve"), 0.001)).find("fidelity.share: leaves none of"),
            std::string::npos);
  EXPECT_EQ(Refusal(Sampled(Pressed("vllm"), 0.001)), "") << "nothing to sample";
  SystemConfig config = Sampled(Pressed("sparseserve"), 1.0 / 16);
  EXPECT_EQ(Refusal(config), "");
  config.selection.dense_layers = 2;
  EXPECT_NE(Refusal(config).find("lose their proportion"), std::string::npos);
  config.fidelity.share = 0.125;
  EXPECT_EQ(Refusal(config), "");
}

}  // namespace
}  // namespace sparseserve::serving
