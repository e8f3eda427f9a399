// What the attention kernels share: limits of their shapes and the arithmetic of partial softmax.
// A partial softmax is a maximum in base 2 (scores times log2(e), so that exp2 serves) and a sum.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kMinBlockTokens = 16;  // one mma tile never spans two blocks

inline constexpr float kMinusInfinity = -__builtin_huge_valf();

// The maximum to subtract: 0 if there is nothing yet, because -inf - -inf would be NaN.
__device__ __forceinline__ float SoftmaxBase(float max) {
  return max == kMinusInfinity ? 0.f : max;
}

// The natural logarithm of sum * 2^max.
__device__ __forceinline__ float LogSumExp(float max, float sum) {
  constexpr float kLn2 = 0.693147180559945309f;
  return sum > 0 ? max * kLn2 + logf(sum) : kMinusInfinity;
}

inline float ScaleInBase2(float scale) {
  return static_cast<float>(static_cast<double>(scale) * 1.4426950408889634074);
}

inline void CheckAttentionLayout(const KvLayout& layout) {
  SPARSESERVE_CHECK(layout.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  SPARSESERVE_CHECK(layout.head_dim == 64 || layout.head_dim == 128, "head_dim is 64 or 128");
  SPARSESERVE_CHECK(layout.block_tokens >= kMinBlockTokens &&
                        std::has_single_bit(static_cast<std::uint32_t>(layout.block_tokens)),
                    "block_tokens is a power of two, 16 or more");
}

inline std::int32_t Log2(std::int32_t power_of_two) {
  return std::countr_zero(static_cast<std::uint32_t>(power_of_two));
}

}  // namespace sparseserve::kernels::cuda
