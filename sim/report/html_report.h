// One HTML file that shows a run or compares runs, in any browser and without a network.
//
// It formats the numbers of the runs' files and computes none that sim/metrics should. Texts of the
// runs go into the page escaped, and its content security policy forbids every request.
#pragma once

#include <span>
#include <string>

namespace sparseserve::report {

// The report on the runs in or below `directories` (html_run.h says which). `title` may be empty:
// the models and the hardware are then the title. Throws InputError.
std::string HtmlReport(std::span<const std::string> directories, const std::string& title);

}  // namespace sparseserve::report
