#include "sim/report/html_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/core/error.h"
#include "sim/metrics/time_parts.h"
#include "sim/report/result_json.h"
#include "sim/report/run_directory.h"
#include "sim/report/run_reader.h"
#include "traces/csv.h"
#include "traces/fields.h"

namespace sparseserve::report {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kEvenPoints = 400;
constexpr std::size_t kTailPoints = 100;
constexpr double kTailShare = 0.01;
constexpr std::uintmax_t kMaxConfigBytes = std::uintmax_t{256} << 10;
constexpr std::array<std::string_view, 3> kRoles = {"measured", "replayed", "predicted"};

struct Place {
  fs::path directory;
  std::string role;
};

bool HoldsRun(const fs::path& directory) {
  std::error_code error;
  return fs::exists(directory / kSummaryFile, error);
}

// The run in `directory`, or the measured one and its predictions.
std::vector<Place> RunsAt(const fs::path& directory) {
  if (HoldsRun(directory)) return {{directory, ""}};
  std::vector<Place> places;
  for (const std::string_view role : kRoles)
    if (HoldsRun(directory / role)) places.push_back({directory / role, std::string(role)});
  return places;
}

std::vector<Place> RunsBelow(const fs::path& directory) {
  if (!fs::exists(directory))
    throw InputError({{directory.string(), 0, 0}, "", "no such directory", "", ""});
  std::vector<Place> places = RunsAt(directory);
  if (!places.empty()) return places;
  std::vector<fs::path> children;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error))
    children.push_back(entry->path());
  std::sort(children.begin(), children.end());
  for (const fs::path& child : children)
    for (Place& place : RunsAt(child)) places.push_back(std::move(place));
  if (places.empty()) {
    throw InputError({{directory.string(), 0, 0},
                      "",
                      "holds no run",
                      "a directory with summary.json, or one written by 'sparseserve simulate' or "
                      "'sparseserve live'",
                      ""});
  }
  return places;
}

// A text as it stands; empty where there is no such file, an extract of one that is too large.
std::string TextOf(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return "";
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(std::min(size, kMaxConfigBytes)), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (size > kMaxConfigBytes) text += "\n... (cut off)\n";
  return text;
}

// {"queue": 1.5, ...}: the mean of each part, in milliseconds.
Breakdown BreakdownOf(const nlohmann::json& summary, const std::string& key) {
  Breakdown parts;
  const auto found = summary.find(key);
  if (found == summary.end() || !found->is_object()) return parts;
  for (const std::string_view name : metrics::kPartNames) {
    const auto part = found->find(std::string(name));
    if (part != found->end() && part->is_number()) parts.emplace_back(name, part->get<double>());
  }
  return parts;
}

void ReadSummary(const fs::path& path, ReportRun& run) {
  const ResultFile file = LoadResult(path.string());
  const ResultJson json(file.json, path.string());
  const auto flag = [&](const char* key) {
    const auto found = file.json.find(key);
    if (found == file.json.end() || !found->is_boolean())
      json.Fail(key, "is no truth value", "true or false");
    return found->get<bool>();
  };
  run.failed = static_cast<std::int64_t>(json.Count("failed"));
  run.num_replicas = json.Count("replicas");
  run.warmup_requests = static_cast<std::int64_t>(json.FindCount("warmup_requests").value_or(0));
  run.saturated = flag("saturated");
  run.extrapolated = flag("extrapolated");
  run.slo_attainment = json.FindNumber("slo_attainment");
  if (json.HasObject("memory_per_gpu"))
    run.hbm_kv_bytes = json.Object("memory_per_gpu").FindNumber("hbm_kv_bytes");
  run.ttft_breakdown_ms = BreakdownOf(file.json, "ttft_breakdown_ms");
  run.itl_breakdown_ms = BreakdownOf(file.json, "itl_breakdown_ms");
}

