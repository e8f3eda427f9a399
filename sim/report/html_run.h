// A run as the HTML report shows it: the figures of `compare`, latencies and series thinned to what
// a page can hold. Private to sim/report.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/report/html_series.h"
#include "sim/report/run_figures.h"

namespace sparseserve::report {

// Points of an empirical distribution: `share` of the values, in %, are at most `value`. Each point
// is an order statistic; up to 500 values all of them, else 400 evenly spaced ranks and 100 more
// in the top 1 %.
struct CdfPoint {
  double value;
  double share;
};
using Cdf = std::vector<CdfPoint>;
// Reorders `values`.
Cdf ThinnedCdf(std::vector<float>& values);

// Where a latency goes on average, as summary.json has it ("queue": 12.5 ms).
using Breakdown = std::vector<std::pair<std::string, double>>;

struct ReportRun {
  std::string name;  // of the system; the path where two runs share a name
  std::string role;  // "measured", "replayed", "predicted" of a live run, else empty
  RunFigures figures;
  std::string config;   // config.resolved.yaml
  std::string summary;  // summary.json as it is
  std::int64_t failed = 0;
  std::int64_t warmup_requests = 0;  // not in the latencies
  double num_replicas = 1;
  std::optional<double> hbm_kv_bytes;  // HBM for KV of one GPU
  std::optional<double> slo_attainment;
  bool saturated = false;
  bool extrapolated = false;
  Cdf ttft_ms, tpot_ms, e2el_ms;
  Breakdown ttft_breakdown_ms, itl_breakdown_ms;
  TimeSeries series;

  std::string label() const { return role.empty() ? name : name + " " + role; }
};

inline constexpr std::size_t kMaxReportRuns = 32;

// The runs in or below the directories, in their order and below one in the order of names: a
// directory of `simulate` or `live`, of one of its systems, or of one run. Throws InputError when a
// directory holds no run, a run is torn, or there are more than kMaxReportRuns.
std::vector<ReportRun> ReadReportRuns(std::span<const std::string> directories);

}  // namespace sparseserve::report
