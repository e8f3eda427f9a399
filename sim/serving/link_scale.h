// A host link that is faster or slower than the machine's: "what would one more GB/s change?".
//
// Scaled are the link's rates and what the calibration record's transfers take per byte. What a
// copy costs by itself (launch, per item), DRAM, the CPU threads that scatter, and slowdowns of
// compute stay as they are, so a transfer that is bound by its calls gains little, as it would.
#pragma once

#include "calibration/record.h"
#include "models/hardware/hardware.h"

namespace sparseserve::serving {

// REQUIRES: scale > 0; 1 changes nothing.
hardware::Machine ScaleLink(const hardware::Machine& machine, double scale);
// The h2d.* and d2h.* curves. A measured grid cannot be told apart into bytes and calls: its bytes
// are taken to have crossed at the machine's rate, and no time shrinks by more than the scale.
calibration::Record ScaleLink(const calibration::Record& record, const hardware::Machine& machine,
                              double scale);

}  // namespace sparseserve::serving
