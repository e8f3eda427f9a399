// Models, machines and a record with round numbers for the tests of the cost model.
#pragma once

#include <string>

#include "calibration/record.h"
#include "models/cost/cost_model.h"
#include "models/hardware/hardware.h"
#include "models/llm/architecture.h"

namespace sparseserve::cost {

inline llm::Architecture Llama3_8b() {
  llm::Architecture model;
  model.name = "llama3-8b";
  model.num_layers = 32;
  model.hidden_size = 4096;
  model.num_q_heads = 32;
  model.num_kv_heads = 8;
  model.head_dim = 128;
  model.intermediate_size = 14336;
  model.vocab_size = 128256;
  model.max_context_tokens = 262144;
  return model;
}

inline llm::Architecture Lwm7b() {
  llm::Architecture model = Llama3_8b();
  model.name = "lwm-7b";
  model.num_kv_heads = 32;
  model.intermediate_size = 11008;
  model.vocab_size = 32000;
  return model;
}

// The shape of DeepSeek-V3.2: latent attention, three dense layers, then 256 experts.
inline llm::Architecture Mixture() {
  llm::Architecture model;
  model.name = "mixture";
  model.num_layers = 61;
  model.hidden_size = 7168;
  model.num_q_heads = 128;
  model.num_kv_heads = 128;
  model.head_dim = 192;
  model.intermediate_size = 18432;
  model.vocab_size = 129280;
  model.bytes_per_weight = 1;
  model.bytes_per_kv_element = 1;
  model.attention = llm::AttentionKind::kMultiHeadLatent;
  model.latent = {1536, 512, 64, 128, 128};
  model.moe = {256, 8, 1, 2048, 3};
  model.indexer = {2048, 64, 128};
  return model;
}

// An A100 40 GB with round link figures; eight per host, two per switch.
inline hardware::Machine TestMachine() {
  hardware::Machine machine;
  machine.name = "test-machine";
  machine.gpu.hbm_bandwidth = BytesPerSecond(1.555e12);
  machine.gpu.bf16_flops = FlopsPerSecond(312e12);
  machine.gpu.num_sms = 108;
  machine.gpu.gpu_link_bandwidth = BytesPerSecond(300e9);
  machine.gpu.gpu_link_latency = Seconds(5e-6);
  machine.num_gpus = 8;
  machine.gpus_per_switch = 2;
  machine.link = {"PCIe 4.0 x16", BytesPerSecond(32e9), BytesPerSecond(25e9), BytesPerSecond(25e9),
                  BytesPerSecond(0)};
  machine.host.dram_bandwidth = BytesPerSecond(400e9);
  machine.host.num_cores = 64;
  machine.host.num_sockets = 2;
  return machine;
}

inline calibration::Record TestRecord() {
  calibration::Record record;
  record.name = "test-record";
  const auto curve = [&](const char* name, double launch_s, double per_item_s, double bandwidth) {
    calibration::Curve& c = record.operations[name];
    c.source = {calibration::Kind::kPublished, std::string("source of ") + name};
    c.launch = Seconds(launch_s);
    c.per_item = Seconds(per_item_s);
    c.bandwidth = BytesPerSecond(bandwidth);
    c.valid_item_bytes = {4096, 32768};
  };
  curve("h2d.memcpy", 0, 5e-6, 25e9);
  curve("h2d.flash", 10e-6, 0, 20e9);
  curve("d2h.memcpy", 0, 4e-6, 25e9);
  curve("d2h.direct", 5e-6, 0, 22e9);
  curve("d2h.flash", 4e-6, 0, 23e9);
  curve("cpu.scatter", 0, 10e-9, 40e9);
  curve("topk", 5e-6, 0, 1e12);
  const calibration::Source assumed{calibration::Kind::kAssumed, "for tests"};
  for (const std::string_view name : calibration::kEfficiencyNames) {
    record.efficiencies[std::string(name)] = {0.8, assumed};
  }
  record.latencies["kernel"] = {2e-6, assumed};
  record.slowdowns = {{"h2d.memcpy", {1.05, assumed}},
                      {"h2d.flash", {1.1, assumed}},
                      {"d2h.memcpy", {1.06, assumed}},
                      {"d2h.direct", {1.5, assumed}},
                      {"d2h.flash", {1.07, assumed}}};
  record.counts["cpu.scatter.threads"] = {4, assumed};
  return record;
}

inline CostModel TestModel(const llm::Architecture& model = Llama3_8b(), CostConfig config = {}) {
  return CostModel(model, TestMachine(), TestRecord(), config);
}

}  // namespace sparseserve::cost
