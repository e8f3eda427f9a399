// Runs CUDA kernels on a CPU, one fiber a thread, to test their logic where there is no GPU.
//
// Usage. Include this header first in a .cc file, then the .cuh files with kernels and their Launch
// functions, and call those with host memory and an empty LaunchContext: a launch is done when it
// returns. It defines SPARSESERVE_CUDA_EMULATION and the CUDA C++ that the kernels use; what is
// missing here is added here. The file needs -Wno-unknown-pragmas (#pragma unroll).
//
// Blocks run one after another; the threads of one take turns, each until it waits: at a barrier, a
// warp collective or a copy. So a kernel must not wait for a block that comes later, and data races
// within a stretch between two waits show only through the order of turns: forward in every other
// block, backward in the rest, and SetTurnOrder swaps the two. Dynamic shared memory is a fresh
// heap block of the exact size (for AddressSanitizer), filled with 0xff: NaN, -1. `__shared__`
// variables are function statics and keep what the last block left. Asynchronous copies poison
// their destination at once and happen as late as they may: when somebody waits for them.
//
// Run throws EmulationError where a GPU would hang or do something undefined:
//  - threads wait at a barrier or collective that others never reach, having exited or waiting
//    elsewhere, or reach with another mask (stricter than CUDA, which lets exited threads pass);
//  - a lane calls a collective without being in its mask;
//  - misaligned addresses of 16-byte operations; bulk copies in flight when the block ends.
// Not modelled: memory order, proxies and their fences, bank conflicts, registers, time.
#pragma once

#define SPARSESERVE_CUDA_EMULATION 1
// The namespace sparseserve::kernels::cuda: a test links the real functions beside these.
#define cuda emulated_cuda

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <type_traits>

// --- language ------------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using cudaStream_t = struct EmulatedStream*;

// Of the thread whose turn it is.
inline uint3 threadIdx;
inline uint3 blockIdx;
inline dim3 blockDim;
inline dim3 gridDim;
inline constexpr int warpSize = 32;

// --- engine --------------------------------------------------------------------------------------
namespace sparseserve::kernels::cuda::emulation {

class EmulationError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Runs `thread_body` for each thread of the grid; returns when all are done.
void Run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread_body);
// 0: blocks with an even index run their threads forward, 1: those with an odd one.
void SetTurnOrder(int parity);
void Fill(void* destination, std::byte value, std::size_t num_bytes);

// What kernels call, on a fiber.
std::byte* SharedBytes();
// Waits until `num_threads` threads (0: the whole block) are at barrier `id`; returns the sum of
// their values.
int Barrier(const char* operation, int id, int num_threads, int value);
// Waits until all lanes of `mask` are here; then `combine` runs once, with the `data` of each lane
// of the mask (null for the others).
using Combine = void (*)(void* (&lanes)[32]);
void Collect(const char* operation, unsigned mask, void* data, Combine combine);
// Waits until `is_ready()`.
void WaitUntil(const char* operation, const std::function<bool()>& is_ready);
[[noreturn]] void Fail(const char* what);
unsigned LaneIndex();

template <typename T>
struct ShuffleLane {
  T value;
  int source;  // within the warp; one that is not in the mask gives the lane's own value
  T result;
};

template <typename T>
T Shuffle(const char* operation, unsigned mask, T value, int source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  ShuffleLane<T> lane{value, source, value};
  Collect(operation, mask, &lane, [](void*(&lanes)[32]) {
    for (void* pointer : lanes) {
      if (pointer == nullptr) continue;
      auto& to = *static_cast<ShuffleLane<T>*>(pointer);
      const void* from = lanes[to.source];
      if (from == nullptr) Fail("a shuffle reads from a lane outside its mask");
      to.result = static_cast<const ShuffleLane<T>*>(from)->value;
    }
  });
  return lane.result;
}

unsigned Ballot(const char* operation, unsigned mask, bool predicate);
// The values of the lanes of `mask`, joined in lane order.
unsigned Reduce(const char* operation, unsigned mask, unsigned value,
                unsigned (*join)(unsigned, unsigned));

}  // namespace sparseserve::kernels::cuda::emulation

// --- synchronisation -----------------------------------------------------------------------------
namespace emulation = sparseserve::kernels::cuda::emulation;

inline void __syncthreads() { emulation::Barrier("__syncthreads", 0, 0, 0); }
inline int __syncthreads_count(int predicate) {
  return emulation::Barrier("__syncthreads_count", 0, 0, predicate != 0);
}
inline int __syncthreads_or(int predicate) {
  return emulation::Barrier("__syncthreads_or", 0, 0, predicate != 0) > 0;
}
inline int __syncthreads_and(int predicate) {
  return emulation::Barrier("__syncthreads_and", 0, 0, predicate == 0) == 0;
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
[[noreturn]] inline void __trap() { emulation::Fail("__trap"); }

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return emulation::Ballot("__ballot_sync", mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate) {
  return emulation::Ballot("__any_sync", mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return emulation::Ballot("__all_sync", mask, predicate == 0) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulation::Ballot("__syncwarp", mask, false);
}
inline unsigned __activemask() = delete;  // depends on how the hardware schedules

// `width` is a power of two; lanes outside it give the lane's own value, as on the device.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int lane = static_cast<int>(emulation::LaneIndex());
  return emulation::Shuffle("__shfl_sync", mask, value,
                            (lane & ~(width - 1)) | (source & (width - 1)));
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
  const int lane = static_cast<int>(emulation::LaneIndex());
  const int source = lane ^ lane_mask;
  const bool is_own = source / width > lane / width;  // a lower group may be read
  return emulation::Shuffle("__shfl_xor_sync", mask, value, is_own ? lane : source);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  const int lane = static_cast<int>(emulation::LaneIndex());
  const int source = lane - static_cast<int>(distance);
  return emulation::Shuffle("__shfl_up_sync", mask, value,
                            source < (lane & ~(width - 1)) ? lane : source);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  const int lane = static_cast<int>(emulation::LaneIndex());
  const int source = lane + static_cast<int>(distance);
  return emulation::Shuffle("__shfl_down_sync", mask, value,
                            source > (lane | (width - 1)) ? lane : source);
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  return emulation::Reduce("__reduce_add_sync", mask, value,
                           [](unsigned a, unsigned b) { return a + b; });
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
  return emulation::Reduce("__reduce_min_sync", mask, value,
                           [](unsigned a, unsigned b) { return std::min(a, b); });
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  return emulation::Reduce("__reduce_max_sync", mask, value,
                           [](unsigned a, unsigned b) { return std::max(a, b); });
}

// --- atomics: turns never interleave within one --------------------------------------------------
template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  const T old = *address;
  *address = value;
  return old;
}
template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address + value));
}
template <typename T>
T atomicSub(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address - value));
}
template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, std::max(*address, value));
}
template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, std::min(*address, value));
}
template <typename T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address | value));
}
template <typename T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address & value));
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return atomicExch(address, *address >= limit ? 0u : *address + 1);
}
template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}

// --- arithmetic ----------------------------------------------------------------------------------
using std::max;
using std::min;

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1;
}
template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}

#include "tests/kernels/cuda/emulated_device.h"
