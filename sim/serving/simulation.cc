#include "sim/serving/simulation.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "models/selection/recording_model.h"
#include "models/selection/replay_model.h"
#include "models/selection/selection_trace.h"
#include "sim/core/check.h"
#include "sim/core/error.h"
#include "sim/core/hash.h"
#include "sim/kvcache/access_trace.h"
#include "sim/kvcache/replay.h"
#include "sim/scheduler/offload_memory.h"
#include "sim/scheduler/paged_memory.h"
#include "sim/serving/link_scale.h"
#include "sim/serving/simulated_executor.h"
#include "sim/serving/time_scale.h"

namespace sparseserve::serving {
namespace {

// The selection models of one replica: what selects, and what records it.
struct Selection {
  std::unique_ptr<selection::SelectionModel> model;
  std::unique_ptr<selection::SelectionModel>
      recorder;                              // wraps `model`; null when nothing is recorded
  selection::ReplayModel* replay = nullptr;  // is `model`, when a recording is replayed

  selection::SelectionModel* get() const { return recorder ? recorder.get() : model.get(); }
};

selection::TraceGeometry TraceGeometryOf(const scheduler::KvGeometry& geometry) {
  return {geometry.num_layers, geometry.heads, geometry.block_tokens.value()};
}

Selection MakeSelection(const SystemConfig& config, const scheduler::KvGeometry& geometry,
                        selection::SelectionTraceWriter* record) {
  Selection made;
  if (!config.selection_trace.empty()) {
    auto replay =
        std::make_unique<selection::ReplayModel>(config.selection_trace, TraceGeometryOf(geometry));
    made.replay = replay.get();
    made.model = std::move(replay);
  } else {
    selection::SelectionPolicy policy = config.selection;
    if (config.choice.attention == Attention::kFull) policy.dense_layers = geometry.num_layers;
    selection::LocalityConfig locality = config.locality;
    locality.seed = locality.draw == 0
                        ? config.seed
                        : HashCombine(config.seed, static_cast<std::uint64_t>(locality.draw));
    made.model = std::make_unique<selection::LocalityModel>(policy, locality, geometry.num_layers,
                                                            geometry.tracked_heads());
  }
  if (record != nullptr) {
    made.recorder =
        std::make_unique<selection::RecordingModel>(*made.model, *record, geometry.num_layers);
  }
  return made;
}

struct Memory {
  std::unique_ptr<scheduler::PagedMemory> paged;
  std::unique_ptr<scheduler::OffloadMemory> offload;

