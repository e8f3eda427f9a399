// What a person reads of a calibration: how each operation's curve was made and how far it is off.
#pragma once

#include <string>

#include "calibration/record.h"

namespace sparseserve::report {

// A median hold-out error above this is worth a warning.
inline constexpr double kTolerableError = 0.10;

// One row for each operation: form, points fitted, points held out with the median and the 95th
// percentile of the curve's relative error on them, range. Below, a line for each operation whose
// median error is above kTolerableError, and one for those that were not measured.
std::string CalibrationTable(const calibration::Record& record);

}  // namespace sparseserve::report
