// What the operating system says about this machine's processor and memory.
#pragma once

#include <string>

#include "kernels/backend.h"
#include "sim/core/units.h"

namespace sparseserve::kernels::cpu {

// A text is "unknown" and a size 0 where the system does not tell.
DeviceInfo ReadCpuInfo();
// The last-level cache that the first core sees; 0 where the system does not tell.
Bytes ReadLastLevelCache();

}  // namespace sparseserve::kernels::cpu
