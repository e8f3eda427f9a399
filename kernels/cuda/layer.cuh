// The element-wise rest of a layer: norm, rotary embedding with the store of K and V, gated
// activation, embedding, argmax. Shapes are those of operations.h.
//
// Bound. All of them read their inputs once from HBM (the second reads of norm hit L1) and write
// once, for a few operations per element: HBM where there are many rows, latency where there are
// few.
//   norm            4 width bytes per row            embed   4 width bytes per token
//   rotate + store  (8 kv_heads + 4 q_heads) head_dim bytes per token, 4 kv_heads head_dim of which
//                   are the second copy of K and V  argmax  2 width bytes per row
//   gated           6 width bytes per row
// Geometry. Norm, argmax: one thread block per row. Rotate + store: one per token. Gated
// activation, embed: 8 elements per thread. 16 bytes per access where the width allows it (a
// multiple of 8).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector8.cuh"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kLayerThreads = 256;
inline constexpr int kLayerWarps = kLayerThreads / 32;
inline constexpr int kArgmaxThreads = 1024;  // a row may be all that there is: 256 KB of logits

// A row is taken in pieces of 8 elements where its width is a multiple of 8, so that all rows are
// aligned, else of one; of a Vector8 the first kPiece count.
//
// Calls body(first element) for the pieces of this thread, in rising order: the blocks of the
// grid's second dimension and their threads share the row.
template <int kPiece, typename Body>
__device__ __forceinline__ void ForEachPiece(std::int64_t width, const Body& body) {
  const std::int64_t step = std::int64_t{gridDim.y} * blockDim.x * kPiece;
#pragma unroll 4
  for (std::int64_t i = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kPiece; i < width;
       i += step) {
    body(i);
  }
}

template <int kPiece>
__device__ __forceinline__ Vector8 LoadPiece(const Bfloat16* from) {
  if constexpr (kPiece == kVector) return LoadVector(from);
  Vector8 v;
  v.at[0] = ToFloat(*from);
  return v;
}
template <int kPiece>
__device__ __forceinline__ void StorePiece(Bfloat16* to, const Vector8& v) {
  if constexpr (kPiece == kVector) {
    StoreVector(to, v);
  } else {
    *to = ToBfloat16(v.at[0]);
  }
}

// One piece per thread, so that few long rows use many SMs too.
inline dim3 MakeGrid(std::int64_t num_rows, std::int64_t width) {
  const std::int64_t blocks = (width + kLayerThreads * kVector - 1) / (kLayerThreads * kVector);
  return dim3(static_cast<unsigned>(num_rows),
              static_cast<unsigned>(std::min<std::int64_t>(blocks, 1024)));
}

// --- norm ----------------------------------------------------------------------------------------

template <int kPiece>
__global__ void __launch_bounds__(kLayerThreads) NormKernel(const NormParams params) {
  auto* sums = reinterpret_cast<float*>(SharedMemory());  // [warps]
  const auto* x = static_cast<const Bfloat16*>(params.x) + blockIdx.x * params.width;
  const auto* weight = static_cast<const Bfloat16*>(params.weight);
  auto* y = static_cast<Bfloat16*>(params.y) + blockIdx.x * params.width;
  float sum = 0;
  ForEachPiece<kPiece>(params.width, [&](std::int64_t i) {
    const Vector8 v = LoadPiece<kPiece>(x + i);
#pragma unroll
    for (int c = 0; c < kPiece; ++c) sum += v.at[c] * v.at[c];
  });
  sum = WarpSum(sum);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0;
  for (int w = 0; w < kLayerWarps; ++w) total += sums[w];
  const float scale = rsqrtf(total / static_cast<float>(params.width) + params.epsilon);
  // y may be x: a thread rereads only what it alone writes.
  ForEachPiece<kPiece>(params.width, [&](std::int64_t i) {
    Vector8 v = LoadPiece<kPiece>(x + i);
    const Vector8 w = LoadPiece<kPiece>(weight + i);
#pragma unroll
    for (int c = 0; c < kPiece; ++c) v.at[c] = v.at[c] * scale * w.at[c];
    StorePiece<kPiece>(y + i, v);
  });
}

