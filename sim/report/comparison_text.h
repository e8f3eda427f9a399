// A comparison for people and for scripts. compare.json and compare.csv hold what the table shows,
// unrounded; README.md explains them.
#pragma once

#include <string>
#include <string_view>

#include "sim/report/comparison.h"
#include "sim/report/table.h"

namespace sparseserve::report {

inline constexpr std::string_view kComparisonSchema = "sparseserve-comparison/1";

// A row per metric that one side knows at least, "-" where the other does not; which component
// explains the gap; the verdict on the key metrics. Ends with a line end.
std::string ComparisonText(const Comparison& comparison, Style style = Style::kTerminal);

std::string ComparisonJson(const Comparison& comparison);
std::string ComparisonCsv(const Comparison& comparison);

// Leaves compare.json, compare.csv and compare.md in the directory, which is made if it is not
// there. Throws std::system_error.
void WriteComparison(const std::string& directory, const Comparison& comparison);

// "B's iterations take 6.2 % of A's duration less than A's; of that 4.1 points are attention, ...".
std::string GapSentence(const GapExplanation& gap);
// "beyond the tolerance of 10 %: TTFT mean +12.3 %", or that there is none.
std::string Verdict(const Comparison& comparison);
// One line per metric: name, unit, definition.
std::string MetricDefinitions();

}  // namespace sparseserve::report