// A cell of milliseconds onto `values`; empty cells are no value.
void AddCell(const traces::CsvReader& csv, std::size_t column, std::vector<float>& values) {
  if (column >= csv.fields().size())
    throw InputError({csv.where(), "", fmt::format("{} fields", csv.fields().size()),
                      fmt::format("{}", csv.header().size()), ""});
  const std::string_view text = csv.fields()[column];
  if (text.empty()) return;
  const std::optional<std::int64_t> ns = traces::ParseScaled(text, 6);
  if (!ns || *ns < 0) {
    throw InputError({csv.where(), csv.header()[column],
                      traces::Quote(text) + " is out of range or no number",
                      "milliseconds, 0 or more, or nothing", ""});
  }
  values.push_back(static_cast<float>(1e-6 * static_cast<double>(*ns)));
}

void ReadRequests(const fs::path& path, ReportRun& run) {
  traces::CsvReader csv(traces::LineReader(path.string()));
  const std::array columns = {csv.Require("ttft_ms"), csv.Require("tpot_ms"),
                              csv.Require("e2el_ms")};
  std::array<std::vector<float>, columns.size()> values;
  for (std::int64_t row = 0; csv.Next(); ++row) {
    if (row < run.warmup_requests) continue;
    for (std::size_t i = 0; i < columns.size(); ++i) AddCell(csv, columns[i], values[i]);
  }
  run.ttft_ms = ThinnedCdf(values[0]);
  run.tpot_ms = ThinnedCdf(values[1]);
  run.e2el_ms = ThinnedCdf(values[2]);
}

ReportRun ReadRun(const Place& place) {
  ReportRun run;
  run.figures = ReadRunFigures(place.directory.string());
  run.name = run.figures.system;
  run.role = place.role;
  ReadSummary(place.directory / kSummaryFile, run);
  ReadRequests(place.directory / kRequestsFile, run);
  run.series = ReadTimeSeries((place.directory / kIterationsFile).string());
  run.config = TextOf(place.directory / kConfigFile);
  run.summary = TextOf(place.directory / kSummaryFile);
  return run;
}

void NameApart(std::vector<ReportRun>& runs) {
  std::map<std::string, int> count;
  for (const ReportRun& run : runs) ++count[run.label()];
  for (ReportRun& run : runs)
    if (run.name.empty() || count[run.label()] > 1) run.name = run.figures.source;
}

}  // namespace

Cdf ThinnedCdf(std::vector<float>& values) {
  std::sort(values.begin(), values.end());
  const std::size_t count = values.size();
  std::vector<std::size_t> ranks;
  const auto add_ranks = [&](std::size_t first, std::size_t points) {
    for (std::size_t i = 0; i < points; ++i)
      ranks.push_back(first + i * (count - 1 - first) / (points - 1));
  };
  if (count <= kEvenPoints + kTailPoints) {
    for (std::size_t i = 0; i < count; ++i) ranks.push_back(i);
  } else {
    add_ranks(0, kEvenPoints);
    add_ranks(count - static_cast<std::size_t>(std::ceil(kTailShare * static_cast<double>(count))),
              kTailPoints);
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  }
  Cdf points;
  points.reserve(ranks.size());
  for (const std::size_t rank : ranks)
    points.push_back(
        {values[rank], 100 * static_cast<double>(rank + 1) / static_cast<double>(count)});
  return points;
}

std::vector<ReportRun> ReadReportRuns(std::span<const std::string> directories) {
  std::vector<Place> places;
  for (const std::string& directory : directories)
    for (Place& place : RunsBelow(directory)) places.push_back(std::move(place));
  if (places.size() > kMaxReportRuns) {
    throw InputError({{directories.front(), 0, 0},
                      "",
                      fmt::format("{} runs do not fit one report", places.size()),
                      fmt::format("at most {}", kMaxReportRuns),
                      "name the directories of some"});
  }
  std::vector<ReportRun> runs;
  for (const Place& place : places) runs.push_back(ReadRun(place));
  NameApart(runs);
  return runs;
}

}  // namespace sparseserve::report