  kvcache::KvCache* cache() const { return offload ? &offload->cache() : nullptr; }
  scheduler::KvMemory& view() const {
    if (paged) return *paged;
    return *offload;
  }
  std::unique_ptr<scheduler::KvMemory> Release() {
    if (paged) return std::move(paged);
    return std::move(offload);
  }
};

Memory MakeMemory(const SystemConfig& config, const scheduler::KvGeometry& geometry,
                  Bytes hbm_for_kv) {
  Memory memory;
  if (config.choice.kv_home == KvHome::kHbm) {
    memory.paged = std::make_unique<scheduler::PagedMemory>(geometry, hbm_for_kv);
    return memory;
  }
  memory.offload = std::make_unique<scheduler::OffloadMemory>(
      geometry,
      scheduler::OffloadMemoryConfig{.prefill = config.choice.prefill,
                                     .hbm_for_kv = hbm_for_kv,
                                     .dram_for_kv = DramForKv(config),
                                     .working_set_window = config.memory.working_set_window,
                                     .eviction = config.memory.eviction});
  return memory;
}

scheduler::SchedulerConfig Scheduling(const SystemConfig& config) {
  scheduler::SchedulerConfig scheduling = config.scheduling;
  scheduling.prefill = config.choice.prefill;
  scheduling.working_set_control = config.choice.working_set_control;
  return scheduling;
}

SimulatedExecutorConfig ExecutorConfig(const SystemConfig& config,
                                       const scheduler::KvGeometry& geometry) {
  return {.geometry = geometry,
          .load = config.choice.load,
          .save = config.choice.save,
          .layer_segmented = config.choice.prefill == scheduler::PrefillMode::kLayerSegmented,
          .host_overhead = config.host_overhead,
          .duplex_bandwidth =
              config.machine.link.duplex_bandwidth * config.link_scale / config.time_scale};
}

cost::CostModel MakeCosts(const SystemConfig& config) {
  const std::int64_t gpus = config.replicas * config.tensor_parallel;
  return {config.model,
          StretchTimes(ScaleLink(config.machine, config.link_scale), config.time_scale),
          StretchTimes(ScaleLink(config.calibration, config.machine, config.link_scale),
                       config.time_scale),
          {.tensor_parallel = config.tensor_parallel,
           .gpus_sharing_host = std::min(config.machine.num_gpus, gpus)}};
}

std::string DescribeSelection(const SystemConfig& config, std::int64_t extrapolated_steps) {
  if (config.choice.kv_home == KvHome::kHbm) return "amounts only: no block leaves HBM";
  if (config.choice.attention == Attention::kFull) return "every block";
  if (config.selection_trace.empty()) return config.selection.name + ", synthetic locality model";
  std::string text = config.selection.name + ", replay of " + config.selection_trace;
  if (extrapolated_steps > 0)
    text += " (" + std::to_string(extrapolated_steps) + " steps beyond the recording)";
  return text;
}

std::string DescribeFidelity(const SystemConfig& config, const scheduler::KvGeometry& geometry) {
  if (!config.fidelity.sampled) return "exact";
  if (config.choice.kv_home == KvHome::kHbm) return "exact: no block leaves HBM";
  return "sampled: " + std::to_string(geometry.lanes() / geometry.sampling.scale()) + " of " +
         std::to_string(geometry.lanes()) + " lanes";
}

metrics::RunLabels MakeLabels(const SystemConfig& config, const scheduler::KvGeometry& geometry,
                              bool extrapolated, std::int64_t extrapolated_steps) {
  metrics::RunLabels labels;
  labels.system = config.choice.name;
  labels.model = config.model.name;
  labels.hardware = config.machine.name;
  labels.calibration = config.calibration.name;
  labels.fidelity = DescribeFidelity(config, geometry);
  labels.selection = DescribeSelection(config, extrapolated_steps);
  labels.seed = config.seed;
  labels.extrapolated = extrapolated || extrapolated_steps > 0;
  return labels;
}

// Of one GPU of each replica: under tensor parallelism all of them do the same.
metrics::KvFigures KvFiguresOf(const scheduler::KvGeometry& geometry,
                               const std::vector<std::unique_ptr<Replica>>& replicas,
                               const std::vector<kvcache::KvCache*>& caches) {
  metrics::KvFigures kv;
  kv.block_bytes = geometry.unit_bytes;
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    const scheduler::KvMemory& memory = replicas[i]->memory();
    kv.hbm_capacity_blocks += memory.capacity_blocks();
    kv.hbm_peak_blocks += memory.hbm_peak_blocks();
    kv.dram_peak_bytes += memory.dram_peak();
    if (caches[i] != nullptr) {
      kv.evictions += geometry.sampling.scale() * caches[i]->stats().evictions;
    }
  }
  return kv;
}

// Everything that must balance between what was counted where it happened and what was summed up.
void CheckTotals(const SystemConfig& config, const scheduler::KvGeometry& geometry,
                 const metrics::Collector& collector, const std::vector<kvcache::KvCache*>& caches,
                 SimTime saves_done, bool simulated, bool imposed) {
  const metrics::IterationTotals& totals = collector.totals();
  std::int64_t loads = 0;
  for (const kvcache::KvCache* cache : caches) {
    if (cache == nullptr) continue;
    cache->Audit();
    loads += geometry.sampling.scale() * cache->stats().loads;
  }
  SPARSESERVE_CHECK(totals.h2d_bytes == geometry.unit_bytes * loads,
                    "bytes over the link and loads counted by the cache differ");
  const Bytes token_bytes(geometry.unit_bytes.value() / geometry.block_tokens.value());
  const Bytes written =
      token_bytes *
      (geometry.heads * (totals.prefill_token_layers + totals.decode_tokens * geometry.num_layers));
  if (config.choice.kv_home == KvHome::kHbm) {
    SPARSESERVE_CHECK(totals.d2h_bytes == Bytes(0), "a system without offload saves");
  } else if (config.choice.save == cost::SaveMethod::kMemcpyPerBlock) {
    // A live run copies whole blocks, partly filled ones too. In the simulation: the block in which
    // a prompt ended is copied again, whole, when decodes have filled it.
    const std::int64_t prompts =
        static_cast<std::int64_t>(collector.requests().size()) + collector.preemptions();
    const Bytes again = geometry.block_row_bytes() * prompts;
    SPARSESERVE_CHECK(!simulated || totals.d2h_bytes <= written + again,
                      "more is saved than was computed");
  } else {
    SPARSESERVE_CHECK(totals.d2h_bytes == written, "what was computed and what was saved differ");
  }
  // The end of each iteration is rounded to the nanosecond, its parts are not.
  const double rounding = 1e-6 + 1e-9 * static_cast<double>(totals.iterations);
  const SimTime begin = collector.requests().front().arrival;
  const auto wall = [&](SimTime end) {
    return (end - begin).value() * static_cast<double>(config.replicas) + rounding;
  };
  const double run = wall(collector.end());
  const double drained = wall(std::max(collector.end(), saves_done));
  if (imposed) return;  // the lanes hold predicted times, the clock measured ones
  const Seconds busy =
      totals.compute + totals.attention + totals.load_stall + totals.save_stall + totals.host;
  SPARSESERVE_CHECK(busy.value() <= run, "the compute lane was busy for longer than the run");
  SPARSESERVE_CHECK(totals.h2d_busy.value() <= run,
                    "the H2D lane was busy for longer than the run");
  SPARSESERVE_CHECK(totals.d2h_busy.value() <= drained, "the D2H lane was busy for too long");
  SPARSESERVE_CHECK(totals.scatter_busy.value() <= drained,
                    "the scatter lane was busy for too long");
}

constexpr std::int64_t kFittedContexts = 8;

std::vector<RunResult::OverlapPoint> OverlapOf(const SystemConfig& config,
                                               const selection::OverlapMeter& meter) {
  std::vector<RunResult::OverlapPoint> points;
  const selection::OverlapCurves curves(config.locality.overlap);
  for (const std::int64_t window : {1, 2, 4, 8, 12, 16}) {
    if (meter.MeasuredSteps(window) == 0) break;
    points.push_back({window, meter.Asked(curves, config.selection.block_tokens, window),
                      meter.Overlap(window)});
  }
  return points;
}

}  // namespace