void LaunchNorm(const NormParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  LaunchKernel(params.width % kVector == 0 ? NormKernel<kVector> : NormKernel<1>,
               dim3(static_cast<unsigned>(params.num_rows)), dim3(kLayerThreads),
               kLayerWarps * sizeof(float), params, context);
}

// --- rotary embedding and store ------------------------------------------------------------------
// Angles. position * theta^(-2 i / head_dim) at position 1,000,000 is 1.6e5 turns for i = 0: a
// float would keep two digits of the fraction. So the frequencies, in half turns per token, are
// computed in double on the host; the device multiplies and takes off whole turns in double (2e-11
// half turns of error at a million tokens), and only what is left, in [-1, 1], goes to sincospi in
// float.

struct RotateStoreKernelParams {
  RotateStoreParams op;
  double half_turns[64] = {};  // per position, of channel pair i; the first head_dim / 2 are used
};

struct RotateStoreShared {
  float sine[64], cosine[64];
};

template <int kHeadDim>
__global__ void __launch_bounds__(kLayerThreads)
    RotateStoreKernel(const RotateStoreKernelParams params) {
  constexpr int kHalf = kHeadDim / 2;
  constexpr int kPieces = kHalf / kVector;  // a thread moves one piece of each half of a head
  auto& angles = *reinterpret_cast<RotateStoreShared*>(SharedMemory());
  const RotateStoreParams& op = params.op;
  const std::int64_t token = blockIdx.x;
  const std::int64_t position = op.positions[token];
  if (threadIdx.x < kHalf) {
    const double angle = static_cast<double>(position) * params.half_turns[threadIdx.x];
    SinCosPi(static_cast<float>(angle - 2 * rint(angle / 2)), angles.sine[threadIdx.x],
             angles.cosine[threadIdx.x]);
  }
  __syncthreads();

  const int q_heads = op.kv_heads * op.group, num_heads = q_heads + 2 * op.kv_heads;
  const int block_tokens = op.layout.block_tokens;
  const auto in_block = static_cast<int>(position % block_tokens);
  const Bfloat16* qkv = static_cast<const Bfloat16*>(op.qkv) + token * num_heads * kHeadDim;
  const auto store = [](Bfloat16* head, int channel, const Vector8& low, const Vector8& high) {
    StoreVector(head + channel, low);
    StoreVector(head + kHalf + channel, high);
  };
  for (int i = threadIdx.x; i < num_heads * kPieces; i += kLayerThreads) {
    const int head = i / kPieces, channel = i % kPieces * kVector;
    Vector8 low = LoadVector(qkv + head * kHeadDim + channel);
    Vector8 high = LoadVector(qkv + head * kHeadDim + kHalf + channel);
    if (head < q_heads + op.kv_heads) {  // values are not rotated
#pragma unroll
      for (int c = 0; c < kVector; ++c) {
        const float sine = angles.sine[channel + c], cosine = angles.cosine[channel + c];
        const float x = low.at[c], y = high.at[c];
        low.at[c] = x * cosine - y * sine;
        high.at[c] = y * cosine + x * sine;
      }
    }
    if (head < q_heads) {
      auto* queries = static_cast<Bfloat16*>(op.queries);
      store(queries + (token * q_heads + head) * kHeadDim, channel, low, high);
      continue;
    }
    const int which = (head - q_heads) / op.kv_heads, kv_head = (head - q_heads) % op.kv_heads;
    const std::int32_t slot = op.slots[token * op.kv_heads + kv_head];
    if (slot >= 0) {
      const std::int64_t row = (std::int64_t{2} * slot + which) * block_tokens + in_block;
      store(static_cast<Bfloat16*>(op.blocks) + row * kHeadDim, channel, low, high);
    }
    if (op.fragments != nullptr) {
      const std::int64_t row = (2 * kv_head + which) * op.num_tokens + token;
      store(static_cast<Bfloat16*>(op.fragments) + row * kHeadDim, channel, low, high);
    }
  }
}

