// The figures of one run, by the names and definitions of vLLM's serving benchmark where one
// exists.
//
//   ttft   first token - arrival
//   tpot   (last token - first token) / (tokens - 1), per request with at least two tokens
//   itl    gaps between consecutive tokens, pooled over all requests (the paper's TBT)
//   e2el   last token - arrival
// Statistics cover completed requests (scheduling delay and itl also what failed ones had
// produced); std is that of the population, percentiles interpolate linearly.
//
// With warm-up (Collector), latencies, attainment and goodput are those of the requests that arrive
// behind it, and rates those between its end and the last arrival: what the system does while it
// neither fills up nor drains. Counts, cache and time shares cover the whole run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/core/quantiles.h"
#include "sim/metrics/collector.h"

namespace sparseserve::metrics {

// A request counts for goodput when it meets all limits that are set (inclusive), as in vLLM's
// --goodput.
struct ServiceLevel {
  std::optional<Seconds> ttft;
  std::optional<Seconds> tpot;
  std::optional<Seconds> e2el;

  bool any() const { return ttft || tpot || e2el; }
};

// What the cache says at the end of a run, summed over replicas.
struct KvFigures {
  Bytes block_bytes;
  std::int64_t hbm_capacity_blocks = 0;
  std::int64_t hbm_peak_blocks = 0;
  Bytes dram_peak_bytes;
  std::int64_t evictions = 0;
};

// Who ran, on what, and how far to trust it.
struct RunLabels {
  std::string system, model, hardware, calibration, fidelity, selection;
  std::uint64_t seed = 0;
  bool extrapolated = false;
};

// Wall-clock figures; the only ones that differ between two runs of the same inputs.
struct PerfFigures {
  double wall_s = 0;
  std::uint64_t events = 0;
  std::int64_t block_touches = 0;
};

struct Summary {
  RunLabels labels;
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  Seconds duration;  // first arrival to last completion
  std::int64_t warmup_requests = 0;
  Tokens total_input_tokens;
  Tokens total_output_tokens;
  double request_throughput = 0;
  std::optional<double> request_goodput;
  std::optional<double> slo_attainment;  // share of all requests
  double output_throughput = 0;
  double total_token_throughput = 0;
  SampleStatistics ttft_ms, tpot_ms, itl_ms, e2el_ms;
  SampleStatistics scheduling_delay_s;
  bool saturated = false;
  double batch_mean = 0;
  std::int64_t batch_max = 0;
  std::int64_t preemptions = 0;
  std::int64_t num_replicas = 1;
  KvFigures kv;
  double hit_rate = 0;  // selected units that were resident; 1 when nothing is offloaded
  double block_loads_per_iteration = 0;  // over iterations with a decode
  IterationTotals totals;
  struct {
    double compute = 0, attention = 0, load_stall = 0, save_stall = 0, host = 0, idle = 0;
  } time_share;  // of duration x replicas
  // Where time to the first token and between tokens went: on average, and for the slowest 1 %.
  struct {
    Breakdown ttft, itl, slowest_ttft, slowest_itl;
  } breakdown;
  std::array<BoundShare, kNumIterationBounds> iteration_bounds{};
  std::array<BoundShare, kNumBatchBounds> batch_bounds{};
  PerfFigures perf;
};

// Reads everything off the collector; completes the summary except for labels, kv and perf, which
// are taken as given.
Summary Summarize(const Collector& collector, const ServiceLevel& slo, std::int64_t num_replicas,
                  const RunLabels& labels, const KvFigures& kv, const PerfFigures& perf);

}  // namespace sparseserve::metrics
