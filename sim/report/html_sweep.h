// A sweep as the HTML report shows it: its effects as JSON, and the sentences that open the page.
// Private to sim/report.
#pragma once

#include <string>
#include <vector>

#include "sim/plan/contrast.h"
#include "sim/plan/sweep.h"

namespace sparseserve::report {

// What html/sweep.js draws. Shares are in %, their differences in points; what is not known (the
// interval of one seed, a figure that a run does not have) is null. An axis has numbers if all its
// labels begin with one and go on alike ("2/s", "8/s"; not "512 MiB", "1 GiB").
std::string SweepDataJson(const plan::Sweep& sweep, const plan::Contrast& contrast);

// For each metric the largest effect whose interval excludes zero, and how many of the comparisons
// are better and worse; the metric with the largest effect first. Comparisons in which neither side
// is saturated go before others.
std::vector<std::string> SweepConclusions(const plan::Contrast& contrast);

// Points that are missing, cannot run, are saturated or extrapolated; intervals that one seed does
// not give.
std::vector<std::string> SweepWarnings(const plan::Sweep& sweep, const plan::Contrast& contrast);

// "rate 8/s, cache small"; empty where there is no other axis.
std::string GroupText(const plan::Contrast& contrast, const plan::ContrastGroup& group);

}  // namespace sparseserve::report
