// The charts of a report as files for papers: NAME.tsv with the data and NAME.gp, a gnuplot script
// that draws NAME.svg and NAME.png from it.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace sparseserve::report {

// Writes into `out`, which is made if it is not there, the figures of the runs in or below
// `directories` (html_run.h says which). Returns the scripts, to be run in `out`. Throws InputError
// for the runs and std::system_error for files.
std::vector<std::string> WriteFigures(std::span<const std::string> directories,
                                      const std::string& out);

}  // namespace sparseserve::report
