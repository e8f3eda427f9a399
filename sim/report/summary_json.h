// summary.json: the figures of one run, for scripts. Field names and order are a contract with
// users; README.md says what each one means.
#pragma once

#include <string>
#include <string_view>

#include "sim/serving/simulation.h"

namespace sparseserve::report {

inline constexpr std::string_view kSummarySchema = "sparseserve-summary/1";

// Equal runs give equal bytes, "perf" apart. Aborts on a number that is not finite.
std::string SummaryJson(const serving::RunResult& run);

}  // namespace sparseserve::report
