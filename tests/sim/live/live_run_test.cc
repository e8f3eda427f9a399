// Live runs on the CPU backend: no byte may be lost or mixed up on its way through DRAM, whatever
// the system, the size of HBM, the eviction policy, or how late copies and scatters are.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "kernels/cpu/cpu_backend.h"
#include "sim/core/error.h"
#include "sim/live/host_bench.h"
#include "sim/live/live_run.h"
#include "tests/sim/serving/test_systems.h"
#include "tests/temporary_directory.h"

namespace sparseserve::live {
namespace {

using serving::FixedStream;
using serving::Requests;
using serving::SystemConfig;

const std::vector<std::string>& AllSystems() {
  static const std::vector<std::string> names = {"vllm",       "vllm-s",        "vllm-so",
                                                 "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"};
  return names;
}

using Generated = std::map<std::int64_t, std::vector<std::int32_t>>;

constexpr std::int64_t kBlockTokens = 8;

llm::Architecture TinyModel() {
  llm::Architecture model;
  model.name = "tiny";
  model.num_layers = 3;
  model.hidden_size = 64;
  model.num_q_heads = 4;
  model.num_kv_heads = 2;
  model.head_dim = 16;
  model.intermediate_size = 96;
  model.vocab_size = 512;
  model.max_context_tokens = 4096;
  model.bytes_per_weight = model.bytes_per_embedding_weight = model.bytes_per_kv_element = 4;
  return model;
}

// `kv_blocks`: HBM for KV in blocks of one layer and head; 0: more than enough.
SystemConfig Tiny(const std::string& system, std::int64_t budget_tokens,
                  std::int64_t kv_blocks = 0) {
  SystemConfig config = serving::Shipped(system);
  config.model = TinyModel();
  config.selection.block_tokens = Tokens(kBlockTokens);
  config.selection.budget_tokens = Tokens(budget_tokens);
  config.scheduling.max_batch_tokens = Tokens(48);
  config.scheduling.max_requests = 6;
  const std::int64_t block_bytes = 2 * kBlockTokens * 16 * 4;
  config.memory.kv_pool = Bytes(block_bytes * (kv_blocks > 0 ? kv_blocks : 20'000));
  config.memory.dram = Bytes(block_bytes * 20'000);
  config.host_overhead = Seconds(0);
  return config;
}

// Prompts of odd lengths, some longer than a chunk, that overlap in time.
Requests Workload() {
  Requests requests;
  const std::int64_t prompts[] = {37, 150, 5, 96, 201, 64, 8, 120};
  const std::int64_t outputs[] = {12, 20, 9, 16, 11, 24, 30, 7};
  for (std::int64_t i = 0; i < 8; ++i) {
    requests.push_back({.id = i,
                        .arrival = SimTime(i * 200'000),
                        .prompt = Tokens(prompts[i]),
                        .output = Tokens(outputs[i])});
  }
  return requests;
}

LiveResult Serve(const SystemConfig& config, const Requests& requests,
                 const kernels::BackendConfig& device = {},
                 kernels::cpu::CpuBackendHooks hooks = {}, const std::string& record = "") {
  kernels::cpu::CpuBackend backend(device, std::move(hooks));
  metrics::Collector collector(nullptr);
  FixedStream scanned(requests);
  const serving::WorkloadBounds bounds = serving::ScanWorkload(scanned);
  FixedStream stream(requests);
  serving::RunOptions options;
  options.record_selection = record;
  return RunLive(config, backend, {.real_time = false}, stream, bounds, {}, collector, options);
}

Generated TokensOf(const SystemConfig& config) { return Serve(config, Workload()).left.generated; }

TEST(LiveRunTest, EveryRequestProducesItsTokens) {
  const Requests requests = Workload();
  const LiveResult result = Serve(Tiny("sparseserve", 64), requests);
  EXPECT_EQ(result.run.summary.labels.fidelity, "measured");
  for (const traces::Request& request : requests) {
    const auto& tokens = result.left.generated.at(request.id);
    EXPECT_EQ(static_cast<std::int64_t>(tokens.size()), request.output.value());
    for (const std::int32_t token : tokens) EXPECT_TRUE(token >= 0 && token < 512);
  }
}

TEST(LiveRunTest, WithABudgetOfTheWholeContextAllSystemsGiveTheSameTokens) {
  const Generated expected = TokensOf(Tiny("vllm", 4096));
  std::size_t distinct = 0;
  for (const auto& [id, tokens] : expected)
    distinct += std::set(tokens.begin(), tokens.end()).size();
  EXPECT_GT(distinct, 40u) << "tokens that hardly differ prove little";
  for (const std::string& system : AllSystems()) {
    EXPECT_EQ(TokensOf(Tiny(system, 4096)), expected) << system;
    // About what the longest request needs alone.
    const std::int64_t alone = system.starts_with("vllm-so") ? 260 : 220;
    EXPECT_EQ(TokensOf(Tiny(system, 4096, alone)), expected) << system << " in little HBM";
  }
}

TEST(LiveRunTest, NoEvictionPolicyLosesAByte) {
  const Generated expected = TokensOf(Tiny("vllm-s", 40));
  for (const std::string& eviction : kvcache::EvictionPolicyNames()) {
    for (const std::string system : {"vllm-so", "sparseserve"}) {
      SystemConfig config = Tiny(system, 40, 240);
      config.memory.eviction = eviction;
      const LiveResult result = Serve(config, Workload());
      EXPECT_EQ(result.left.generated, expected) << system << ", " << eviction;
      EXPECT_GT(result.run.summary.kv.evictions, 0) << system << ", " << eviction;
    }
  }
}

// vllm-s reads the selected blocks where they were written and never moves one.
TEST(LiveRunTest, ASparseBudgetGivesTheTokensOfTheSystemWithoutOffload) {
  for (const std::int64_t budget : {32, 72}) {
    const Generated expected = TokensOf(Tiny("vllm-s", budget));
    EXPECT_NE(expected, TokensOf(Tiny("vllm", budget))) << "the budget changes nothing";
    for (const std::string system : {"vllm-so", "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"})
      EXPECT_EQ(TokensOf(Tiny(system, budget, 260)), expected) << system << ", " << budget;
  }
}

TEST(LiveRunTest, LateCopiesAndAFullRingChangeNoToken) {
  const Generated expected = TokensOf(Tiny("vllm-s", 40));
  kernels::BackendConfig device;
  device.num_staging_slots = 1;
  device.staging_slot = Bytes(4096);
  std::atomic<std::int64_t> copies = 0, scatters = 0;
  const auto delay = [](std::atomic<std::int64_t>& calls) {
    if (++calls % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
  };
  const kernels::cpu::CpuBackendHooks hooks{[&](kernels::Lane) { delay(copies); },
                                            [&] { delay(scatters); }};
  for (const std::string system : {"vllm-so", "vllm-so-ft", "sparseserve"}) {
    const LiveResult result = Serve(Tiny(system, 40, 240), Workload(), device, hooks);
    EXPECT_EQ(result.left.generated, expected) << system;
  }
  EXPECT_GT(copies, 100);
  EXPECT_GT(scatters, 100);
}

TEST(LiveRunTest, AReplayOnTheMeasuredClockLoadsTheSameBlocks) {
  test::TemporaryDirectory directory;
  for (const std::string system : {"vllm-so-ft", "vllm-so-ft-wc", "sparseserve"}) {
    const std::string trace = directory.path() + "/" + system + ".trace";
    SystemConfig config = Tiny(system, 40, 240);
    const LiveResult live = Serve(config, Workload(), {}, {}, trace);
    config.selection_trace = trace;
    const Requests requests = Workload();
    FixedStream stream(requests);
    metrics::Collector collector(nullptr);
    serving::RunOptions options;
    options.imposed = &live.left.timing;
    const serving::RunResult replayed =
        serving::RunSimulation(config, stream, {}, collector, options);
    const auto& a = live.run.summary.totals;
    const auto& b = replayed.summary.totals;
    EXPECT_EQ(a.iterations, b.iterations) << system;
    EXPECT_EQ(a.block_loads, b.block_loads) << system;
    EXPECT_EQ(a.h2d_bytes, b.h2d_bytes) << system;
    EXPECT_EQ(a.d2h_bytes, b.d2h_bytes) << system;
    EXPECT_GT(a.block_loads, 0) << system;
  }
}

TEST(LiveRunTest, WhatNoKernelRunsIsRefused) {
  const auto refused = [](const SystemConfig& config) {
    EXPECT_THROW(Serve(config, Workload()), InputError);
  };
  SystemConfig config = Tiny("sparseserve", 64);
  config.model.moe.num_experts = 8;
  refused(config);
  config = Tiny("sparseserve", 64);
  config.model.bytes_per_weight = 2;  // and KV of four
  refused(config);
  config = Tiny("sparseserve", 64);
  config.selection.granularity = selection::Granularity::kLayer;
  refused(config);
  config = Tiny("sparseserve", 64);
  config.selection.reuse_interval = 2;
  refused(config);
  config = Tiny("sparseserve", 64);
  config.replicas = 2;
  refused(config);
}

TEST(LiveRunTest, TheSpeedIsSampledOffTheClock) {
  const SystemConfig config = Tiny("sparseserve", 64);
  kernels::cpu::CpuBackend backend({});
  FixedStream scanned(Workload()), stream(Workload());
  const serving::WorkloadBounds bounds = serving::ScanWorkload(scanned);
  metrics::Collector collector(nullptr);
  const LiveResult result = RunLive(config, backend, {.real_time = false, .probe_speed = true},
                                    stream, bounds, {}, collector, {});
  const auto& speed = result.left.speed;
  EXPECT_GE(speed.before.times.size(), 10u);
  EXPECT_EQ(speed.before.times.size(), speed.after.times.size());
  ASSERT_GE(speed.between.times.size(), 1u);
  EXPECT_GT(speed.between.mean(), Seconds(1e-5));
  EXPECT_EQ(result.left.generated, TokensOf(config));
}

TEST(HostBenchTest, MeasuresWhatTheCostModelAsks) {
  kernels::cpu::CpuBackend backend({});
  HostBench bench(backend, TinyModel(), /*quick=*/true);
  bench.Run({});
  bench.Run({});
  const auto points = bench.points();
  std::map<std::string, std::int64_t> fitted;
  for (const calibration::Measurement& point : points) {
    EXPECT_GT(point.median, Seconds(0));
    EXPECT_LT(point.median, Seconds(0.1));
    EXPECT_GE(point.num_samples, 2);
    EXPECT_LE(point.lower_quartile, point.upper_quartile);
    fitted[point.operation] += point.held_out ? 0 : 1;
  }
  for (const char* operation :
       {"host.iteration", "host.select", "host.attend", "host.attend_resident"})
    EXPECT_GE(fitted[operation], 1) << operation;
  const auto values = bench.values();
  EXPECT_EQ(values.size(), 2U);
  for (const char* latency : {"latencies.handover", "latencies.save_handover"}) {
    ASSERT_TRUE(values.contains(latency)) << latency;
    EXPECT_GT(values.at(latency).value, 0) << latency;
    EXPECT_LT(values.at(latency).value, 0.1) << latency;
  }
}

}  // namespace
}  // namespace sparseserve::live
