// The backend of NVIDIA GPUs: real kernels, three streams, pinned memory.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace sparseserve::kernels::cuda {

// Throws BackendUnavailable with one clear line where there is no GPU that it can run on.
//
// Beside the contract of Backend: host pointers lie in memory of AllocateHost. bfloat16 only. Wait
// for the event of a staged save blocks the caller, since threads of the CPU complete it.
std::unique_ptr<Backend> MakeCudaBackend(const BackendConfig& config);

}  // namespace sparseserve::kernels::cuda
