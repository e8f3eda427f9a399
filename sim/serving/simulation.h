// One simulated run: builds the replicas of a system, drives them with a stream of requests,
// returns the summary.
#pragma once

#include <functional>
#include <optional>

#include "sim/metrics/collector.h"
#include "sim/metrics/summary.h"
#include "sim/serving/engine.h"
#include "sim/serving/system.h"
#include "sim/serving/timeline.h"

namespace sparseserve::serving {

// What a run should tell beside its summary. Everything is optional and outlives the run.
struct RunObservers {
  metrics::IterationSink* iterations = nullptr;
  Timeline* timeline = nullptr;  // of the first replica
  ProgressFunction progress;
  std::string record_selection;  // file for what was selected, when KV lives in DRAM; empty: none
};

// Facts about the workload that a first pass over the stream finds out.
struct WorkloadBounds {
  std::int64_t num_requests = 0;
  Tokens longest_prompt;
  std::int64_t longest_prompt_id = 0;
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

// A pure function of (config, requests), perf figures apart. `collector` keeps the per-request
// records for the caller.
RunResult RunSimulation(const SystemConfig& config, traces::RequestStream& requests,
                        const metrics::ServiceLevel& slo, metrics::Collector& collector,
                        const RunObservers& observers);

}  // namespace sparseserve::serving
