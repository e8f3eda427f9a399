#include "sim/report/explanation.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/report/result_json.h"
#include "sim/report/run_directory.h"
#include "sim/report/run_reader.h"
#include "sim/report/summary_json.h"

namespace sparseserve::report {
namespace {

namespace fs = std::filesystem;

void ReadParts(const ResultJson& json, metrics::Breakdown& breakdown) {
  for (std::size_t i = 0; i < metrics::kNumParts; ++i) {
    const std::string name(metrics::kPartNames[i]);
    if (i == static_cast<std::size_t>(metrics::Part::kQueue) && !json.Has(name)) continue;
    breakdown.parts_ms[i] = json.Number(name);
  }
}

metrics::Breakdown ReadMean(const ResultJson& json, const std::string& latency) {
  metrics::Breakdown mean;
  mean.mean_ms = json.Number("mean_" + latency + "_ms");
  ReadParts(json.Object(latency + "_breakdown_ms"), mean);
  return mean;
}

metrics::Breakdown ReadSlowest(const ResultJson& json) {
  metrics::Breakdown slowest;
  slowest.samples = static_cast<std::int64_t>(json.Count("samples"));
  slowest.from_ms = json.Number("from_ms");
  slowest.mean_ms = json.Number("mean_ms");
  ReadParts(json.Object("breakdown_ms"), slowest);
  return slowest;
}

template <std::size_t kSize>
void ReadBounds(const ResultJson& json, const std::array<std::string_view, kSize>& names,
                std::array<metrics::BoundShare, kSize>& bounds) {
  for (std::size_t i = 0; i < kSize; ++i) {
    const ResultJson bound = json.Object(std::string(names[i]));
    bounds[i].iterations = static_cast<std::int64_t>(bound.Count("iterations"));
    bounds[i].ns = static_cast<std::int64_t>(bound.Number("time_s") * 1e9 + 0.5);
  }
}

std::string SummaryPath(const std::string& directory) {
  const std::string path = (fs::path(directory) / kSummaryFile).string();
  if (!fs::exists(path)) {
    throw InputError({{directory, 0, 0},
                      "",
                      "holds no summary.json",
                      "the directory of a run",
                      RunBelow(directory)});
  }
  return path;
}

}  // namespace

Explanation Explain(const metrics::Summary& s) {
  return {.system = s.labels.system,
          .model = s.labels.model,
          .hardware = s.labels.hardware,
          .fidelity = s.labels.fidelity,
          .completed = s.completed,
          .saturated = s.saturated,
          .extrapolated = s.labels.extrapolated,
          .ttft = s.breakdown.ttft,
          .itl = s.breakdown.itl,
          .slowest_ttft = s.breakdown.slowest_ttft,
          .slowest_itl = s.breakdown.slowest_itl,
          .iteration_bounds = s.iteration_bounds,
          .batch_bounds = s.batch_bounds,
          .block_loads = s.totals.block_loads,
          .block_reloads = s.totals.block_reloads,
          .evictions = s.kv.evictions,
          .preemptions = s.preemptions};
}

Explanation ReadExplanation(const std::string& directory) {
  const std::string path = SummaryPath(directory);
  const ResultFile file = LoadResult(path);
  const ResultJson json(file.json, path);
  if (const std::string schema = json.FindText("schema"); schema != kSummarySchema)
    json.Fail("schema", "'" + schema + "' is not known here", std::string(kSummarySchema));
  Explanation e;
  e.system = json.FindText("system");
  e.model = json.FindText("model");
  e.hardware = json.FindText("hardware");
  e.fidelity = json.FindText("fidelity");
  e.completed = static_cast<std::int64_t>(json.Count("completed"));
  e.saturated = file.json.value("saturated", false);
  e.extrapolated = file.json.value("extrapolated", false);
  e.ttft = ReadMean(json, "ttft");
  e.itl = ReadMean(json, "itl");
  e.slowest_ttft = ReadSlowest(json.Object("ttft_slowest_1pct"));
  e.slowest_itl = ReadSlowest(json.Object("itl_slowest_1pct"));
  ReadBounds(json.Object("iteration_bound"), metrics::kIterationBoundNames, e.iteration_bounds);
  ReadBounds(json.Object("batch_bound"), metrics::kBatchBoundNames, e.batch_bounds);
  const ResultJson kv = json.Object("kv");
  e.block_loads = static_cast<std::int64_t>(kv.Count("block_loads"));
  e.evictions = static_cast<std::int64_t>(kv.Count("evictions"));
  e.preemptions = static_cast<std::int64_t>(kv.Count("preemptions"));
  e.block_reloads = static_cast<std::int64_t>(json.Count("block_reloads"));
  return e;
}

bool IsMeasured(const std::string& directory) {
  const std::string path = SummaryPath(directory);
  const ResultFile file = LoadResult(path);
  return ResultJson(file.json, path).FindText("fidelity") == "measured";
}

bool IsSameSummary(const std::string& directory, const std::string& summary_json) {
  ResultJson::Json stored = LoadResult(SummaryPath(directory)).json;
  ResultJson::Json other = ResultJson::Json::parse(summary_json);
  stored.erase("perf");
  other.erase("perf");
  return stored == other;
}

}  // namespace sparseserve::report
