#include "kernels/cuda/copies.h"

#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/check.h"
#if CUDART_VERSION >= 12080
#include <cuda.h>
#include <cudaTypedefs.h>
#endif

namespace sparseserve::kernels::cuda {

void LoadByCopies(const LoadParams& params, cudaStream_t stream) {
  for (std::int64_t i = 0; i < params.num_moves; ++i) {
    const BlockMove& move = params.moves[i];
    if (move.source < 0) continue;
    SPARSESERVE_CUDA_CHECK(cudaMemcpyAsync(params.hbm + move.destination * params.block_bytes,
                                           params.dram + move.source * params.block_bytes,
                                           static_cast<std::size_t>(params.block_bytes),
                                           cudaMemcpyHostToDevice, stream));
  }
}

void SaveByCopies(const SaveParams& params, cudaStream_t stream) {
  for (std::int64_t i = 0; i < params.num_moves; ++i) {
    const FragmentMove& move = params.moves[i];
    if (move.source < 0) continue;
    SPARSESERVE_CUDA_CHECK(cudaMemcpyAsync(params.dram + move.destination, params.hbm + move.source,
                                           static_cast<std::size_t>(params.fragment_bytes),
                                           cudaMemcpyDeviceToHost, stream));
  }
}

#if CUDART_VERSION >= 12080

BatchCopier::BatchCopier() {
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuMemcpyBatchAsync", &function_,
                                                             12080, cudaEnableDefault, &result);
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) {
    static_cast<void>(cudaGetLastError());  // an older driver: not supported, no error
    function_ = nullptr;
  }
}

void BatchCopier::Load(const LoadParams& params, cudaStream_t stream) {
  destinations_.clear();
  sources_.clear();
  for (std::int64_t i = 0; i < params.num_moves; ++i) {
    const BlockMove& move = params.moves[i];
    if (move.source < 0) continue;
    destinations_.push_back(
        reinterpret_cast<CUdeviceptr>(params.hbm + move.destination * params.block_bytes));
    sources_.push_back(
        reinterpret_cast<CUdeviceptr>(params.dram + move.source * params.block_bytes));
  }
  if (sources_.empty()) return;
  sizes_.assign(sources_.size(), static_cast<std::size_t>(params.block_bytes));
  // In the order of the stream: a block may have been saved just before, which an event of another
  // lane orders; "any order" would read it too early.
  CUmemcpyAttributes attributes = {};
  attributes.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  std::size_t attributes_begin = 0;
  std::size_t failed = 0;
  const auto copy = reinterpret_cast<PFN_cuMemcpyBatchAsync_v12080>(function_);
  const CUresult error = copy(destinations_.data(), sources_.data(), sizes_.data(), sizes_.size(),
                              &attributes, &attributes_begin, 1, &failed, stream);
  if (error != CUDA_SUCCESS) {
    throw DeviceError("cuMemcpyBatchAsync of " + std::to_string(sizes_.size()) +
                      " blocks: CUDA driver error " + std::to_string(static_cast<int>(error)) +
                      " at copy " + std::to_string(failed));
  }
}

#else  // CUDA 12.0 to 12.7

BatchCopier::BatchCopier() = default;
void BatchCopier::Load(const LoadParams&, cudaStream_t) {
  throw DeviceError("cudaMemcpyBatchAsync came with CUDA 12.8");
}

#endif

}  // namespace sparseserve::kernels::cuda
