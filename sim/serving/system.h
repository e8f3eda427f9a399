// What is simulated: a serving system on a machine, as plain values. The six systems of the
// SparseServe paper are six settings of SystemChoice; no code asks for their names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "calibration/record.h"
#include "models/cost/cost_model.h"
#include "models/hardware/hardware.h"
#include "models/llm/architecture.h"
#include "models/selection/locality_model.h"
#include "models/selection/policy.h"
#include "sim/core/units.h"
#include "sim/scheduler/scheduler.h"

namespace sparseserve::serving {

enum class Attention : std::uint8_t { kFull, kSparse };
enum class KvHome : std::uint8_t { kHbm, kDram };

struct SystemChoice {
  std::string name = "vllm";
  Attention attention = Attention::kFull;
  KvHome kv_home = KvHome::kHbm;
  cost::LoadMethod load = cost::LoadMethod::kFlashH2d;  // only with KV at home in DRAM
  cost::SaveMethod save = cost::SaveMethod::kFlashD2h;
  bool working_set_control = false;
  scheduler::PrefillMode prefill = scheduler::PrefillMode::kChunked;
};

// How closely the KV cache is simulated, where KV has its home in DRAM; otherwise no unit is
// tracked and the run is exact.
struct FidelityConfig {
  bool sampled = false;   // track some lanes and let them stand for all: scheduler/lane_sampling.h
  double share = 0.0625;  // of the lanes, at most
};

// How HBM and DRAM are divided. Every GPU of a replica holds the same share.
struct MemoryConfig {
  double hbm_utilization =
      0.9;  // of HBM, what the engine may use: vLLM's gpu_memory_utilization and its default
  Bytes framework{1'000'000'000};  // CUDA context, libraries, allocator slack; assumption
  Bytes kv_pool{0};  // HBM for KV (blocks, metadata, prefill space); 0: what is left, see HbmBudget
  double dram_utilization = 0.9;  // of the host's DRAM, what may hold KV
  Bytes dram{0};                  // DRAM for KV of one replica; 0: an equal share of the host
  std::string eviction = "lru";
  // Policies that replay the finished run's accesses, "opt" (Belady's bound) among them: what would
  // each have loaded? Memory: 4 bytes per unit that joined or left a selection.
  std::vector<std::string> replay_evictions;
  std::int64_t working_set_window = 12;  // steps; the paper's w
};

struct SystemConfig {
  SystemChoice choice;
  llm::Architecture model;
  hardware::Machine machine;
  calibration::Record calibration;
  selection::SelectionPolicy selection;
  selection::LocalityConfig locality;
  std::string selection_trace;  // replay this recording instead of the locality model; empty: none
  scheduler::SchedulerConfig scheduling;  // prefill mode and working-set control come from `choice`
  MemoryConfig memory;
  FidelityConfig fidelity;
  // Host work per iteration that the GPU waits for. Assumption: Python engines of 2024 spent
  // milliseconds.
  Seconds host_overhead{0.004};
  double time_scale = 1;  // of all operation times, a what-if (time_scale.h)
  double link_scale = 1;  // of the host link's rates, a what-if (link_scale.h)
  std::int64_t tensor_parallel = 1;
  std::int64_t replicas = 1;
  std::string router = "round-robin";
  std::uint64_t seed = 1;
};

// Where HBM goes, per GPU, and the sum that it must not exceed.
struct HbmBudget {
  Bytes capacity;
  Bytes usable;       // capacity x utilization
  Bytes weights;      // / tensor parallel
  Bytes activations;  // of max_batch_tokens tokens in flight, and the logits of max_requests
  Bytes framework;
  Bytes kv;  // what remains

  // "kv = capacity x 0.9 - weights - activations - framework = 42.9 GB x 0.9 - ... = 22.1 GB"
  std::string Explain() const;
};

// Throws InputError when the weights alone do not fit, naming the numbers.
HbmBudget ComputeHbmBudget(const SystemConfig& config);
// Throws InputError when the fidelity cannot be had: no lane left, dense layers out of proportion.
scheduler::KvGeometry ComputeGeometry(const SystemConfig& config);
// DRAM for the KV of one replica's GPU.
Bytes DramForKv(const SystemConfig& config);

}  // namespace sparseserve::serving
