// Transfers by the copy engines, no kernel: the baselines, and the fastest way for large pieces.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <vector>

#include "kernels/operations.h"

namespace sparseserve::kernels::cuda {

// One cudaMemcpyAsync for each block or fragment.
void LoadByCopies(const LoadParams& params, cudaStream_t stream);
void SaveByCopies(const SaveParams& params, cudaStream_t stream);

// One cudaMemcpyBatchAsync for all blocks. The call came with CUDA 12.8 and changed its parameters
// in 13.0; we ask the driver for the first form, which all since have.
class BatchCopier {
 public:
  BatchCopier();

  // Whether toolkit and driver have the call.
  bool is_supported() const { return function_ != nullptr; }
  // Throws DeviceError. REQUIRES: is_supported().
  void Load(const LoadParams& params, cudaStream_t stream);

 private:
  void* function_ = nullptr;
  // Of the call under way; kept for their capacity.
  std::vector<unsigned long long> destinations_, sources_;  // CUdeviceptr
  std::vector<std::size_t> sizes_;
};

}  // namespace sparseserve::kernels::cuda
