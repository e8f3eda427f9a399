#include "sim/metrics/figures.h"

#include <limits>

namespace sparseserve::metrics {
namespace {

using S = Summary;

double OrNan(const std::optional<double>& value) {
  return value ? *value : std::numeric_limits<double>::quiet_NaN();
}
double Real(std::int64_t count) { return static_cast<double>(count); }

constexpr auto kLower = Better::kLower;
constexpr auto kHigher = Better::kHigher;
constexpr auto kNeither = Better::kNeither;

constexpr FigureInfo kFigures[] = {
    {"output_throughput", "output", "tok/s", kHigher,
     [](const S& s) { return s.output_throughput; }},
    {"request_throughput", "requests", "req/s", kHigher,
     [](const S& s) { return s.request_throughput; }},
    {"total_token_throughput", "tokens", "tok/s", kHigher,
     [](const S& s) { return s.total_token_throughput; }},
    {"request_goodput", "goodput", "req/s", kHigher,
     [](const S& s) { return OrNan(s.request_goodput); }},
    {"slo_attainment", "attainment", "share", kHigher,
     [](const S& s) { return OrNan(s.slo_attainment); }},
    {"mean_ttft_ms", "TTFT mean", "ms", kLower, [](const S& s) { return s.ttft_ms.mean; }},
    {"median_ttft_ms", "TTFT median", "ms", kLower, [](const S& s) { return s.ttft_ms.median; }},
    {"p95_ttft_ms", "TTFT P95", "ms", kLower, [](const S& s) { return s.ttft_ms.p95; }},
    {"p99_ttft_ms", "TTFT P99", "ms", kLower, [](const S& s) { return s.ttft_ms.p99; }},
    {"mean_tpot_ms", "TPOT mean", "ms", kLower, [](const S& s) { return s.tpot_ms.mean; }},
    {"p99_tpot_ms", "TPOT P99", "ms", kLower, [](const S& s) { return s.tpot_ms.p99; }},
    {"mean_itl_ms", "TBT mean", "ms", kLower, [](const S& s) { return s.itl_ms.mean; }},
    {"median_itl_ms", "TBT median", "ms", kLower, [](const S& s) { return s.itl_ms.median; }},
    {"p95_itl_ms", "TBT P95", "ms", kLower, [](const S& s) { return s.itl_ms.p95; }},
    {"p99_itl_ms", "TBT P99", "ms", kLower, [](const S& s) { return s.itl_ms.p99; }},
    {"mean_e2el_ms", "E2E mean", "ms", kLower, [](const S& s) { return s.e2el_ms.mean; }},
    {"p99_e2el_ms", "E2E P99", "ms", kLower, [](const S& s) { return s.e2el_ms.p99; }},
    {"scheduling_delay.mean_s", "delay mean", "s", kLower,
     [](const S& s) { return s.scheduling_delay_s.mean; }},
    {"scheduling_delay.p95_s", "delay P95", "s", kLower,
     [](const S& s) { return s.scheduling_delay_s.p95; }},
    {"scheduling_delay.p99_s", "delay P99", "s", kLower,
     [](const S& s) { return s.scheduling_delay_s.p99; }},
    {"batch.mean", "batch mean", "", kNeither, [](const S& s) { return s.batch_mean; }},
    {"batch.max", "batch max", "", kNeither, [](const S& s) { return Real(s.batch_max); }},
    {"kv.hit_rate", "hit rate", "share", kHigher, [](const S& s) { return s.hit_rate; }},
    {"kv.block_loads", "block loads", "", kLower,
     [](const S& s) { return Real(s.totals.block_loads); }},
    {"kv.block_loads_per_iteration", "loads/iteration", "", kLower,
     [](const S& s) { return s.block_loads_per_iteration; }},
    {"kv.h2d_bytes", "H2D", "B", kLower,
     [](const S& s) { return Real(s.totals.h2d_bytes.value()); }},
    {"kv.d2h_bytes", "D2H", "B", kLower,
     [](const S& s) { return Real(s.totals.d2h_bytes.value()); }},
    {"kv.evictions", "evictions", "", kLower, [](const S& s) { return Real(s.kv.evictions); }},
    {"kv.preemptions", "preemptions", "", kLower, [](const S& s) { return Real(s.preemptions); }},
    {"kv.dram_peak_bytes", "DRAM peak", "B", kLower,
     [](const S& s) { return Real(s.kv.dram_peak_bytes.value()); }},
    {"time_share.compute", "compute share", "share", kNeither,
     [](const S& s) { return s.time_share.compute; }},
    {"time_share.attention", "attention share", "share", kNeither,
     [](const S& s) { return s.time_share.attention; }},
    {"time_share.load_stall", "load stall share", "share", kLower,
     [](const S& s) { return s.time_share.load_stall; }},
    {"time_share.save_stall", "save stall share", "share", kLower,
     [](const S& s) { return s.time_share.save_stall; }},
    {"time_share.host", "host share", "share", kLower,
     [](const S& s) { return s.time_share.host; }},
    {"time_share.idle", "idle share", "share", kNeither,
     [](const S& s) { return s.time_share.idle; }},
    {"duration", "duration", "s", kNeither, [](const S& s) { return s.duration.value(); }},
    {"completed", "completed", "", kHigher, [](const S& s) { return Real(s.completed); }},
    {"failed", "failed", "", kLower, [](const S& s) { return Real(s.failed); }},
    {"total_input_tokens", "input tokens", "", kNeither,
     [](const S& s) { return Real(s.total_input_tokens.value()); }},
    {"total_output_tokens", "output tokens", "", kNeither,
     [](const S& s) { return Real(s.total_output_tokens.value()); }},
    {"iterations", "iterations", "", kNeither,
     [](const S& s) { return Real(s.totals.iterations); }},
    {"saturated", "saturated", "", kLower, [](const S& s) { return s.saturated ? 1.0 : 0.0; }},
    {"extrapolated", "extrapolated", "", kLower,
     [](const S& s) { return s.labels.extrapolated ? 1.0 : 0.0; }},
};

}  // namespace

std::span<const FigureInfo> Figures() { return kFigures; }

std::optional<std::size_t> FindFigure(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kFigures); ++i) {
    if (kFigures[i].name == name) return i;
  }
  return std::nullopt;
}

std::vector<double> FiguresOf(const Summary& summary) {
  std::vector<double> values;
  values.reserve(std::size(kFigures));
  for (const FigureInfo& figure : kFigures) values.push_back(figure.get(summary));
  return values;
}

}  // namespace sparseserve::metrics
