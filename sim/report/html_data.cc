#include "sim/report/html_data.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/report/comparison.h"
#include "sim/report/comparison_text.h"
#include "sim/report/html_page.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;

Json MetricsJson() {
  Json metrics = Json::array();
  for (const MetricInfo& info : Metrics()) {
    metrics.push_back({{"name", info.name},
                       {"title", info.title},
                       {"unit", info.unit},
                       {"group", NameOf(info.group)},
                       {"definition", info.definition}});
  }
  return metrics;
}

Json CdfJson(const Cdf& cdf) {
  Json values = Json::array(), shares = Json::array();
  for (const CdfPoint& point : cdf) {
    values.push_back(Rounded(point.value));
    shares.push_back(Rounded(point.share));
  }
  return {{"value", values}, {"share", shares}};
}

Json BreakdownJson(const Breakdown& breakdown) {
  Json parts = Json::array();
  for (const auto& [name, mean_ms] : breakdown)
    parts.push_back({{"part", name}, {"ms", Rounded(mean_ms)}});
  return parts;
}

// Means over time and over replicas; while no iteration runs, a replica counts with 0.
Json GaugeJson(const ReportRun& run, Gauge gauge, double unit) {
  Json mean = Json::array(), low = Json::array(), high = Json::array();
  const auto& buckets = run.series.buckets();
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const SeriesBucket::Range& range = buckets[i][gauge];
    mean.push_back(Rounded(range.area / (run.series.covered_s(i) * run.num_replicas * unit)));
    low.push_back(Rounded(range.low / unit));
    high.push_back(Rounded(range.high / unit));
  }
  return {{"mean", mean}, {"low", low}, {"high", high}};
}

// `amount` per second of each bucket and replica.
Json RateJson(const ReportRun& run, Amount amount, double unit) {
  Json rates = Json::array();
  const auto& buckets = run.series.buckets();
  for (std::size_t i = 0; i < buckets.size(); ++i)
    rates.push_back(
        Rounded(buckets[i][amount] / (run.series.covered_s(i) * run.num_replicas * unit)));
  return {{"mean", rates}};
}

Json HitRateJson(const ReportRun& run) {
  Json rates = Json::array();
  for (const SeriesBucket& bucket : run.series.buckets()) {
    const double touches = bucket[Amount::kBlockTouches];
    rates.push_back(touches > 0 ? Json(Rounded(100 - 100 * bucket[Amount::kBlockLoads] / touches))
                                : Json(nullptr));
  }
  return {{"mean", rates}};
}

Json SeriesJson(const ReportRun& run) {
  constexpr double kGigabyte = 1e9, kPercent = 0.01;
  return {{"width_s", run.series.width_s()},
          {"batch", GaugeJson(run, Gauge::kBatch, 1)},
          {"queue", GaugeJson(run, Gauge::kQueue, 1)},
          {"hbm", GaugeJson(run, Gauge::kHbmBytes, kGigabyte)},
          {"dram", GaugeJson(run, Gauge::kDramBytes, kGigabyte)},
          {"hit", HitRateJson(run)},
          {"h2d", RateJson(run, Amount::kH2dBytes, kGigabyte)},
          {"d2h", RateJson(run, Amount::kD2hBytes, kGigabyte)},
          {"h2d_busy", RateJson(run, Amount::kH2dBusy, kPercent)},
          {"compute", RateJson(run, Amount::kCompute, kPercent)},
          {"attention", RateJson(run, Amount::kAttention, kPercent)},
          {"load_stall", RateJson(run, Amount::kLoadStall, kPercent)},
          {"save_stall", RateJson(run, Amount::kSaveStall, kPercent)},
          {"host", RateJson(run, Amount::kHost, kPercent)},
          {"iteration", RateJson(run, Amount::kIteration, kPercent)}};
}

Json RunJson(const ReportRun& run) {
  Json values = Json::object();
  for (const MetricInfo& info : Metrics())
    if (const auto& value = run.figures[info.metric]) values[std::string(info.name)] = *value;
  Json json = {{"label", run.label()},
               {"name", run.name},
               {"role", run.role},
               {"source", run.figures.source},
               {"model", run.figures.model},
               {"hardware", run.figures.hardware},
               {"saturated", run.saturated},
               {"extrapolated", run.extrapolated},
               {"failed", run.failed},
               {"replicas", run.num_replicas},
               {"values", values}};
  if (run.hbm_kv_bytes) json["hbm_kv_gb"] = Rounded(*run.hbm_kv_bytes / 1e9);
  if (run.slo_attainment) json["slo_attainment"] = *run.slo_attainment;
  json["cdf"] = {{"ttft", CdfJson(run.ttft_ms)},
                 {"tpot", CdfJson(run.tpot_ms)},
                 {"e2el", CdfJson(run.e2el_ms)}};
  json["series"] = SeriesJson(run);
  json["breakdown"] = {{"ttft", BreakdownJson(run.ttft_breakdown_ms)},
                       {"itl", BreakdownJson(run.itl_breakdown_ms)}};
  json["config"] = run.config;
  json["summary"] = run.summary;
  return json;
}

Json ComparisonJson(std::span<const ReportRun> runs, std::size_t a, std::size_t b) {
  const Comparison comparison = Compare(runs[a].figures, runs[b].figures);
  Json rows = Json::array();
  for (const MetricComparison& metric : comparison.metrics) {
    if (!metric.a || !metric.b) continue;
    rows.push_back({{"metric", InfoOf(metric.metric).name},
                    {"error", metric.error ? Json(*metric.error) : Json(nullptr)},
                    {"judged", metric.is_judged},
                    {"exceeded", metric.is_exceeded}});
  }
  return {{"a", a},
          {"b", b},
          {"verdict", comparison.IsJudged() ? Verdict(comparison) : ""},
          {"gap", comparison.gap ? GapSentence(*comparison.gap) : ""},
          {"tolerance", 100 * comparison.tolerance},
          {"rows", rows}};
}

// Each prediction against the measured run before it.
Json ComparisonsJson(std::span<const ReportRun> runs) {
  Json comparisons = Json::array();
  for (std::size_t b = 0, a = runs.size(); b < runs.size(); ++b) {
    if (runs[b].role == "measured") a = b;
    const bool is_prediction = !runs[b].role.empty() && a != b;
    if (is_prediction && a < runs.size() && runs[a].name == runs[b].name)
      comparisons.push_back(ComparisonJson(runs, a, b));
  }
  return comparisons;
}

}  // namespace

std::string ReportDataJson(std::span<const ReportRun> runs) {
  Json json = {{"metrics", MetricsJson()}, {"runs", Json::array()}};
  for (const ReportRun& run : runs) json["runs"].push_back(RunJson(run));
  json["comparisons"] = ComparisonsJson(runs);
  return EmbeddedJson(json.dump(-1, ' ', true, Json::error_handler_t::replace));
}

}  // namespace sparseserve::report
