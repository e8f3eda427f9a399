// Finds the GPU and describes it.
#pragma once

#include <string>

#include "kernels/backend.h"

namespace sparseserve::kernels::cuda {

// Selects the device for the calling thread. Throws BackendUnavailable, in one line, if there is no
// driver, an older one than the runtime needs, no such device, or one below compute capability 8.0.
void SelectDevice(int device);
// An attribute of the device, e.g. cudaDevAttrMultiProcessorCount.
int ReadAttribute(int attribute, int device);
// major * 10 + minor.
int ReadComputeCapability(int device);
// The node whose memory is next to the device; negative where the system does not tell.
int FindDeviceNumaNode(int device);
// Clocks and driver come from NVML and read "unknown" where it is missing.
DeviceInfo DescribeDevice(int device);

}  // namespace sparseserve::kernels::cuda
