// The data of an HTML report as JSON: what html/report.js draws. Private to sim/report.
#pragma once

#include <span>
#include <string>

#include "sim/report/html_run.h"

namespace sparseserve::report {

// ASCII without '<', '>' and '&', so that no text of a run can end the element that holds it.
std::string ReportDataJson(std::span<const ReportRun> runs);

}  // namespace sparseserve::report
