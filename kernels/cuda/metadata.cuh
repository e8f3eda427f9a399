// Metadata of full KV blocks: min and max, cuboid around the mean, or mean of the keys, by channel.
//
//     blocks [slot, 2, block_tokens, head_dim]      metadata [entry, vectors, head_dim]
//
// Bound. The keys of a block are read once from HBM (2 * block_tokens * head_dim bytes; the second
// pass of the cuboid finds them in L1) and 2 * vectors * head_dim bytes are written, for about five
// operations per key element: HBM. At 32 x 128 a thread block has the 8 KiB of its keys in flight;
// registers allow 9 on an SM, 72 KiB.
//
// Geometry. Grid: one block per KV block, 128 threads: head_dim / 8 columns of 16 bytes by 16 or 8
// groups of tokens. The groups meet in shared memory (12 KiB) and are joined in index order.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector8.cuh"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kMetadataThreads = 128;

// What the thread groups exchange: partial results [group, head_dim], flat.
struct MetadataShared {
  float min[kMetadataThreads * kVector];
  float max[kMetadataThreads * kVector];
  float sum[kMetadataThreads * kVector];
};

template <int kHeadDim>
__global__ void __launch_bounds__(kMetadataThreads)
    BuildMetadataKernel(const MetadataParams params) {
  constexpr int kColumns = kHeadDim / kVector;
  constexpr int kGroups = kMetadataThreads / kColumns;
  auto& shared = *reinterpret_cast<MetadataShared*>(SharedMemory());
  const int first_channel = threadIdx.x % kColumns * kVector;
  const int group = threadIdx.x / kColumns;
  const int block_tokens = params.layout.block_tokens;
  const Bfloat16* keys = static_cast<const Bfloat16*>(params.blocks) +
                         std::int64_t{2} * params.slots[blockIdx.x] * block_tokens * kHeadDim +
                         first_channel;

  Vector8 low, high, sum;
#pragma unroll
  for (int c = 0; c < kVector; ++c) {
    low.at[c] = __uint_as_float(0x7f800000u);
    high.at[c] = -low.at[c];
    sum.at[c] = 0;
  }
#pragma unroll 4
  for (int token = group; token < block_tokens; token += kGroups) {
    const Vector8 key = LoadVector(keys + token * kHeadDim);
#pragma unroll
    for (int c = 0; c < kVector; ++c) {
      low.at[c] = fminf(low.at[c], key.at[c]);
      high.at[c] = fmaxf(high.at[c], key.at[c]);
      sum.at[c] += key.at[c];
    }
  }
  const int own = group * kHeadDim + first_channel;
#pragma unroll
  for (int c = 0; c < kVector; ++c) {
    shared.min[own + c] = low.at[c];
    shared.max[own + c] = high.at[c];
    shared.sum[own + c] = sum.at[c];
  }
  __syncthreads();

  const int num_vectors = params.kind == MetadataKind::kMean ? 1 : 2;
  auto* metadata =
      static_cast<Bfloat16*>(params.metadata) + params.entries[blockIdx.x] * num_vectors * kHeadDim;
  const int channel = threadIdx.x;  // below head_dim: writes this channel's result
  float center = 0;
  if (channel < kHeadDim) {
    float channel_min = shared.min[channel], channel_max = shared.max[channel], total = 0;
    for (int g = 0; g < kGroups; ++g) {
      channel_min = fminf(channel_min, shared.min[g * kHeadDim + channel]);
      channel_max = fmaxf(channel_max, shared.max[g * kHeadDim + channel]);
      total += shared.sum[g * kHeadDim + channel];
    }
    center = (channel_max + channel_min) / 2;
    if (params.kind == MetadataKind::kMinMax) {
      metadata[channel] = ToBfloat16(channel_min);
      metadata[kHeadDim + channel] = ToBfloat16(channel_max);
    } else if (params.kind == MetadataKind::kMean) {
      metadata[channel] = ToBfloat16(total / static_cast<float>(block_tokens));
    }
  }
  if (params.kind != MetadataKind::kCuboidMean) return;

  __syncthreads();  // minima and maxima have been read
  if (channel < kHeadDim) shared.min[channel] = center;
  __syncthreads();
  Vector8 distance;
#pragma unroll
  for (int c = 0; c < kVector; ++c) distance.at[c] = 0;
#pragma unroll 4
  for (int token = group; token < block_tokens; token += kGroups) {
    const Vector8 key = LoadVector(keys + token * kHeadDim);
#pragma unroll
    for (int c = 0; c < kVector; ++c) {
      distance.at[c] += fabsf(shared.min[first_channel + c] - key.at[c]);
    }
  }
#pragma unroll
  for (int c = 0; c < kVector; ++c) shared.sum[own + c] = distance.at[c];
  __syncthreads();
  if (channel < kHeadDim) {
    float total = 0;
    for (int g = 0; g < kGroups; ++g) total += shared.sum[g * kHeadDim + channel];
    const float radius = total / static_cast<float>(block_tokens);
    metadata[channel] = ToBfloat16(center - radius);
    metadata[kHeadDim + channel] = ToBfloat16(center + radius);
  }
}

void LaunchBuildMetadata(const MetadataParams& params, const LaunchContext& context) {
  const std::int32_t head_dim = params.layout.head_dim;
  SPARSESERVE_CHECK(params.layout.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  SPARSESERVE_CHECK(head_dim == 64 || head_dim == 128, "head_dim is 64 or 128");
  LaunchKernel(head_dim == 128 ? BuildMetadataKernel<128> : BuildMetadataKernel<64>,
               dim3(static_cast<unsigned>(params.num_blocks)), dim3(kMetadataThreads),
               sizeof(MetadataShared), params, context);
}

}  // namespace sparseserve::kernels::cuda
