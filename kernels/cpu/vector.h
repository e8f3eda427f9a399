// Eight floats at a time, in the vector types of GCC and clang: AVX2 and FMA where the file is
// compiled for them, else what the baseline has (two SSE or NEON registers).
//
// Every function is inlined, so no vector crosses a call. Sums have one order: lanes run along the
// summed index, ReduceEight joins the lanes of each of eight vectors by the same tree. So a sum has
// the same bits wherever a kernel's tiling puts it.
#pragma once

#include <cstdint>
#include <limits>
#ifdef __FMA__
#include <immintrin.h>
#endif

#include "kernels/bfloat16.h"

#define SPARSESERVE_INLINE inline __attribute__((always_inline))

// The build compiles the kernels once for each level; compute.cc chooses at run time.
#ifndef SPARSESERVE_CPU_LEVEL
#define SPARSESERVE_CPU_LEVEL baseline
#endif

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {

inline constexpr int kLanes = 8;
inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2 = 0.693147180559945309f;

typedef float Vector __attribute__((vector_size(32)));
typedef std::int32_t IntVector __attribute__((vector_size(32)));
typedef std::uint32_t BitVector __attribute__((vector_size(32)));
typedef std::uint16_t HalfBits __attribute__((vector_size(16)));

SPARSESERVE_INLINE Vector Broadcast(float x) { return Vector{x, x, x, x, x, x, x, x}; }

SPARSESERVE_INLINE Vector Load(const float* data) {
  Vector x;
  __builtin_memcpy(&x, data, sizeof(x));
  return x;
}
SPARSESERVE_INLINE Vector Load(const Bfloat16* data) {
  HalfBits bits;
  __builtin_memcpy(&bits, data, sizeof(bits));
  return reinterpret_cast<Vector>(__builtin_convertvector(bits, BitVector) << 16);
}
// The first `count` < 8 values, then zeros.
template <typename T>
SPARSESERVE_INLINE Vector LoadFirst(const T* data, std::int64_t count) {
  T values[kLanes] = {};
  for (int i = 0; i < kLanes; ++i) {
    if (i < count) values[i] = data[i];
  }
  return Load(values);
}

SPARSESERVE_INLINE void Store(float* data, Vector x) { __builtin_memcpy(data, &x, sizeof(x)); }
SPARSESERVE_INLINE void Store(Bfloat16* data, Vector x) {  // ToBfloat16
  const BitVector bits = reinterpret_cast<BitVector>(x);
  const BitVector rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const HalfBits y = __builtin_convertvector(
      (bits & 0x7fffffffu) > 0x7f800000u ? ((bits >> 16) | 0x40u) : rounded, HalfBits);
  __builtin_memcpy(static_cast<void*>(data), &y, sizeof(y));
}
template <typename T>
SPARSESERVE_INLINE void StoreFirst(T* data, Vector x, std::int64_t count) {
  T values[kLanes];
  Store(values, x);
  for (int i = 0; i < kLanes; ++i) {
    if (i < count) data[i] = values[i];
  }
}
SPARSESERVE_INLINE void StoreValue(float* data, float x) { *data = x; }
SPARSESERVE_INLINE void StoreValue(Bfloat16* data, float x) { *data = ToBfloat16(x); }

// a * b + c. -ffp-contract=off keeps the compiler from fusing where it likes.
SPARSESERVE_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) {
#ifdef __FMA__
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}
// Keeps GCC from reading a value again from memory for each use, which makes loads the bound.
SPARSESERVE_INLINE void KeepInRegister(Vector& x) {
#ifdef __AVX2__
  asm("" : "+x"(x));
#else
  (void)x;
#endif
}
SPARSESERVE_INLINE Vector Max(Vector a, Vector b) { return a > b ? a : b; }
SPARSESERVE_INLINE Vector Min(Vector a, Vector b) { return a < b ? a : b; }

// As the compiler counts how long a line is to stay.
enum class CacheLevel { kL2 = 2, kL1 = 3 };
template <typename T>
inline constexpr std::int64_t kPerLine = 64 / sizeof(T);  // values of a cache line

// Asks for the cache lines of `count` values, which need not exist.
template <CacheLevel kLevel = CacheLevel::kL1, typename T>
SPARSESERVE_INLINE void Prefetch(const T* data, std::int64_t count) {
  constexpr int kLocality = static_cast<int>(kLevel);
  for (std::int64_t i = 0; i < count; i += kPerLine<T>) __builtin_prefetch(data + i, 0, kLocality);
}

SPARSESERVE_INLINE Vector AddPairs(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}
// Returns {sum of lanes of x[0], ..., of x[7]}, each ((0+1)+(2+3)) + ((4+5)+(6+7)).
SPARSESERVE_INLINE Vector ReduceEight(const Vector x[8]) {
  const Vector low = AddPairs(AddPairs(x[0], x[1]), AddPairs(x[2], x[3]));
  const Vector high = AddPairs(AddPairs(x[4], x[5]), AddPairs(x[6], x[7]));
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 8, 9, 10, 11) +
         __builtin_shufflevector(low, high, 4, 5, 6, 7, 12, 13, 14, 15);
}
SPARSESERVE_INLINE float SumLanes(Vector x) {  // by the same tree
  return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
}
SPARSESERVE_INLINE float MaxLanes(Vector x) {
  const Vector y = Max(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3));
  const Vector z = Max(y, __builtin_shufflevector(y, y, 2, 3, 0, 1, 6, 7, 4, 5));
  return z[0] > z[1] ? z[0] : z[1];
}

// 2^x for x <= 0: 2^round(x), by the exponent bits, times the Taylor polynomial of degree 7 of
// 2^f, |f| <= 1/2. Cut off at 0.35^8 / 8! = 5e-9, so rounding decides: below 1.5 ulp. Exactly 1 for
// 0, and 0 below -125, -infinity included.
SPARSESERVE_INLINE Vector Exp2(Vector x) {
  constexpr float kShift = 12582912;               // 1.5 * 2^23: adding it rounds to an integer
  const Vector bounded = Max(Broadcast(-125), x);  // keeps a NaN
  const Vector shifted = bounded + kShift;
  const Vector f = bounded - (shifted - kShift);
  const BitVector exponent = reinterpret_cast<BitVector>(shifted) << 23;
  Vector y = Broadcast(1.52527338e-5f);  // ln(2)^i / i!, i = 7 .. 0
  y = MultiplyAdd(y, f, Broadcast(1.54035304e-4f));
  y = MultiplyAdd(y, f, Broadcast(1.33335581e-3f));
  y = MultiplyAdd(y, f, Broadcast(9.61812911e-3f));
  y = MultiplyAdd(y, f, Broadcast(5.55041087e-2f));
  y = MultiplyAdd(y, f, Broadcast(2.40226507e-1f));
  y = MultiplyAdd(y, f, Broadcast(kLn2));
  y = MultiplyAdd(y, f, Broadcast(1));
  const Vector scaled = reinterpret_cast<Vector>(reinterpret_cast<BitVector>(y) + exponent);
  return x < Broadcast(-125) ? Broadcast(0) : scaled;
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
