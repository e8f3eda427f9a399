// The parts of the HTML report that are files at build time: page, style and scripts of html/, and
// the chart library from its package. Defined in a file that embed.cmake writes. Private to
// sim/report.
#pragma once

#include <string_view>

namespace sparseserve::report {

extern const std::string_view kHtmlPage;         // html/page.html, with {{NAME}} for what goes in
extern const std::string_view kHtmlStyle;        // html/report.css
extern const std::string_view kHtmlScript;       // html/base.js, charts.js and page.js: all pages
extern const std::string_view kHtmlRunScript;    // html/report.js: draws runs
extern const std::string_view kHtmlSweepScript;  // html/intervals.js and sweep.js: draws a sweep
extern const std::string_view kHtmlPlanScript;   // html/intervals.js and plan.js: draws a plan
extern const std::string_view kHtmlChartScript;  // dygraph.min.js
extern const std::string_view kHtmlChartStyle;   // dygraph.min.css

}  // namespace sparseserve::report
