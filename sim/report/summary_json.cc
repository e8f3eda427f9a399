#include "sim/report/summary_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/core/check.h"
#include "sim/report/attribution_json.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;
using metrics::Summary;

double Finite(double value) {
  SPARSESERVE_CHECK(std::isfinite(value), "a figure of the summary is not a number");
  return value;
}

Json FiniteOrNull(const std::optional<double>& value) {
  return value ? Json(Finite(*value)) : Json(nullptr);
}

void AddTotals(const Summary& s, Json& json) {
  json["completed"] = s.completed;
  json["failed"] = s.failed;
  json["duration"] = Finite(s.duration.value());
  json["total_input_tokens"] = s.total_input_tokens.value();
  json["total_output_tokens"] = s.total_output_tokens.value();
  json["request_throughput"] = Finite(s.request_throughput);
  json["request_goodput"] = FiniteOrNull(s.request_goodput);
  json["output_throughput"] = Finite(s.output_throughput);
  json["total_token_throughput"] = Finite(s.total_token_throughput);
}

void AddLatency(const std::string& name, const SampleStatistics& statistics, Json& json) {
  json["mean_" + name + "_ms"] = Finite(statistics.mean);
  json["median_" + name + "_ms"] = Finite(statistics.median);
  json["std_" + name + "_ms"] = Finite(statistics.std);
  json["p99_" + name + "_ms"] = Finite(statistics.p99);
}

void AddLabels(const Summary& s, Json& json) {
  json["system"] = s.labels.system;
  json["model"] = s.labels.model;
  json["hardware"] = s.labels.hardware;
  json["calibration"] = s.labels.calibration;
  json["fidelity"] = s.labels.fidelity;
  json["seed"] = s.labels.seed;
  json["saturated"] = s.saturated;
  json["extrapolated"] = s.labels.extrapolated;
}

Json KvJson(const Summary& s) {
  return {{"block_bytes", s.kv.block_bytes.value()},
          {"hbm_capacity_blocks", s.kv.hbm_capacity_blocks},
          {"hbm_peak_blocks", s.kv.hbm_peak_blocks},
          {"dram_peak_bytes", s.kv.dram_peak_bytes.value()},
          {"hit_rate", Finite(s.hit_rate)},
          {"block_loads", s.totals.block_loads},
          {"block_loads_per_iteration", Finite(s.block_loads_per_iteration)},
          {"h2d_bytes", s.totals.h2d_bytes.value()},
          {"d2h_bytes", s.totals.d2h_bytes.value()},
          {"evictions", s.kv.evictions},
          {"preemptions", s.preemptions}};
}

// Wall-clock figures stand inside "perf" only: everything else is the same in every run.
void AddCounters(const Summary& s, Json& json) {
  json["scheduling_delay"] = {{"mean_s", Finite(s.scheduling_delay_s.mean)},
                              {"p95_s", Finite(s.scheduling_delay_s.p95)},
                              {"p99_s", Finite(s.scheduling_delay_s.p99)}};
  json["batch"] = {{"mean", Finite(s.batch_mean)}, {"max", s.batch_max}};
  json["kv"] = KvJson(s);
  json["time_share"] = {{"compute", Finite(s.time_share.compute)},
                        {"attention", Finite(s.time_share.attention)},
                        {"load_stall", Finite(s.time_share.load_stall)},
                        {"save_stall", Finite(s.time_share.save_stall)},
                        {"idle", Finite(s.time_share.idle)},
                        {"host", Finite(s.time_share.host)}};
  json["iterations"] = s.totals.iterations;
  json["perf"] = {{"wall_s", Finite(s.perf.wall_s)},
                  {"events", s.perf.events},
                  {"block_touches", s.perf.block_touches}};
}

Json MemoryJson(const serving::RunResult& run) {
  const serving::HbmBudget& hbm = run.budget;
  return {{"equation", hbm.Explain()},
          {"hbm_capacity_bytes", hbm.capacity.value()},
          {"hbm_usable_bytes", hbm.usable.value()},
          {"weights_bytes", hbm.weights.value()},
          {"activations_bytes", hbm.activations.value()},
          {"framework_bytes", hbm.framework.value()},
          {"hbm_kv_bytes", hbm.kv.value()},
          {"dram_kv_bytes", run.dram_for_kv.value()}};
}

Json OverlapJson(const serving::RunResult& run) {
  Json points = Json::array();
  for (const auto& point : run.overlap) {
    points.push_back({{"window", point.window},
                      {"asked", Finite(point.asked)},
                      {"realised", Finite(point.realised)}});
  }
  return points;
}

// Behind the fields of the contract, so that these can grow.
void AddExtensions(const serving::RunResult& run, Json& json) {
  const metrics::IterationTotals& totals = run.summary.totals;
  json["schema"] = kSummarySchema;
  json["slo_attainment"] = FiniteOrNull(run.summary.slo_attainment);
  json["warmup_requests"] = run.summary.warmup_requests;
  json["selection"] = run.summary.labels.selection;
  json["replicas"] = run.summary.num_replicas;
  json["memory_per_gpu"] = MemoryJson(run);
  json["lane_busy"] = {{"h2d_s", Finite(totals.h2d_busy.value())},
                       {"d2h_s", Finite(totals.d2h_busy.value())},
                       {"scatter_s", Finite(totals.scatter_busy.value())}};
  json["overlap"] = OverlapJson(run);
  Json replays = Json::object();
  for (const auto& replay : run.eviction_replays) replays[replay.policy] = replay.block_loads;
  json["eviction_replay_block_loads"] = replays;
  json["cost_provenance"] = run.cost_provenance;
  AddAttribution(Explain(run.summary), json);
}

}  // namespace

std::string SummaryJson(const serving::RunResult& run) {
  Json json;
  AddTotals(run.summary, json);
  AddLatency("ttft", run.summary.ttft_ms, json);
  AddLatency("tpot", run.summary.tpot_ms, json);
  AddLatency("itl", run.summary.itl_ms, json);
  AddLatency("e2el", run.summary.e2el_ms, json);
  AddLabels(run.summary, json);
  AddCounters(run.summary, json);
  AddExtensions(run, json);
  // A name that is not UTF-8 must not cost the results of the run.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sparseserve::report