double WorkloadBounds::rate() const {
  if (num_requests < 2 || last_arrival == first_arrival) return 0;
  return static_cast<double>(num_requests - 1) / (last_arrival - first_arrival).value();
}

WorkloadBounds ScanWorkload(traces::RequestStream& requests) {
  WorkloadBounds bounds;
  while (const std::optional<traces::Request> request = requests.Next()) {
    if (bounds.num_requests == 0) bounds.first_arrival = request->arrival;
    bounds.last_arrival = request->arrival;
    ++bounds.num_requests;
    bounds.longest_output = std::max(bounds.longest_output, request->output);
    if (request->prompt > bounds.longest_prompt) {
      bounds.longest_prompt = request->prompt;
      bounds.longest_prompt_id = request->id;
    }
  }
  return bounds;
}

void CheckFeasible(const SystemConfig& config, const WorkloadBounds& bounds) {
  const HbmBudget budget = ComputeHbmBudget(config);
  const Memory memory = MakeMemory(config, ComputeGeometry(config), budget.kv);
  std::string why = memory.view().WhyNever(bounds.longest_prompt);
  const std::int64_t context = config.model.max_context_tokens;
  if (bounds.longest_prompt.value() > context) {
    why = "exceeds the model's context of " + std::to_string(context) + " tokens";
  }
  if (why.empty()) return;
  throw InputError(
      {.where = {},
       .key = "workload",
       .what = "request " + std::to_string(bounds.longest_prompt_id) + " of " +
               std::to_string(bounds.longest_prompt.value()) +
               " prompt tokens can never be served by " + config.choice.name + " with " +
               config.model.name + " on " + config.machine.name + ": it " + why,
       .expected = "",
       .hint = "cap the prompts (workload.max_prompt), use more HBM or another system"});
}

