// Random systems under random pressure. Each run checks its own conservation laws and aborts when
// one breaks; here it must also end, with every request finished or failed.
#include <gtest/gtest.h>

#include "sim/core/rng.h"
#include "sim/kvcache/eviction_policy.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

template <typename T>
T OneOf(RandomStream& random, const std::vector<T>& values) {
  return values[static_cast<std::size_t>(
      random.UniformInt(0, static_cast<std::int64_t>(values.size()) - 1))];
}

SystemConfig RandomSystem(RandomStream& random) {
  SystemConfig c = Shipped(OneOf<std::string>(
      random, {"vllm", "vllm-s", "vllm-so", "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"}));
  c.model.num_layers = random.UniformInt(1, 5);
  if (c.choice.kv_home == KvHome::kDram) {
    c.choice.attention = OneOf<Attention>(random, {Attention::kFull, Attention::kSparse});
    c.choice.working_set_control = random.Uniform() < 0.5;
  }
  c.choice.save =
      OneOf<cost::SaveMethod>(random, {cost::SaveMethod::kMemcpyPerBlock,
                                       cost::SaveMethod::kGpuDirect, cost::SaveMethod::kFlashD2h});
  c.selection.block_tokens = Tokens(OneOf<std::int64_t>(random, {16, 32}));
  c.selection.budget_tokens = c.selection.block_tokens * OneOf<std::int64_t>(random, {6, 16, 40});
  c.selection.granularity = OneOf<selection::Granularity>(
      random, {selection::Granularity::kKvHead, selection::Granularity::kLayer});
  c.selection.dense_layers = random.UniformInt(0, 2);
  c.selection.reuse_interval = random.UniformInt(1, 3);
  c.locality.overlap = {{1, 0.7}, {12, 0.8}, {16, 0.81}};
  c.scheduling.max_requests = random.UniformInt(1, 24);
  c.scheduling.max_batch_tokens = Tokens(random.UniformInt(32, 1024));
  c.memory.eviction = OneOf<std::string>(random, kvcache::EvictionPolicyNames());
  c.memory.working_set_window = random.UniformInt(1, 16);
  c.machine.link.d2h_bandwidth = BytesPerSecond(OneOf<double>(random, {52e9, 0.5e9}));
  c.calibration.operations.at("d2h.flash").bandwidth = c.machine.link.d2h_bandwidth;
  c.replicas = random.UniformInt(1, 2);
  c.tensor_parallel = random.UniformInt(1, 2);
  c.seed = random.Bits();
  return c;
}

TEST(SimulationSwarmTest, EveryRunEndsAndBalances) {
  std::int64_t runs = 0, preemptions = 0, loads = 0, save_stalls = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(seed, "swarm");
    SystemConfig config = RandomSystem(random);
    Requests requests;
    std::int64_t at_ms = 0;
    for (int i = 0; i < 15; ++i) {
      at_ms += random.UniformInt(0, 20);
      Add(requests, at_ms, random.UniformInt(1, 2500), random.UniformInt(1, 80));
    }
    // From just enough for the longest prompt to a few times as much.
    const Bytes row = ComputeGeometry(config).block_row_bytes();
    FixedStream scan(requests);
    const WorkloadBounds bounds = ScanWorkload(scan);
    config.memory.dram = row * (config.tensor_parallel * random.UniformInt(1, 4) * 200);
    config.memory.kv_pool = row * 10;
    const auto feasible = [&] {
      try {
        CheckFeasible(config, bounds);
      } catch (const InputError&) {
        return false;
      }
      return true;
    };
    while (!feasible()) config.memory.kv_pool += row * 2;
    config.memory.kv_pool += row * random.UniformInt(0, 60);
    const metrics::Summary s = Simulate(config, requests).result.summary;
    EXPECT_EQ(s.completed + s.failed, 15);
    EXPECT_LE(s.kv.hbm_peak_blocks, s.kv.hbm_capacity_blocks);
    EXPECT_LE(s.time_share.compute + s.time_share.attention + s.time_share.load_stall +
                  s.time_share.save_stall + s.time_share.host,
              1 + 1e-6);
    ++runs;
    preemptions += s.preemptions;
    loads += s.totals.block_loads;
    save_stalls += s.totals.save_stall > Seconds(0) ? 1 : 0;
  }
  EXPECT_EQ(runs, 150);
  EXPECT_GT(preemptions, 0);  // the swarm is where it hurts
  EXPECT_GT(loads, 0);
  EXPECT_GT(save_stalls, 10);
}

}  // namespace
}  // namespace sparseserve::serving
