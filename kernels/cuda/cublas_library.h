// Matrix products by cuBLAS, which is opened at run time: nothing needs it to build or to start.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "kernels/cuda/shared_library.h"
#include "kernels/operations.h"

namespace sparseserve::kernels::cuda {

// A handle bound to one stream. Its workspace is our own, without which two equal calls might run
// other algorithms and give other bits (cuBLAS documentation, "Results Reproducibility").
class CublasLibrary {
 public:
  // 32 MiB: what the documentation advises for Hopper.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  // Throws BackendUnavailable where no cuBLAS is found. `workspace` is device memory.
  CublasLibrary(cudaStream_t stream, void* workspace);
  ~CublasLibrary();
  CublasLibrary(const CublasLibrary&) = delete;
  CublasLibrary& operator=(const CublasLibrary&) = delete;

  // Enqueues y = x w^T (+ y), bfloat16 with sums in float.
  void Gemm(const GemmParams& params);

 private:
  void Check(int status, const char* call) const;

  const SharedLibrary library_;
  void* handle_ = nullptr;
};

}  // namespace sparseserve::kernels::cuda
