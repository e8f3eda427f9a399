// Reads iterations.csv back, in one pass: the figures of iterations. Private to sim/report.
#pragma once

#include <cstdint>
#include <string>

#include "sim/report/run_figures.h"

namespace sparseserve::report {

// Fills what the file knows of the metrics of iterations, and `busy` except for its duration;
// leaves both out where there is no iteration. Throws InputError for a file that is torn or wrong,
// and for a number of rows other than `num_iterations`.
void ReadIterations(const std::string& path, std::int64_t num_iterations, double num_replicas,
                    RunFigures& figures);

}  // namespace sparseserve::report
