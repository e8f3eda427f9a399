#include "sim/report/benchmark_reader.h"

#include <string_view>

namespace sparseserve::report {
namespace {

using enum Metric;

constexpr Metric kLatencies[] = {kMeanTtft, kMedianTtft, kP99Ttft, kMeanE2el};
constexpr Metric kGaps[] = {kMeanTpot, kMeanItl, kP99Itl};  // need a second token
constexpr Metric kTotals[] = {kDuration, kRequestThroughput, kOutputThroughput};

void Copy(const ResultJson& json, Metric metric, RunFigures& figures) {
  figures[metric] = json.FindNumber(std::string(InfoOf(metric).name));
}

enum class Dimension : std::uint8_t { kCount, kRate, kSeconds, kMilliseconds };

struct AiperfMetric {
  std::string_view key, statistic;
  Metric metric;
  Dimension dimension;
};
constexpr AiperfMetric kAiperfMetrics[] = {
    {"request_count", "avg", kCompleted, Dimension::kCount},
    {"benchmark_duration", "avg", kDuration, Dimension::kSeconds},
    {"total_isl", "avg", kInputTokens, Dimension::kCount},
    {"total_osl", "avg", kOutputTokens, Dimension::kCount},
    {"request_throughput", "avg", kRequestThroughput, Dimension::kRate},
    {"output_token_throughput", "avg", kOutputThroughput, Dimension::kRate},
    {"time_to_first_token", "avg", kMeanTtft, Dimension::kMilliseconds},
    {"time_to_first_token", "p50", kMedianTtft, Dimension::kMilliseconds},
    {"time_to_first_token", "p99", kP99Ttft, Dimension::kMilliseconds},
    {"inter_token_latency", "avg", kMeanTpot, Dimension::kMilliseconds},
    {"inter_chunk_latency", "avg", kMeanItl, Dimension::kMilliseconds},
    {"inter_chunk_latency", "p99", kP99Itl, Dimension::kMilliseconds},
    {"request_latency", "avg", kMeanE2el, Dimension::kMilliseconds},
};

double SecondsIn(const ResultJson& metric) {
  const std::string unit = metric.FindText("unit");
  if (unit == "s" || unit == "sec" || unit == "seconds") return 1;
  if (unit == "ms") return 1e-3;
  if (unit == "us") return 1e-6;
  if (unit == "ns") return 1e-9;
  metric.Fail("unit", "'" + unit + "' is no unit of time", "s, sec, seconds, ms, us or ns");
}

// What one of the metric's unit is in ours.
double ScaleOf(const ResultJson& metric, Dimension dimension) {
  if (dimension == Dimension::kCount) return 1;
  if (dimension == Dimension::kSeconds) return SecondsIn(metric);
  if (dimension == Dimension::kMilliseconds) return 1e3 * SecondsIn(metric);
  const std::string unit = metric.FindText("unit");
  if (!unit.ends_with("/sec") && !unit.ends_with("/s"))
    metric.Fail("unit", "'" + unit + "' is no rate", "requests/sec or tokens/sec");
  return 1;
}

// Older versions keep the metrics below "records".
ResultJson AiperfRecords(const ResultJson& json) {
  return json.HasObject("records") ? json.Object("records") : json;
}

void ReadAiperfLabels(const ResultJson& json, RunFigures& figures) {
  if (!json.HasObject("input_config")) return;
  const ResultJson config = json.Object("input_config");
  if (config.HasObject("endpoint"))
    figures.model = config.Object("endpoint").FindText("model_names");
  if (config.HasObject("input")) figures.seed = config.Object("input").FindText("random_seed");
}

}  // namespace

void ReadSharedFigures(const ResultJson& json, RunFigures& figures) {
  const double completed = json.Count("completed");
  const std::optional<double> output_tokens = json.FindCount("total_output_tokens");
  figures[kCompleted] = completed;
  figures[kInputTokens] = json.FindCount("total_input_tokens");
  figures[kOutputTokens] = output_tokens;
  for (const Metric metric : kTotals) Copy(json, metric, figures);
  if (completed == 0) return;
  for (const Metric metric : kLatencies) Copy(json, metric, figures);
  if (output_tokens && *output_tokens <= completed) return;
  for (const Metric metric : kGaps) Copy(json, metric, figures);
}

bool IsVllmResult(const ResultJson& json) {
  return json.Has("completed") && json.Has("output_throughput");
}

void ReadVllmResult(const ResultJson& json, RunFigures& figures) {
  figures.kind = "vLLM benchmark";
  ReadSharedFigures(json, figures);
  // Written only where --seed went into --metadata, as are the others.
  figures.seed = json.FindText("seed");
  figures.system = json.FindText("system");
  figures.hardware = json.FindText("hardware");
  figures.model = json.FindText("model_id");
  const double completed = *figures[kCompleted];
  const double failed = json.FindCount("failed").value_or(0);
  const double prompts = json.FindCount("num_prompts").value_or(completed + failed);
  figures.num_requests = static_cast<std::int64_t>(prompts);
  // Statistics of e2el are left out unless asked for; the latencies they come from are not.
  if (!figures[kMeanE2el] && failed == 0) {
    if (const auto mean_s = json.FindMean("latencies", completed))
      figures[kMeanE2el] = 1e3 * *mean_s;
  }
}

bool IsAiperfProfile(const ResultJson& json) {
  const ResultJson records = AiperfRecords(json);
  for (const AiperfMetric& m : kAiperfMetrics) {
    const std::string key(m.key);
    if (records.HasObject(key) && records.Object(key).Has("unit")) return true;
  }
  return false;
}

void ReadAiperfProfile(const ResultJson& json, RunFigures& figures) {
  figures.kind = "AIPerf profile";
  ReadAiperfLabels(json, figures);
  const ResultJson records = AiperfRecords(json);
  for (const AiperfMetric& m : kAiperfMetrics) {
    const std::string key(m.key);
    if (!records.Has(key)) continue;
    const ResultJson metric = records.Object(key);
    const auto value = m.dimension == Dimension::kCount
                           ? metric.FindCount(std::string(m.statistic))
                           : metric.FindNumber(std::string(m.statistic));
    if (value) figures[m.metric] = *value * ScaleOf(metric, m.dimension);
  }
  if (const auto completed = figures[kCompleted]) {
    double failed = 0;
    if (records.HasObject("error_request_count"))
      failed = records.Object("error_request_count").FindCount("avg").value_or(0);
    figures.num_requests = static_cast<std::int64_t>(*completed + failed);
  }
}

}  // namespace sparseserve::report