void LaunchRotateStore(const RotateStoreParams& params, const LaunchContext& context) {
  const std::int32_t head_dim = params.layout.head_dim;
  SPARSESERVE_CHECK(params.layout.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  SPARSESERVE_CHECK(head_dim == 64 || head_dim == 128, "head_dim is 64 or 128");
  RotateStoreKernelParams kernel{.op = params};
  for (int i = 0; i < head_dim / 2; ++i) {
    kernel.half_turns[i] =
        std::pow(static_cast<double>(params.theta), -2.0 * i / head_dim) / 3.14159265358979323846;
  }
  LaunchKernel(head_dim == 128 ? RotateStoreKernel<128> : RotateStoreKernel<64>,
               dim3(static_cast<unsigned>(params.num_tokens)), dim3(kLayerThreads),
               sizeof(RotateStoreShared), kernel, context);
}

// --- gated activation and embedding --------------------------------------------------------------

template <int kPiece>
__global__ void __launch_bounds__(kLayerThreads)
    GatedActivationKernel(const GatedActivationParams params) {
  const auto* gate = static_cast<const Bfloat16*>(params.x) + blockIdx.x * 2 * params.width;
  const auto* up = gate + params.width;
  auto* y = static_cast<Bfloat16*>(params.y) + blockIdx.x * params.width;
  ForEachPiece<kPiece>(params.width, [&](std::int64_t i) {
    Vector8 g = LoadPiece<kPiece>(gate + i);
    const Vector8 u = LoadPiece<kPiece>(up + i);
#pragma unroll
    for (int c = 0; c < kPiece; ++c) g.at[c] = g.at[c] / (1.f + __expf(-g.at[c])) * u.at[c];
    StorePiece<kPiece>(y + i, g);
  });
}

void LaunchGatedActivation(const GatedActivationParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  LaunchKernel(
      params.width % kVector == 0 ? GatedActivationKernel<kVector> : GatedActivationKernel<1>,
      MakeGrid(params.num_rows, params.width), dim3(kLayerThreads), 0, params, context);
}

template <int kPiece>
__global__ void __launch_bounds__(kLayerThreads) EmbedKernel(const EmbedParams params) {
  const auto* from =
      static_cast<const Bfloat16*>(params.table) + params.tokens[blockIdx.x] * params.width;
  auto* to = static_cast<Bfloat16*>(params.y) + blockIdx.x * params.width;
  ForEachPiece<kPiece>(params.width, [&](std::int64_t i) {
    StorePiece<kPiece>(to + i, LoadPiece<kPiece>(from + i));
  });
}

void LaunchEmbed(const EmbedParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  LaunchKernel(params.width % kVector == 0 ? EmbedKernel<kVector> : EmbedKernel<1>,
               MakeGrid(params.num_tokens, params.width), dim3(kLayerThreads), 0, params, context);
}

// --- argmax --------------------------------------------------------------------------------------

// A logit and where it is; the better of two is the larger, of equal ones the earlier. NaN loses.
struct Candidate {
  float value;
  int index;  // -1: none
};

__device__ __forceinline__ Candidate Better(Candidate a, Candidate b) {
  const bool take_b = b.index >= 0 && (a.index < 0 || b.value > a.value ||
                                       (b.value == a.value && b.index < a.index));
  return take_b ? b : a;
}

template <int kPiece>
__global__ void __launch_bounds__(kArgmaxThreads) ArgmaxKernel(const ArgmaxParams params) {
  auto* shared = reinterpret_cast<Candidate*>(SharedMemory());  // [warps]
  const auto* logits = static_cast<const Bfloat16*>(params.logits) + blockIdx.x * params.width;
  Candidate best{0, -1};
  ForEachPiece<kPiece>(params.width, [&](std::int64_t i) {
    const Vector8 v = LoadPiece<kPiece>(logits + i);
#pragma unroll
    for (int c = 0; c < kPiece; ++c) {
      if (v.at[c] == v.at[c]) best = Better(best, {v.at[c], static_cast<int>(i) + c});
    }
  });
  for (int distance = 16; distance > 0; distance /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best.value, distance);
    best = Better(best, {value, __shfl_xor_sync(kAllLanes, best.index, distance)});
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kArgmaxThreads / 32; ++w) best = Better(best, shared[w]);
  params.indices[blockIdx.x] = max(best.index, 0);  // a row of NaN: its first
}

void LaunchArgmax(const ArgmaxParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  LaunchKernel(params.width % kVector == 0 ? ArgmaxKernel<kVector> : ArgmaxKernel<1>,
               dim3(static_cast<unsigned>(params.num_rows)), dim3(kArgmaxThreads),
               kArgmaxThreads / 32 * sizeof(Candidate), params, context);
}

}  // namespace sparseserve::kernels::cuda
