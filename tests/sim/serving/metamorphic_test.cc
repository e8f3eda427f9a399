// What must happen to a run when its inputs change in a known way.
#include <gtest/gtest.h>

#include <cstdlib>

#include "sim/core/rng.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

Requests Mixed(std::int64_t count, std::int64_t gap_ms) {
  RandomStream random(3, "metamorphic");
  Requests requests;
  for (std::int64_t i = 0; i < count; ++i)
    Add(requests, i * gap_ms, random.UniformInt(200, 7000), random.UniformInt(1, 30));
  return requests;
}

std::vector<std::string> AllSystems() {
  return {"vllm", "vllm-s", "vllm-so", "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"};
}

template <typename Rate>
void Halve(Rate& rate) {
  rate = Rate(rate.value() / 2);
}

// A machine on which everything takes twice as long.
SystemConfig Slowed(SystemConfig config) {
  config.host_overhead = config.host_overhead * 2;
  hardware::Machine& m = config.machine;
  Halve(m.gpu.hbm_bandwidth);
  Halve(m.gpu.bf16_flops);
  Halve(m.gpu.fp8_flops);
  Halve(m.gpu.gpu_link_bandwidth);
  m.gpu.gpu_link_latency = m.gpu.gpu_link_latency * 2;
  for (BytesPerSecond* rate :
       {&m.link.nominal_bandwidth, &m.link.h2d_bandwidth, &m.link.d2h_bandwidth,
        &m.link.duplex_bandwidth, &m.host.dram_bandwidth, &m.host.dram_reached_bandwidth})
    Halve(*rate);
  for (auto& [name, curve] : config.calibration.operations) {
    curve.launch = curve.launch * 2;
    curve.per_item = curve.per_item * 2;
    Halve(curve.bandwidth);
    Halve(curve.flop_rate);
    for (double& time : curve.grid.times_s) time *= 2;
  }
  for (auto& [name, latency] : config.calibration.latencies) latency.value = latency.value * 2;
  return config;
}

// The clock rounds each iteration to a nanosecond, and each event inside it.
TEST(MetamorphicTest, WhereAllTakesTwiceAsLongLatenciesDouble) {
  const Requests requests = Mixed(8, 60);
  Requests later = requests;
  for (traces::Request& r : later) r.arrival = SimTime(2 * r.arrival.ns());
  for (const std::string& system : AllSystems()) {
    SystemConfig config = Shipped(system);
    config.memory.kv_pool = Bytes(1'500'000'000);
    const Outcome a = Simulate(config, requests), b = Simulate(Slowed(config), later);
    const std::int64_t rounding = a.result.summary.totals.iterations * 4 * config.model.num_layers;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_LE(std::abs(b.records[i].first_token.ns() - 2 * a.records[i].first_token.ns()),
                rounding)
          << system << ' ' << i;
      EXPECT_LE(std::abs(b.records[i].last_token.ns() - 2 * a.records[i].last_token.ns()), rounding)
          << system << ' ' << i;
    }
    EXPECT_EQ(a.result.summary.totals.block_loads, b.result.summary.totals.block_loads) << system;
  }
}

// Not a theorem for every trace (Graham's anomalies); on these it holds.
TEST(MetamorphicTest, AnotherReplicaServesNobodyLater) {
  const Requests requests = Mixed(24, 40);
  for (const std::string& system : AllSystems()) {
    SystemConfig config = Shipped(system);
    config.router = "least-loaded";
    config.machine.gpus_per_switch = 1;  // a link of its own for each
    double attainment = -1;
    for (const std::int64_t replicas : {1, 2, 4}) {
      config.replicas = replicas;
      const Outcome run = Simulate(config, requests);
      double met = 0;
      for (const metrics::RequestRecord& r : run.records)
        met += r.first_token - r.arrival <= Seconds(0.5) ? 1 : 0;
      EXPECT_GE(met, attainment) << system << " with " << replicas;
      attainment = met;
    }
    EXPECT_GT(attainment, 0) << system;
  }
}

// A link of a megabyte per second: nothing but waiting for it.
TEST(MetamorphicTest, WithHardlyALinkTimeIsSpentWaitingForLoads) {
  SystemConfig config = Shipped("sparseserve");
  config.memory.kv_pool = Bytes(800'000'000);
  config.machine.link.h2d_bandwidth = BytesPerSecond(1e6);
  const metrics::Summary s = Simulate(config, Equal(2, 10, 5000, 8)).result.summary;
  EXPECT_EQ(s.completed, 2);
  EXPECT_GT(s.time_share.load_stall, 0.99);
}

// Whoever the seed draws for, a run without random choices is the same.
TEST(MetamorphicTest, ASeedOnlyChangesWhatIsDrawn) {
  const Requests requests = Mixed(6, 50);
  for (const std::string& system : AllSystems()) {
    SystemConfig config = Shipped(system);
    config.memory.kv_pool = Bytes(1'500'000'000);
    const Outcome one = Simulate(config, requests);
    config.seed = 99;
    const Outcome other = Simulate(config, requests);
    if (config.choice.kv_home == KvHome::kHbm) {
      EXPECT_EQ(Times(one.records), Times(other.records)) << system;
    } else {
      EXPECT_NE(one.result.summary.totals.block_loads, other.result.summary.totals.block_loads)
          << system;
    }
  }
}

}  // namespace
}  // namespace sparseserve::serving