RunResult RunSimulation(const SystemConfig& config, traces::RequestStream& requests,
                        const metrics::ServiceLevel& slo, metrics::Collector& collector,
                        const RunOptions& options) {
  const auto wall_start = std::chrono::steady_clock::now();
  RunResult result;
  result.budget = ComputeHbmBudget(config);
  if (config.choice.kv_home == KvHome::kDram) result.dram_for_kv = DramForKv(config);
  const scheduler::KvGeometry geometry = ComputeGeometry(config);
  const bool simulated = !options.make_executor;
  SPARSESERVE_CHECK(geometry.sampling.scale() == 1 ||
                        (simulated && options.imposed == nullptr &&
                         options.record_selection.empty() && config.selection_trace.empty()),
                    "only the locality model selects in sampled lanes");
  std::optional<cost::CostModel> costs;
  if (simulated) result.cost_provenance = costs.emplace(MakeCosts(config)).Provenance();
  selection::OverlapMeter meter(geometry.tracked_heads());
  const bool offloads = config.choice.kv_home == KvHome::kDram;
  std::optional<selection::SelectionTraceWriter> record;
  if (offloads && !options.record_selection.empty()) {
    record.emplace(options.record_selection, TraceGeometryOf(geometry));
  }
  const bool replays = !config.selection_trace.empty();

  std::vector<std::unique_ptr<Replica>> replicas;
  std::vector<kvcache::KvCache*> caches;
  std::vector<const Executor*> executors;
  std::vector<Selection> selections;              // of the replicas, owned here
  std::deque<kvcache::AccessRecorder> recorders;  // of the accesses, one per replica
  if (options.timelines != nullptr) options.timelines->Begin(config.replicas);
  for (std::int64_t i = 0; i < config.replicas; ++i) {
    Memory memory = MakeMemory(config, geometry, result.budget.kv);
    caches.push_back(memory.cache());
    if (offloads && !config.memory.replay_evictions.empty())
      memory.cache()->set_recorder(&recorders.emplace_back());
    Timeline* const timeline = options.timelines != nullptr ? &options.timelines->of(i) : nullptr;
    selections.push_back(
        offloads && (simulated || replays)
            ? MakeSelection(config, geometry, simulated && record ? &*record : nullptr)
            : Selection{});
    std::unique_ptr<Executor> executor;
    if (simulated) {
      SimulatedExecutorConfig executor_config = ExecutorConfig(config, geometry);
      executor_config.imposed = options.imposed;
      executor =
          std::make_unique<SimulatedExecutor>(executor_config, *costs, memory.cache(),
                                              selections.back().get(), i == 0 ? &meter : nullptr,
                                              // Predicted parts on a measured clock overlap.
                                              options.imposed == nullptr ? timeline : nullptr);
    } else {
      executor = options.make_executor({.config = config,
                                        .geometry = geometry,
                                        .paged = memory.paged.get(),
                                        .offload = memory.offload.get(),
                                        .replay = selections.back().get(),
                                        .record = record ? &*record : nullptr,
                                        .timeline = timeline});
    }
    executors.push_back(executor.get());
    replicas.push_back(std::make_unique<Replica>(static_cast<std::int32_t>(i), Scheduling(config),
                                                 geometry.num_layers, memory.Release(),
                                                 std::move(executor), collector));
    replicas.back()->set_timeline(timeline);
  }
  Engine engine(std::move(replicas), MakeRouter(config.router, config.scheduling.max_requests),
                requests, collector, {.progress = options.progress, .pace = options.pace});
  engine.Run();
  SimTime saves_done;
  for (const Executor* executor : executors) {
    saves_done = std::max(saves_done, executor->SavesDone());
  }
  CheckTotals(config, geometry, collector, caches, saves_done, simulated,
              options.imposed != nullptr);
  if (record) record->Finish();
  for (const std::string& policy : config.memory.replay_evictions) {
    RunResult::EvictionReplay replay{policy, 0};
    for (const auto& recorder : recorders)
      replay.block_loads +=
          geometry.sampling.scale() * kvcache::ReplayLoads(recorder.trace(), policy);
    if (offloads) result.eviction_replays.push_back(replay);
  }

  bool extrapolated = false;
  std::int64_t extrapolated_steps = 0;
  for (const auto& replica : engine.replicas()) extrapolated |= replica->extrapolated();
  for (const Selection& selection : selections) {
    if (selection.replay != nullptr) extrapolated_steps += selection.replay->extrapolated_steps();
  }
  if (config.choice.attention == Attention::kSparse) {
    result.overlap = OverlapOf(config, meter);
    result.fitted_overlap = meter.Fit(kFittedContexts, config.selection.block_tokens);
  }
  metrics::RunLabels labels = MakeLabels(config, geometry, extrapolated, extrapolated_steps);
  if (!simulated) {
    labels.fidelity = "measured";
    if (!replays) labels.selection = config.selection.name + ", scores of the live model";
  }
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - wall_start;
  const metrics::PerfFigures perf{
      .wall_s = wall.count(), .events = engine.num_events(), .block_touches = 0};
  result.summary = metrics::Summarize(collector, slo, config.replicas, labels,
                                      KvFiguresOf(geometry, engine.replicas(), caches), perf);
  return result;
}

}  // namespace sparseserve::serving
