// A machine on which every operation takes `factor` times as long: what an error of the calibration
// would mean. All rates are divided by it, all latencies multiplied; sizes stay, and so does the
// engine's host work, which is no part of a calibration.
#pragma once

#include "calibration/record.h"
#include "models/hardware/hardware.h"

namespace sparseserve::serving {

hardware::Machine StretchTimes(hardware::Machine machine, double factor);
calibration::Record StretchTimes(calibration::Record record, double factor);

}  // namespace sparseserve::serving
