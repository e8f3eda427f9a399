// A bfloat16 number: the upper half of an IEEE binary32. Storage only; arithmetic is done in float.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define SPARSESERVE_HOST_DEVICE __host__ __device__
#else
#define SPARSESERVE_HOST_DEVICE
#endif

namespace sparseserve::kernels {

struct Bfloat16 {
  std::uint16_t bits = 0;
};
static_assert(sizeof(Bfloat16) == 2);

SPARSESERVE_HOST_DEVICE constexpr float ToFloat(float x) { return x; }
SPARSESERVE_HOST_DEVICE inline float ToFloat(Bfloat16 x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16);
}

// Rounds to nearest, ties to even; a NaN stays a NaN.
SPARSESERVE_HOST_DEVICE inline Bfloat16 ToBfloat16(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace sparseserve::kernels
