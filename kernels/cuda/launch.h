// How a kernel is started: one function for real streams and for the emulation, so that the code
// that chooses grids and shared memory runs in both.
//
// A kernel takes exactly one parameter struct by value (at most 4 KB, the limit before CUDA 12.1).
// A .cuh file with a kernel in it is included by one .cu file only.
#pragma once

#include <cstddef>

#include "kernels/operations.h"
#ifndef SPARSESERVE_CUDA_EMULATION  // the emulation's header comes first and has its own types
#include <cuda_runtime_api.h>

#include "kernels/cuda/check.h"
#endif

namespace sparseserve::kernels::cuda {

struct LaunchContext {
  cudaStream_t stream = nullptr;
  int num_sms = 1;
  int compute_capability = 80;     // 80, 90: major * 10 + minor
  std::byte* workspace = nullptr;  // device memory; valid until the kernels of this call are done
  std::size_t workspace_bytes = 0;
};

// Static shared memory and dynamic up to here need no permission.
inline constexpr std::size_t kDefaultSharedBytes = std::size_t{48} << 10;

// Enqueues `kernel`; an empty grid is no work. The parameters are copied. Errors of the launch are
// thrown here, errors of the run by a later call.
template <typename Params>
void LaunchKernel(void (*kernel)(Params), dim3 grid, dim3 block, std::size_t shared_bytes,
                  const Params& params, const LaunchContext& context) {
  static_assert(sizeof(Params) <= 4096, "kernel parameters are limited to 4 KB");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#ifdef SPARSESERVE_CUDA_EMULATION
  static_cast<void>(context);
  emulation::Run(grid, block, shared_bytes, [&] { kernel(params); });
#else
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > kDefaultSharedBytes) {
    SPARSESERVE_CUDA_CHECK(cudaFuncSetAttribute(
        function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
  }
  void* arguments[] = {const_cast<void*>(static_cast<const void*>(&params))};
  SPARSESERVE_CUDA_CHECK(
      cudaLaunchKernel(function, grid, block, arguments, shared_bytes, context.stream));
#endif
}

// Sets device memory to `value`, byte by byte.
inline void LaunchFill(void* destination, std::byte value, std::size_t num_bytes,
                       const LaunchContext& context) {
  if (num_bytes == 0) return;
#ifdef SPARSESERVE_CUDA_EMULATION
  static_cast<void>(context);
  emulation::Fill(destination, value, num_bytes);
#else
  SPARSESERVE_CUDA_CHECK(
      cudaMemsetAsync(destination, static_cast<int>(value), num_bytes, context.stream));
#endif
}

}  // namespace sparseserve::kernels::cuda
