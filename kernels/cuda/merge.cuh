// Joins two partial attentions over disjoint keys by their log-sum-exps: a := a joined with b.
//
//     a, b [num_rows, head_dim]                     lse_a, lse_b [num_rows] float
//
// Bound. 6 * head_dim + 12 bytes and 4 * head_dim FLOPs per row: HBM.
// Geometry. head_dim / 8 lanes per row, 16 bytes each; 256 threads per block.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector8.cuh"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kMergeThreads = 256;

template <int kHeadDim>
__global__ void __launch_bounds__(kMergeThreads) MergeKernel(const MergeParams params) {
  constexpr int kLanes = kHeadDim / kVector;
  const std::int64_t thread = std::int64_t{blockIdx.x} * kMergeThreads + threadIdx.x;
  const std::int64_t row = thread / kLanes;
  const bool valid = row < params.num_rows;
  const float lse_a = valid ? params.lse_a[row] : kMinusInfinity;
  const float lse_b = valid ? params.lse_b[row] : kMinusInfinity;
  __syncwarp();  // the lanes of a row have read lse_a before one of them writes it
  if (!valid || lse_b == kMinusInfinity) return;
  const std::int64_t offset = thread * kVector;  // lanes of a row are neighbours, so are rows
  auto* a = static_cast<Bfloat16*>(params.a) + offset;
  const auto* b = static_cast<const Bfloat16*>(params.b) + offset;
  const float max = fmaxf(lse_a, lse_b);
  const float weight_a = expf(lse_a - max), weight_b = expf(lse_b - max);
  const float sum = weight_a + weight_b;
  Vector8 joined = Unpack(LoadOnce(b));
  if (lse_a != kMinusInfinity) {  // else `a` counts for nothing, whatever it holds
    const Vector8 own = LoadVector(a);
#pragma unroll
    for (int c = 0; c < kVector; ++c) {
      joined.at[c] = (weight_a * own.at[c] + weight_b * joined.at[c]) / sum;
    }
  }
  StoreVector(a, joined);
  if (thread % kLanes == 0) params.lse_a[row] = max + logf(sum);
}

void LaunchMerge(const MergeParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  SPARSESERVE_CHECK(params.head_dim == 64 || params.head_dim == 128, "head_dim is 64 or 128");
  const std::int64_t threads = params.num_rows * params.head_dim / kVector;
  LaunchKernel(params.head_dim == 128 ? MergeKernel<128> : MergeKernel<64>,
               dim3(static_cast<unsigned>((threads + kMergeThreads - 1) / kMergeThreads)),
               dim3(kMergeThreads), 0, params, context);
}

}  // namespace sparseserve::kernels::cuda
