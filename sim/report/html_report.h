// One HTML file that shows runs, a sweep or a plan, in any browser and without a network.
//
// It formats the numbers of the files and computes none that sim/metrics should. Texts of the
// files go into the page escaped, and its content security policy forbids every request.
#pragma once

#include <span>
#include <string>

namespace sparseserve::report {

// The report on the runs in or below `directories` (html_run.h says which). `title` may be empty:
// the models and the hardware are then the title. Throws InputError.
std::string HtmlReport(std::span<const std::string> directories, const std::string& title);

// The report on the sweep in a store of `sparseserve sweep`: effects along its contrast. `title`
// may be empty: the name of the sweep is then the title. Throws InputError.
std::string HtmlSweepReport(const std::string& store, const std::string& title);

// The report on a plan, from plan.csv, pareto.csv and best_config_topn.csv in `directory`; the last
// one may be missing. `title` may be empty. Throws InputError.
std::string HtmlPlanReport(const std::string& directory, const std::string& title);
// Whether `directory` holds a plan.
bool HoldsPlan(const std::string& directory);

}  // namespace sparseserve::report
