#include "sim/report/run_figures.h"

#include <numeric>

namespace sparseserve::report {
namespace {

using enum Metric;
constexpr auto kEndToEnd = MetricGroup::kEndToEnd;
constexpr auto kPerIteration = MetricGroup::kIterations;
constexpr auto kTransfers = MetricGroup::kTransfers;

constexpr MetricInfo Count(Metric metric, MetricGroup group, std::string_view name,
                           std::string_view title, std::string_view unit,
                           std::string_view definition) {
  return {metric, group, name, title, unit, true, false, definition};
}
constexpr MetricInfo Figure(Metric metric, MetricGroup group, std::string_view name,
                            std::string_view title, std::string_view unit,
                            std::string_view definition) {
  return {metric, group, name, title, unit, false, false, definition};
}
constexpr MetricInfo Key(Metric metric, MetricGroup group, std::string_view name,
                         std::string_view title, std::string_view unit,
                         std::string_view definition) {
  return {metric, group, name, title, unit, false, true, definition};
}

constexpr std::string_view kPartOfIteration = "mean over all iterations";
constexpr std::string_view kPartOfRun = "of the duration of the run, over all replicas";

constexpr std::array<MetricInfo, kNumMetrics> kMetrics = {{
    Count(kCompleted, kEndToEnd, "completed", "completed", "requests",
          "requests served to the end"),
    Figure(kDuration, kEndToEnd, "duration", "duration", "s", "first arrival to last completion"),
    Count(kInputTokens, kEndToEnd, "total_input_tokens", "input tokens", "tokens",
          "prompt tokens of completed requests"),
    Count(kOutputTokens, kEndToEnd, "total_output_tokens", "output tokens", "tokens",
          "tokens produced by completed requests"),
    Figure(kRequestThroughput, kEndToEnd, "request_throughput", "request throughput", "req/s",
           "completed / duration"),
    Key(kOutputThroughput, kEndToEnd, "output_throughput", "output throughput", "tok/s",
        "output tokens / duration"),
    Key(kMeanTtft, kEndToEnd, "mean_ttft_ms", "TTFT mean", "ms", "arrival to first token"),
    Figure(kMedianTtft, kEndToEnd, "median_ttft_ms", "TTFT median", "ms", "arrival to first token"),
    Figure(kP99Ttft, kEndToEnd, "p99_ttft_ms", "TTFT P99", "ms", "arrival to first token"),
    Key(kMeanTpot, kEndToEnd, "mean_tpot_ms", "TPOT mean", "ms",
        "(last token - first token) / (tokens - 1) of a request"),
    Figure(kMeanItl, kEndToEnd, "mean_itl_ms", "ITL (TBT) mean", "ms",
           "gap between two tokens, pooled over requests"),
    Figure(kP99Itl, kEndToEnd, "p99_itl_ms", "ITL (TBT) P99", "ms",
           "gap between two tokens, pooled over requests"),
    Figure(kMeanE2el, kEndToEnd, "mean_e2el_ms", "E2E mean", "ms", "arrival to last token"),

    Count(kIterations, kPerIteration, "iterations", "iterations", "", "of all replicas"),
    Key(kMedianIteration, kPerIteration, "median_iteration_ms", "duration median", "ms",
        "begin to end of an iteration, host work included"),
    Figure(kP95Iteration, kPerIteration, "p95_iteration_ms", "duration P95", "ms",
           "begin to end of an iteration, host work included"),
    Count(kDecodeIterations, kPerIteration, "decode_iterations", "decode-only iterations", "",
          "iterations without a prefill"),
    Figure(kMedianDecodeIteration, kPerIteration, "median_decode_iteration_ms",
           "decode-only duration median", "ms", "begin to end of an iteration without a prefill"),
    Figure(kMeanDecodes, kPerIteration, "mean_decodes", "decodes in the batch", "requests",
           kPartOfIteration),
    Figure(kMeanPrefills, kPerIteration, "mean_prefills", "prefills in the batch", "requests",
           kPartOfIteration),
    Figure(kMeanCompute, kPerIteration, "mean_compute_ms", "compute", "ms", kPartOfIteration),
    Figure(kMeanAttention, kPerIteration, "mean_attention_ms", "attention", "ms", kPartOfIteration),
    Figure(kMeanLoadStall, kPerIteration, "mean_load_stall_ms", "load stall", "ms",
           "compute waits for a load; mean over all iterations"),
    Figure(kMeanSaveStall, kPerIteration, "mean_save_stall_ms", "save stall", "ms",
           "compute waits for a save; mean over all iterations"),
    Figure(kMeanHost, kPerIteration, "mean_host_ms", "host", "ms",
           "work of the engine between iterations; mean over all"),
    Figure(kComputeShare, kPerIteration, "compute_share", "compute share", "%", kPartOfRun),
    Figure(kAttentionShare, kPerIteration, "attention_share", "attention share", "%", kPartOfRun),
    Figure(kLoadStallShare, kPerIteration, "load_stall_share", "load stall share", "%", kPartOfRun),
    Figure(kSaveStallShare, kPerIteration, "save_stall_share", "save stall share", "%", kPartOfRun),
    Figure(kHostShare, kPerIteration, "host_share", "host share", "%", kPartOfRun),
    Figure(kIdleShare, kPerIteration, "idle_share", "idle share", "%",
           "no iteration; of the duration of the run, over all replicas"),

    Key(kHitRate, kTransfers, "hit_rate", "hit rate", "%", "1 - loads / selected KV blocks"),
    Count(kBlockLoads, kTransfers, "block_loads", "block loads", "blocks",
          "KV blocks loaded from DRAM, of one GPU of each replica"),
    Count(kH2dBytes, kTransfers, "h2d_bytes", "loaded (H2D)", "B", "of one GPU of each replica"),
    Count(kD2hBytes, kTransfers, "d2h_bytes", "saved (D2H)", "B", "of one GPU of each replica"),
    Figure(kH2dBusy, kTransfers, "h2d_busy_s", "H2D busy", "s", "work of the load lane"),
    Figure(kD2hBusy, kTransfers, "d2h_busy_s", "D2H busy", "s", "work of the save lane"),
    Figure(kLoadBandwidth, kTransfers, "load_gb_per_s", "bandwidth of loads", "GB/s",
           "loaded bytes / H2D busy"),
}};

constexpr bool IsInOrder() {
  for (std::size_t i = 0; i < kNumMetrics; ++i)
    if (kMetrics[i].metric != static_cast<Metric>(i)) return false;
  return true;
}
static_assert(IsInOrder(), "InfoOf() uses the metric as an index");

}  // namespace

std::span<const MetricInfo> Metrics() { return kMetrics; }

std::string_view NameOf(MetricGroup group) {
  constexpr std::array<std::string_view, 3> kNames = {"end to end", "iterations", "transfers"};
  return kNames[static_cast<std::size_t>(group)];
}

std::string_view NameOf(BusyPart part) {
  constexpr std::array<std::string_view, kNumBusyParts> kNames = {
      "compute", "attention", "load stall", "save stall", "host", "other"};
  return kNames[static_cast<std::size_t>(part)];
}

double BusyTime::total_s() const { return std::accumulate(parts_s.begin(), parts_s.end(), 0.0); }

}  // namespace sparseserve::report
