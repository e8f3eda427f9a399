// Nothing is modelled but not wired: each parameter changes the latency of some request on a
// workload chosen for it. (A simulator of this kind once moved a hit rate fivefold while all its
// latencies stayed the same; conservation laws do not see that.)
#include <gtest/gtest.h>

#include <functional>

#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

using Edit = std::function<void(SystemConfig&)>;

struct Parameter {
  std::string name;
  std::string system;
  Edit change;
  Edit prepare = [](SystemConfig&) {};
  Requests requests = {};  // empty: Pressure()
};

// Six requests whose KV is 0.8 GB each.
Requests Pressure() { return Equal(6, 50, 6000, 24); }

// Their selected blocks alone are 1.6 GB.
void SmallPool(SystemConfig& c) { c.memory.kv_pool = Bytes(1'300'000'000); }

void LowOverlap(SystemConfig& c) {
  c.memory.kv_pool = Bytes(1'300'000'000);
  c.locality = selection::LocalityPreset("shadowkv-60");
}

std::vector<Parameter> Choices() {
  return {
      {"attention", "vllm", [](auto& c) { c.choice.attention = Attention::kSparse; }},
      {"kv_home", "vllm-s", [](auto& c) { c.choice.kv_home = KvHome::kDram; }, SmallPool},
      {"load", "vllm-so-ft", [](auto& c) { c.choice.load = cost::LoadMethod::kMemcpyPerBlock; },
       SmallPool},
      {"save_memcpy", "vllm-so-ft",
       [](auto& c) { c.choice.save = cost::SaveMethod::kMemcpyPerBlock; }},
      {"save_direct", "vllm-so-ft", [](auto& c) { c.choice.save = cost::SaveMethod::kGpuDirect; }},
      {"batch_control", "vllm-so-ft", [](auto& c) { c.choice.working_set_control = true; },
       SmallPool},
      {"prefill", "vllm-so-ft-wc",
       [](auto& c) { c.choice.prefill = scheduler::PrefillMode::kLayerSegmented; }},
  };
}

std::vector<Parameter> Selections() {
  return {
      {"block_tokens", "vllm-s", [](auto& c) { c.selection.block_tokens = Tokens(64); }},
      {"budget_tokens", "vllm-s", [](auto& c) { c.selection.budget_tokens = Tokens(1024); }},
      {"granularity", "vllm-so-ft",
       [](auto& c) { c.selection.granularity = selection::Granularity::kLayer; }, SmallPool},
      {"metadata_vectors", "vllm-s", [](auto& c) { c.selection.metadata_vectors = 8; }},
      {"sink_blocks", "vllm-so-ft", [](auto& c) { c.selection.sink_blocks = 6; }, SmallPool},
      {"recent_blocks", "vllm-so-ft", [](auto& c) { c.selection.recent_blocks = 6; }, SmallPool},
      {"dense_layers", "vllm-s", [](auto& c) { c.selection.dense_layers = 4; }},
      {"reuse_interval", "vllm-so-ft", [](auto& c) { c.selection.reuse_interval = 4; }, SmallPool},
      {"overlap", "vllm-so-ft",
       [](auto& c) { c.locality = selection::LocalityPreset("shadowkv-60"); }, SmallPool},
      {"skew", "vllm-so-ft", [](auto& c) { c.locality.skew = 0.6; }, SmallPool},
      {"draw", "vllm-so-ft", [](auto& c) { c.locality.draw = 1; }, SmallPool},
      {"per_layer_variation", "vllm-so-ft", [](auto& c) { c.locality.per_layer_variation = 0.5; },
       SmallPool},
      {"seed", "vllm-so-ft", [](auto& c) { c.seed = 2; }, SmallPool},
  };
}

std::vector<Parameter> Scheduling() {
  return {
      {"max_requests", "vllm", [](auto& c) { c.scheduling.max_requests = 2; }},
      {"max_batch_tokens", "vllm", [](auto& c) { c.scheduling.max_batch_tokens = Tokens(512); }},
      {"max_inject_token_layers", "sparseserve",
       [](auto& c) { c.scheduling.max_inject_token_layers = 20'000; }},
      {"host_overhead", "vllm", [](auto& c) { c.host_overhead = Seconds(0.001); }},
      {"tensor_parallel", "vllm", [](auto& c) { c.tensor_parallel = 2; }},
      {"replicas", "vllm", [](auto& c) { c.replicas = 2; }},
      {"router",
       "vllm",
       [](auto& c) { c.router = "least-loaded"; },
       [](auto& c) { c.replicas = 2; },
       // Round-robin puts all the long ones on the same replica.
       {{0, SimTime(0), Tokens(20000), Tokens(50)},
        {1, SimTime(0), Tokens(100), Tokens(2)},
        {2, SimTime(200'000'000), Tokens(20000), Tokens(50)}}},
  };
}

std::vector<Parameter> Memories() {
  return {
      {"hbm_utilization", "vllm", [](auto& c) { c.memory.hbm_utilization = 0.24; },
       [](auto& c) { c.memory.hbm_utilization = 0.3; }},
      {"framework", "vllm", [](auto& c) { c.memory.framework = Bytes(4'500'000'000); },
       [](auto& c) { c.memory.hbm_utilization = 0.3; }},
      {"kv_pool", "vllm", SmallPool},
      {"kv_pool_of_a_cache", "vllm-so-ft", SmallPool},
      {"dram_utilization", "vllm-so-ft", [](auto& c) { c.memory.dram_utilization = 0.01; },
       [](auto& c) { c.machine.host.dram_capacity = Bytes(200'000'000'000); }},
      {"dram", "vllm-so-ft", [](auto& c) { c.memory.dram = Bytes(2'000'000'000); }},
      {"eviction", "vllm-so-ft", [](auto& c) { c.memory.eviction = "layer-cyclic"; }, SmallPool},
      {"fidelity_mode", "vllm-so-ft", [](auto& c) { c.fidelity.sampled = true; },
       [](auto& c) {
         LowOverlap(c);
         c.fidelity.share = 0.125;
       }},
      {"fidelity_share", "vllm-so-ft", [](auto& c) { c.fidelity.share = 0.25; },
       [](auto& c) {
         LowOverlap(c);
         c.fidelity = {.sampled = true, .share = 0.125};
       }},
      {"working_set_window", "vllm-so-ft-wc", [](auto& c) { c.memory.working_set_window = 1; },
       LowOverlap},
  };
}

// Of the machine, as far as the cost model's own tests do not see the wiring.
std::vector<Parameter> Machines() {
  return {
      {"hbm_capacity", "vllm", [](auto& c) { c.machine.gpu.hbm_capacity = Bytes(24'000'000'000); }},
      {"hbm_bandwidth", "vllm",
       [](auto& c) { c.machine.gpu.hbm_bandwidth = BytesPerSecond(2e12); }},
      {"bf16_flops", "vllm", [](auto& c) { c.machine.gpu.bf16_flops = FlopsPerSecond(400e12); }},
      {"num_sms", "vllm", [](auto& c) { c.machine.gpu.num_sms = 66; }},
      {"gpu_link_bandwidth", "vllm",
       [](auto& c) { c.machine.gpu.gpu_link_bandwidth = BytesPerSecond(100e9); },
       [](auto& c) { c.tensor_parallel = 2; }},
      {"gpu_link_latency", "vllm", [](auto& c) { c.machine.gpu.gpu_link_latency = Seconds(1e-5); },
       [](auto& c) { c.tensor_parallel = 2; }},
      {"num_gpus", "vllm-so-ft", [](auto& c) { c.machine.num_gpus = 4; },
       [](auto& c) {
         SmallPool(c);
         c.replicas = 8;
         c.machine.host.dram_reached_bandwidth = BytesPerSecond(200e9);
       },
       Equal(16, 1, 6000, 24)},
      {"gpus_per_switch", "vllm-so-ft", [](auto& c) { c.machine.gpus_per_switch = 4; },
       [](auto& c) {
         SmallPool(c);
         c.replicas = 4;
       },
       Equal(12, 1, 6000, 24)},
      {"h2d_bandwidth", "vllm-so-ft",
       [](auto& c) { c.machine.link.h2d_bandwidth = BytesPerSecond(20e9); }, SmallPool},
      {"d2h_bandwidth", "vllm-so-ft",
       [](auto& c) { c.machine.link.d2h_bandwidth = BytesPerSecond(2e9); }},
      {"duplex_bandwidth", "vllm-so-ft",
       [](auto& c) { c.machine.link.duplex_bandwidth = BytesPerSecond(60e9); }, SmallPool},
      {"link_scale", "vllm-so-ft", [](auto& c) { c.link_scale = 1.25; }, SmallPool},
      {"dram_capacity", "vllm-so-ft",
       [](auto& c) { c.machine.host.dram_capacity = Bytes(3'000'000'000); }},
      {"dram_reached_bandwidth", "vllm-so-ft",
       [](auto& c) { c.machine.host.dram_reached_bandwidth = BytesPerSecond(20e9); }, SmallPool},
      {"num_cores", "vllm-so-ft", [](auto& c) { c.machine.host.num_cores = 1; },
       // Scattering that all its threads together can just keep up with.
       [](auto& c) {
         c.calibration.operations.at("cpu.scatter").bandwidth = BytesPerSecond(20e9);
       }},
      {"load_slowdown", "vllm-so-ft",
       [](auto& c) { c.calibration.slowdowns.at("h2d.flash").value = 1.5; }, SmallPool},
      {"cold_read", "vllm-so-ft",
       [](auto& c) {
         c.calibration.slowdowns["cold.h2d.flash"] = {2, {calibration::Kind::kAssumed, "test"}};
       },
       SmallPool},
      {"save_slowdown", "vllm-so-ft",
       [](auto& c) { c.calibration.slowdowns.at("d2h.flash").value = 1.5; }},
  };
}

void PrintTo(const Parameter& parameter, std::ostream* out) { *out << parameter.name; }

void ExpectALatencyChanges(const Parameter& parameter) {
  SystemConfig config = Shipped(parameter.system);
  parameter.prepare(config);
  const Requests requests = parameter.requests.empty() ? Pressure() : parameter.requests;
  const std::string before = Times(Simulate(config, requests).records);
  parameter.change(config);
  EXPECT_NE(before, Times(Simulate(config, requests).records)) << parameter.name;
}

class SensitivityTest : public ::testing::TestWithParam<Parameter> {};

TEST_P(SensitivityTest, ChangingItChangesALatency) { ExpectALatencyChanges(GetParam()); }

// Without offloading a kept choice saves its scoring.
TEST(SensitivityWithoutOffloadTest, ReuseIntervalWithoutOffloading) {
  ExpectALatencyChanges(
      {"reuse_interval", "vllm-s", [](auto& c) { c.selection.reuse_interval = 4; }});
}

std::string NameOf(const ::testing::TestParamInfo<Parameter>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Choice, SensitivityTest, ::testing::ValuesIn(Choices()), NameOf);
INSTANTIATE_TEST_SUITE_P(Selection, SensitivityTest, ::testing::ValuesIn(Selections()), NameOf);
INSTANTIATE_TEST_SUITE_P(Scheduling, SensitivityTest, ::testing::ValuesIn(Scheduling()), NameOf);
INSTANTIATE_TEST_SUITE_P(Memory, SensitivityTest, ::testing::ValuesIn(Memories()), NameOf);
INSTANTIATE_TEST_SUITE_P(Machine, SensitivityTest, ::testing::ValuesIn(Machines()), NameOf);

}  // namespace
}  // namespace sparseserve::serving
