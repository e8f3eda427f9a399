// The breakdowns and bounds of a run as they stand in summary.json and in the output of `explain`.
// Private to sim/report.
#pragma once

#include <nlohmann/json.hpp>

#include "sim/report/explanation.h"

namespace sparseserve::report {

// Appends ttft_breakdown_ms ... block_reloads (README.md).
void AddAttribution(const Explanation& explanation, nlohmann::ordered_json& json);

}  // namespace sparseserve::report
