// One run, simulated unless the options bring another executor: builds the replicas of a system,
// drives them with a stream of requests, returns the summary.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/selection/selection_model.h"
#include "models/selection/selection_trace.h"
#include "sim/metrics/collector.h"
#include "sim/metrics/summary.h"
#include "sim/scheduler/offload_memory.h"
#include "sim/scheduler/paged_memory.h"
#include "sim/serving/engine.h"
#include "sim/serving/executor.h"
#include "sim/serving/system.h"
#include "sim/serving/timeline.h"

namespace sparseserve::serving {

// What one replica's executor works with. Exactly one of `paged` and `offload` is given.
struct ReplicaView {
  const SystemConfig& config;
  scheduler::KvGeometry geometry;
  scheduler::PagedMemory* paged = nullptr;
  scheduler::OffloadMemory* offload = nullptr;
  selection::SelectionModel* replay = nullptr;        // of a recording; null: none
  selection::SelectionTraceWriter* record = nullptr;  // null: nothing is recorded
  Timeline* timeline = nullptr;
};
using ExecutorFactory = std::function<std::unique_ptr<Executor>(const ReplicaView&)>;

// How to run, and what a run should tell beside its summary. Everything is optional and outlives
// the run.
struct RunOptions {
  ExecutorFactory make_executor;  // runs for real; null: a simulation
  PaceFunction pace;              // of the engine
  // Makes a simulation follow a measured run; null: its own predictions.
  const MeasuredRun* imposed = nullptr;
  Timelines* timelines = nullptr;
  ProgressFunction progress;
  std::string record_selection;  // file for what was selected, when KV lives in DRAM; empty: none
};

// Facts about the workload that a first pass over the stream finds out.
struct WorkloadBounds {
  std::int64_t num_requests = 0;
  Tokens longest_prompt;
  Tokens longest_output;
  std::int64_t longest_prompt_id = 0;
  SimTime first_arrival, last_arrival;

  // Requests per second between the first and the last arrival; 0 if they coincide.
  double rate() const;
};
WorkloadBounds ScanWorkload(traces::RequestStream& requests);

struct RunResult {
  metrics::Summary summary;
  HbmBudget budget;
  Bytes dram_for_kv;
  std::vector<std::string> cost_provenance;
  // Overlap of selections with the last w steps, asked for and realised; empty unless blocks were
  // selected.
  struct OverlapPoint {
    std::int64_t window;
    double asked;
    double realised;
  };
  std::vector<OverlapPoint> overlap;
  // The locality to ask for in order to get the overlap realised; empty when `overlap` is.
  std::vector<selection::OverlapPoint> fitted_overlap;
  // Loads of the same accesses under other eviction policies, summed over replicas
  // (memory.replay_evictions).
  struct EvictionReplay {
    std::string policy;
    std::int64_t block_loads;
  };
  std::vector<EvictionReplay> eviction_replays;
};

// Throws InputError when the system cannot be built or the longest prompt could never be served.
void CheckFeasible(const SystemConfig& config, const WorkloadBounds& bounds);

// REQUIRES: live runs, recordings and replays have fidelity exact.
// A pure function of (config, requests), perf figures apart. `collector` keeps the per-request
// records for the caller.
RunResult RunSimulation(const SystemConfig& config, traces::RequestStream& requests,
                        const metrics::ServiceLevel& slo, metrics::Collector& collector,
                        const RunOptions& options);

}  // namespace sparseserve::serving
