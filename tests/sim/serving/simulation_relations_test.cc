// Relations between runs that must hold whatever the constants of the models are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "sim/core/rng.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

Requests Mixed(std::int64_t count, std::int64_t gap_ms) {
  RandomStream random(3, "mixed");
  Requests requests;
  for (std::int64_t i = 0; i < count; ++i)
    Add(requests, i * gap_ms, random.UniformInt(200, 9000), random.UniformInt(1, 30));
  return requests;
}

void PlentyOfHbm(SystemConfig& config) {
  config.machine.gpu.hbm_capacity = Bytes(200'000'000'000);
  config.memory.kv_pool = Bytes(30'000'000'000);
}

// What an iteration was given and when, for comparing runs.
class IterationLog : public metrics::IterationSink {
 public:
  void OnIteration(const metrics::IterationRecord& r) override { records.push_back(r); }
  // The iterations that end before `limit`, a line each.
  std::string Until(SimTime limit) const {
    std::string text;
    for (const metrics::IterationRecord& r : records) {
      if (r.end >= limit) continue;
      for (const std::int64_t value :
           {r.begin.ns(), r.end.ns(), r.num_decodes, r.num_prefills, r.prefill_token_layers,
            r.num_running, r.num_waiting, r.block_loads, r.block_touches, r.hbm_used.value()})
        text += std::to_string(value) + ' ';
      text += '\n';
    }
    return text;
  }
  std::vector<metrics::IterationRecord> records;
};

std::vector<std::string> AllSystems() {
  return {"vllm", "vllm-s", "vllm-so", "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"};
}

// Chunked prefill leaves its blocks in HBM, so nothing is ever loaded; saves go on beside the
// compute. Times may differ in the rounding of each iteration: one adds up layer by layer, the
// other multiplies.
TEST(SimulationRelationsTest, WithEndlessHbmOffloadingIsInvisible) {
  const Requests requests = Mixed(12, 150);
  SystemConfig resident = Shipped("vllm-s");
  resident.calibration.slowdowns.at("d2h.flash").value = 1;
  PlentyOfHbm(resident);
  SystemConfig offloaded = resident;
  offloaded.choice = Shipped("vllm-so-ft").choice;
  const Outcome a = Simulate(resident, requests), b = Simulate(offloaded, requests);
  EXPECT_EQ(b.result.summary.totals.block_loads, 0);
  EXPECT_EQ(b.result.summary.totals.save_stall, Seconds(0));
  const std::int64_t iterations = a.result.summary.totals.iterations;
  ASSERT_EQ(iterations, b.result.summary.totals.iterations);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const metrics::RequestRecord &x = a.records[i], &y = b.records[i];
    EXPECT_LE(std::abs(x.first_token.ns() - y.first_token.ns()), iterations) << "request " << i;
    EXPECT_LE(std::abs(x.last_token.ns() - y.last_token.ns()), iterations) << "request " << i;
  }
}

TEST(SimulationRelationsTest, ABudgetBeyondEveryContextIsFullAttention) {
  const Requests requests = Mixed(12, 100);
  SystemConfig full = Shipped("vllm");
  PlentyOfHbm(full);
  SystemConfig sparse = full;
  sparse.choice = Shipped("vllm-s").choice;
  sparse.selection.budget_tokens = Tokens(16384);
  EXPECT_EQ(Times(Simulate(full, requests).records), Times(Simulate(sparse, requests).records));
}

// A theorem (inclusion of LRU) only as long as the order of accesses stays the same: requests come
// one at a time, because with several the timing decides who shares a batch.
TEST(SimulationRelationsTest, OneRequestAtATimeLoadsNoMoreWithMoreHbm) {
  const Requests requests = Equal(3, 60'000, 7000, 40);
  SystemConfig config = Shipped("vllm-so-ft");
  config.locality = selection::LocalityPreset("shadowkv-60");
  std::vector<std::int64_t> loads;
  for (const std::int64_t mb : {1000, 1050, 1100, 1200, 2000}) {
    config.memory.kv_pool = Bytes(mb * 1'000'000);
    loads.push_back(Simulate(config, requests).result.summary.totals.block_loads);
  }
  EXPECT_TRUE(std::is_sorted(loads.rbegin(), loads.rend())) << ::testing::PrintToString(loads);
  config.choice = Shipped("sparseserve").choice;  // starts with nothing in HBM
  loads.clear();
  for (const std::int64_t mb : {350, 400, 500, 700, 1000}) {
    config.memory.kv_pool = Bytes(mb * 1'000'000);
    loads.push_back(Simulate(config, requests).result.summary.totals.block_loads);
  }
  EXPECT_TRUE(std::is_sorted(loads.rbegin(), loads.rend())) << ::testing::PrintToString(loads);
  EXPECT_GT(loads.front(), loads.back());
}

TEST(SimulationRelationsTest, AFasterLinkNeverDelaysOneRequestAtATime) {
  const Requests requests = Equal(2, 60'000, 7000, 20);
  SystemConfig config = Shipped("sparseserve");
  config.memory.kv_pool = Bytes(500'000'000);
  Seconds before(1e9);
  for (const double gb : {13.0, 26.0, 52.0}) {
    config.machine.link.h2d_bandwidth = BytesPerSecond(gb * 1e9);
    config.machine.link.duplex_bandwidth = BytesPerSecond(0);
    const Seconds duration = Simulate(config, requests).result.summary.duration;
    EXPECT_LE(duration, before) << gb;
    before = duration;
  }
}

// Selections are drawn by request id, so the systems with random selections cannot take part.
TEST(SimulationRelationsTest, TwoFarApartHalvesOfATraceAreTwoRuns) {
  const std::int64_t far_ms = 1'000'000'000;
  const Requests half = Mixed(6, 100);
  Requests both = half;
  for (const traces::Request& r : half)
    Add(both, far_ms + r.arrival.ns() / 1'000'000, r.prompt.value(), r.output.value());
  std::vector<SystemConfig> configs = {Shipped("vllm"), Shipped("vllm-s"), Shipped("vllm-so-ft")};
  configs[2].choice.attention = Attention::kFull;
  configs[2].memory.kv_pool = Bytes(2'500'000'000);
  for (const SystemConfig& config : configs) {
    const auto alone = Simulate(config, half).records;
    const auto together = Simulate(config, both).records;
    for (std::size_t i = 0; i < together.size(); ++i) {
      const metrics::RequestRecord& r = together[i];
      const metrics::RequestRecord& expected = alone[i % half.size()];
      const std::int64_t shift = i < half.size() ? 0 : far_ms * 1'000'000;
      EXPECT_EQ(r.scheduled.ns(), expected.scheduled.ns() + shift)
          << config.choice.name << ' ' << i;
      EXPECT_EQ(r.first_token.ns(), expected.first_token.ns() + shift);
      EXPECT_EQ(r.last_token.ns(), expected.last_token.ns() + shift);
    }
  }
}

TEST(SimulationRelationsTest, APrefixOfATraceIsAPrefixOfTheLog) {
  const Requests requests = Mixed(10, 300);
  const Requests prefix(requests.begin(), requests.begin() + 6);
  for (const std::string& system : AllSystems()) {
    SystemConfig config = Shipped(system);
    config.memory.kv_pool = Bytes(1'800'000'000);
    IterationLog whole, part;
    Simulate(config, requests, {}, &whole);
    Simulate(config, prefix, {}, &part);
    const SimTime removed = requests[6].arrival;
    EXPECT_EQ(part.Until(removed), whole.Until(removed)) << system;
    EXPECT_GT(part.Until(removed).size(), 100u);
  }
}

// P4: until request 2 would finish in the shorter run, nothing can depend on how long its output
// is.
TEST(SimulationRelationsTest, NoDecisionKnowsAnOutputLength) {
  Requests requests = Mixed(8, 120);
  requests[2].output = Tokens(15);
  Requests longer = requests;
  longer[2].output = Tokens(60);
  for (const std::string& system : AllSystems()) {
    SystemConfig config = Shipped(system);
    config.memory.kv_pool = Bytes(1'800'000'000);
    IterationLog a, b;
    const Outcome shorter = Simulate(config, requests, {}, &a);
    Simulate(config, longer, {}, &b);
    // The iteration that finishes it ends at that instant; its record is taken before the finish.
    const SimTime finish(shorter.records[2].finish.ns() + 1);
    EXPECT_EQ(a.Until(finish), b.Until(finish)) << system;
    EXPECT_NE(a.Until(SimTime::Max()), b.Until(SimTime::Max())) << system;
  }
}

TEST(SimulationRelationsTest, ADuplexBandwidthOfZeroIsTheSumOfBothDirections) {
  const Requests requests = Equal(4, 50, 6000, 10);
  SystemConfig config = Shipped("vllm-so-ft");
  config.memory.kv_pool = Bytes(1'300'000'000);
  config.machine.link.duplex_bandwidth =
      config.machine.link.h2d_bandwidth + config.machine.link.d2h_bandwidth;
  const std::string sum = Times(Simulate(config, requests).records);
  config.machine.link.duplex_bandwidth = BytesPerSecond(0);
  EXPECT_EQ(sum, Times(Simulate(config, requests).records));
}

TEST(SimulationRelationsTest, MoreThanOneGpuPerReplicaHoldsMoreKvOnEach) {
  SystemConfig config = Shipped("sparseserve");
  const HbmBudget one = ComputeHbmBudget(config);
  config.tensor_parallel = 2;
  const HbmBudget two = ComputeHbmBudget(config);
  EXPECT_EQ(two.weights.value(), CeilDiv(one.weights.value(), 2));
  EXPECT_GT(two.kv, one.kv);
  EXPECT_EQ(ComputeGeometry(config).heads, 4);
}

}  // namespace
}  // namespace sparseserve::serving
