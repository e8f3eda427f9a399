// Figures from the JSON files of benchmarks. Private to sim/report.
#pragma once

#include "sim/report/result_json.h"
#include "sim/report/run_figures.h"

namespace sparseserve::report {

// The totals and latencies that our summary.json and vLLM's benchmark share by name and formula. A
// figure that the file lacks, and a latency of nothing, is left out.
void ReadSharedFigures(const ResultJson& json, RunFigures& figures);

// REQUIRES: IsVllmResult(json), IsAiperfProfile(json).
void ReadVllmResult(const ResultJson& json, RunFigures& figures);
void ReadAiperfProfile(const ResultJson& json, RunFigures& figures);

bool IsVllmResult(const ResultJson& json);
bool IsAiperfProfile(const ResultJson& json);

}  // namespace sparseserve::report
