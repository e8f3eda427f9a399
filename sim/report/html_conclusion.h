// The sentences that open a report: what the runs show, and what to beware of. Private to
// sim/report.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sim/report/html_run.h"

namespace sparseserve::report {

// What the numbers say, the most important first: for one run what it gives and where its time
// goes; for several which has the highest output throughput and the lowest mean TTFT, by how much,
// and who is as good (within 1 %); for live runs how far the predictions are off.
// REQUIRES: !runs.empty().
std::vector<std::string> Conclusions(std::span<const ReportRun> runs);

// Saturated and extrapolated runs, failed requests, and what should be equal between the runs and
// is not.
std::vector<std::string> Warnings(std::span<const ReportRun> runs);

}  // namespace sparseserve::report
