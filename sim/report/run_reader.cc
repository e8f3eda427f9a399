#include "sim/report/run_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "sim/core/error.h"
#include "sim/report/benchmark_reader.h"
#include "sim/report/iterations_reader.h"
#include "sim/report/result_json.h"
#include "sim/report/run_directory.h"
#include "sim/report/summary_json.h"

namespace sparseserve::report {
namespace {

namespace fs = std::filesystem;

using enum Metric;

struct Share {
  const char* key;
  Metric metric;
};
constexpr Share kShares[] = {
    {"compute", kComputeShare},
    {"attention", kAttentionShare},
    {"load_stall", kLoadStallShare},
    {"save_stall", kSaveStallShare},
    {"host", kHostShare},
    {"idle", kIdleShare},
};

bool IsSummary(const ResultJson& json) {
  return json.Has("schema") && json.FindText("schema").starts_with("sparseserve-summary/");
}

void ReadTransfers(const ResultJson& json, RunFigures& figures) {
  const ResultJson kv = json.Object("kv");
  const ResultJson lanes = json.Object("lane_busy");
  const double bytes = kv.Count("h2d_bytes");
  const double busy_s = lanes.Number("h2d_s");
  figures[kBlockLoads] = kv.Count("block_loads");
  figures[kH2dBytes] = bytes;
  figures[kD2hBytes] = kv.Count("d2h_bytes");
  figures[kH2dBusy] = busy_s;
  figures[kD2hBusy] = lanes.Number("d2h_s");
  if (busy_s > 0) figures[kLoadBandwidth] = bytes / busy_s / 1e9;
  // Without a selection nothing can hit; the summary then says 1.
  if (json.Object("perf").Number("block_touches") > 0)
    figures[kHitRate] = 100 * kv.Number("hit_rate");
}

// The contract of summary.json: a key that is missing is a fault.
void ReadSummary(const ResultJson& json, RunFigures& figures) {
  if (const std::string schema = json.FindText("schema"); schema != kSummarySchema)
    json.Fail("schema", "'" + schema + "' is not known here", std::string(kSummarySchema));
  figures.kind = "run";
  ReadSharedFigures(json, figures);
  figures.system = json.FindText("system");
  figures.model = json.FindText("model");
  figures.hardware = json.FindText("hardware");
  figures.seed = json.FindText("seed");
  figures.num_requests = static_cast<std::int64_t>(json.Count("completed") + json.Count("failed"));
  figures[kIterations] = json.Count("iterations");
  const ResultJson shares = json.Object("time_share");
  for (const Share& share : kShares) figures[share.metric] = 100 * shares.Number(share.key);
  ReadTransfers(json, figures);
}

RunFigures ReadDirectory(const std::string& path) {
  const std::string summary = (fs::path(path) / kSummaryFile).string();
  if (!fs::exists(summary)) {
    throw InputError(
        {{path, 0, 0}, "", "holds no summary.json", "the directory of a run", RunBelow(path)});
  }
  const ResultFile file = LoadResult(summary);
  const ResultJson json(file.json, summary);
  RunFigures figures;
  ReadSummary(json, figures);
  const double num_replicas = json.Count("replicas");
  if (num_replicas < 1) json.Fail("replicas", "0 is out of range", "1 or more");
  ReadIterations((fs::path(path) / kIterationsFile).string(),
                 static_cast<std::int64_t>(*figures[kIterations]), num_replicas, figures);
  const double duration_s = json.Number("duration");
  if (duration_s == 0) figures.busy.reset();
  if (figures.busy) figures.busy->duration_s = duration_s;
  return figures;
}

RunFigures ReadFile(const std::string& path) {
  const ResultFile file = LoadResult(path);
  const ResultJson json(file.json, path);
  RunFigures figures;
  if (file.num_objects > 1)
    figures.remarks.push_back(
        fmt::format("holds {} results; the last one is read", file.num_objects));
  if (IsSummary(json)) {
    ReadSummary(json, figures);
  } else if (IsAiperfProfile(json)) {
    ReadAiperfProfile(json, figures);
  } else if (IsVllmResult(json)) {
    ReadVllmResult(json, figures);
  } else {
    throw InputError({{path, 0, 0},
                      "",
                      "no known result",
                      "the directory of a run, the JSON of 'vllm bench serve --save-result', or "
                      "AIPerf's profile_export_aiperf.json",
                      ""});
  }
  return figures;
}

}  // namespace

// Runs lie one level below what `simulate --out` names: "did you mean out/vllm?".
std::string RunBelow(const std::string& path) {
  std::vector<std::string> runs;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    if (fs::exists(entry->path() / kSummaryFile, error)) runs.push_back(entry->path().string());
  }
  if (runs.empty()) return "";
  return "did you mean '" + *std::min_element(runs.begin(), runs.end()) + "'?";
}

RunFigures ReadRunFigures(const std::string& path) {
  RunFigures figures = fs::is_directory(path) ? ReadDirectory(path) : ReadFile(path);
  figures.source = path;
  return figures;
}

}  // namespace sparseserve::report
