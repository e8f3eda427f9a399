// Turns the error codes of the CUDA runtime into exceptions; in destructors, into a line of log.
#pragma once

#include <cuda_runtime_api.h>

namespace sparseserve::kernels::cuda {

// Throws DeviceError "file:line: call: name: text", or std::bad_alloc where memory ran out.
[[noreturn]] void ThrowCudaError(cudaError_t error, const char* call, const char* file, int line);
// Prints the same text to stderr. For destructors and other places that must not throw.
void LogCudaError(cudaError_t error, const char* call, const char* file, int line) noexcept;

}  // namespace sparseserve::kernels::cuda

#define SPARSESERVE_CUDA_CHECK(call)                                                        \
  do {                                                                                      \
    const cudaError_t cuda_error_ = (call);                                                 \
    if (cuda_error_ != cudaSuccess) [[unlikely]]                                            \
      ::sparseserve::kernels::cuda::ThrowCudaError(cuda_error_, #call, __FILE__, __LINE__); \
  } while (false)

#define SPARSESERVE_CUDA_LOG(call)                                                        \
  do {                                                                                    \
    const cudaError_t cuda_error_ = (call);                                               \
    if (cuda_error_ != cudaSuccess) [[unlikely]]                                          \
      ::sparseserve::kernels::cuda::LogCudaError(cuda_error_, #call, __FILE__, __LINE__); \
  } while (false)
