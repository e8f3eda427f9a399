// The charts of a report as files for papers: data as text, a gnuplot script beside it, and what
// gnuplot makes of them (SVG and PNG).
#pragma once

#include <span>
#include <string>
#include <vector>

namespace sparseserve::report {

struct FigureFiles {
  std::vector<std::string> scripts;  // NAME.gp, each with NAME.tsv beside it
  bool drawn = false;  // NAME.svg and NAME.png as well; false where gnuplot is not installed
};

// Writes into `out`, which is made if it is not there, the figures of the runs in or below
// `directories` (html_run.h says which). Throws InputError for the runs, std::system_error for
// files, and std::runtime_error when gnuplot fails.
FigureFiles WriteFigures(std::span<const std::string> directories, const std::string& out);

}  // namespace sparseserve::report
