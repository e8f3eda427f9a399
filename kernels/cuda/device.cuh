// Every device-side primitive that is not plain CUDA C++, each in one small function: cache hints,
// asynchronous copies, matrix fragments, packed conversions.
//
// Kernels live in .cuh files, use only this header and plain CUDA C++ (threadIdx, __syncthreads,
// __shfl_*_sync, __ballot_sync, atomics, dynamic shared memory through SharedMemory()). So they
// also compile with a host compiler against the emulation in tests/kernels/cuda/emulation.h, which
// runs each thread as a fiber: that is how their logic is tested where there is no GPU. The
// emulation's twins of these functions are in tests/kernels/cuda/emulated_device.h.
//
// PTX ISA 8.0 (CUDA 12.0) has all of it. What needs sm_90 says so, and traps on sm_80.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/bfloat16.h"

#ifndef SPARSESERVE_CUDA_EMULATION
#include <cuda_runtime.h>

namespace sparseserve::kernels::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

// The block's dynamic shared memory, aligned to 128 bytes.
__device__ __forceinline__ std::byte* SharedMemory() {
  extern __shared__ __align__(128) std::byte dynamic_shared_memory[];
  return dynamic_shared_memory;
}

__device__ __forceinline__ std::uint32_t SharedAddress(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// A __syncthreads of `num_threads` threads, whole warps; `id` 1 to 15 (0 is __syncthreads).
__device__ __forceinline__ void SyncSomeThreads(int id, int num_threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(num_threads) : "memory");
}

// --- loads and stores of 16 bytes; addresses are multiples of 16 ---------------------------------

// For data that is read once and that nobody writes while the kernel runs.
__device__ __forceinline__ uint4 LoadOnce(const void* global) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(__cvta_generic_to_global(global)));
  return value;
}

// Stores past L1; the lines stay in L2, where a kernel that comes next finds them.
__device__ __forceinline__ void StoreNoAllocate(void* global, uint4 value) {
  asm volatile("st.global.L1::no_allocate.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(
                   __cvta_generic_to_global(global)),
               "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}

// Stores what nobody on the device will read: first to leave the caches.
__device__ __forceinline__ void StoreStreaming(void* global, uint4 value) {
  asm volatile(
      "st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(global)),
      "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
      : "memory");
}

// --- copies of 16 bytes from global to shared memory in the background (sm_80) -------------------
// A thread's copies since its last CommitCopies are a group. WaitCopies<n> returns when all but the
// thread's latest n groups have landed; other threads see them after a __syncthreads that follows.

__device__ __forceinline__ void CopyAsync(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}

// Writes zeros if not `valid`; `global` must be a legal address all the same.
__device__ __forceinline__ void CopyAsyncOrZero(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int kPending>
__device__ __forceinline__ void WaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// --- tensor cores: fragments as in the PTX ISA, "Matrix fragments for mma.m16n8k16" --------------

// Loads four 8 x 8 matrices of 16-bit elements. Lane l gives the address of row l % 8 (16 bytes) of
// matrix l / 8, and gets elements (l / 4, 2 * (l % 4)) and the one right of it of each matrix.
__device__ __forceinline__ void LoadMatrices(std::uint32_t (&registers)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// The same of the transposed matrices: (2 * (l % 4), l / 4) and the one below it.
__device__ __forceinline__ void LoadMatricesTransposed(std::uint32_t (&registers)[4],
                                                       const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// Transposes an 8 x 8 matrix of 16-bit elements that lies in the lanes as LoadMatrices loads one.
__device__ __forceinline__ std::uint32_t TransposeMatrix(std::uint32_t matrix) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(matrix));
  return transposed;
}

// d += a b for bfloat16 a [16, 16] (row-major fragment), b [16, 8] (column-major fragment), float
// d. With g = lane / 4, t = 2 * (lane % 4): d[0..1] = (g, t..), d[2..3] = (g + 8, t..); a[0] = (g,
// t..), a[1] = (g + 8, t..), a[2] = (g, t + 8..), a[3] = (g + 8, t + 8..); b0 = (t.., g), b1 = (t
// + 8.., g). The lower half of a register is the first of the two.
__device__ __forceinline__ void MultiplyAdd(float (&d)[4], const std::uint32_t (&a)[4],
                                            std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- arithmetic ----------------------------------------------------------------------------------

// Two bfloat16, `low` in the lower half; rounded to nearest even.
__device__ __forceinline__ std::uint32_t PackBfloat16(float low, float high) {
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// The smaller and the larger of each of two bfloat16; of a number and a NaN the number.
__device__ __forceinline__ std::uint32_t MinBfloat16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t result;
  asm("min.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
  return result;
}
__device__ __forceinline__ std::uint32_t MaxBfloat16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t result;
  asm("max.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
  return result;
}

// Sine and cosine of pi * x, within 2 ulp.
__device__ __forceinline__ void SinCosPi(float x, float& sine, float& cosine) {
  sincospif(x, &sine, &cosine);
}

// 2^x within 2 ulp; 0 for -inf. Results below 2^-126 become 0.
__device__ __forceinline__ float Exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// --- barriers in shared memory and bulk copies (sm_90) -------------------------------------------
// A barrier counts arrivals and bytes; its phase ends when both have come, and the next begins.
// Waiting for parity p returns once a phase of parity p has ended: 0 for the first, 1, 0, ...

// One thread; then FenceBarrierInit by it, and __syncthreads, before anybody uses the barrier.
__device__ __forceinline__ void InitBarrier(std::uint64_t* barrier, std::uint32_t num_arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(num_arrivals)
               : "memory");
}

__device__ __forceinline__ void ArriveAtBarrier(std::uint64_t* barrier) {
  asm volatile("{\n\t.reg .b64 state;\n\tmbarrier.arrive.shared.b64 state, [%0];\n\t}" ::"r"(
                   SharedAddress(barrier))
               : "memory");
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ __forceinline__ void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::
                   : "memory");
}

// Makes this thread's ordinary writes to shared memory visible to bulk copies issued later, by any
// thread after a barrier between them.
__device__ __forceinline__ void FenceSharedForBulk() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Arrives, and lets the phase wait for `num_bytes` of bulk loads as well.
__device__ __forceinline__ void ArriveExpectingBytes(std::uint64_t* barrier,
                                                     std::uint32_t num_bytes) {
  asm volatile(
      "{\n\t.reg .b64 state;\n\t"
      "mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1;\n\t}" ::"r"(
          SharedAddress(barrier)),
      "r"(num_bytes)
      : "memory");
}

__device__ __forceinline__ void WaitAtBarrier(std::uint64_t* barrier, std::uint32_t parity) {
  std::uint32_t done = 0;
  while (done == 0) {  // the hardware suspends the thread for a while in each try
    asm volatile(
        "{\n\t.reg .pred done;\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n\t"
        "selp.u32 %0, 1, 0, done;\n\t}"
        : "=r"(done)
        : "r"(SharedAddress(barrier)), "r"(parity)
        : "memory");
  }
}

// Both addresses and the size are multiples of 16. Counts on `barrier` when the bytes have landed.
__device__ __forceinline__ void BulkLoad(void* shared, const void* global, std::uint32_t num_bytes,
                                         std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(num_bytes), "r"(SharedAddress(barrier))
      : "memory");
}

// Stores since the thread's last CommitBulkStores are a group. All must have been read, by
// WaitBulkStoresRead<0>, before the block ends or the shared memory is written again.
__device__ __forceinline__ void BulkStore(void* global, const void* shared,
                                          std::uint32_t num_bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                   __cvta_generic_to_global(global)),
               "r"(SharedAddress(shared)), "r"(num_bytes)
               : "memory");
}

__device__ __forceinline__ void CommitBulkStores() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// All but the thread's latest `kPending` groups have been read from shared memory.
template <int kPending>
__device__ __forceinline__ void WaitBulkStoresRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

// ... and are written, visible to this thread.
template <int kPending>
__device__ __forceinline__ void WaitBulkStores() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kPending) : "memory");
}

#else  // sm_80: kernels that use these are never launched there, but they are compiled

__device__ __forceinline__ void FenceBarrierInit() { __trap(); }
__device__ __forceinline__ void FenceSharedForBulk() { __trap(); }
__device__ __forceinline__ void ArriveExpectingBytes(std::uint64_t*, std::uint32_t) { __trap(); }
__device__ __forceinline__ void WaitAtBarrier(std::uint64_t*, std::uint32_t) { __trap(); }
__device__ __forceinline__ void BulkLoad(void*, const void*, std::uint32_t, std::uint64_t*) {
  __trap();
}
__device__ __forceinline__ void BulkStore(void*, const void*, std::uint32_t) { __trap(); }
__device__ __forceinline__ void CommitBulkStores() { __trap(); }
template <int kPending>
__device__ __forceinline__ void WaitBulkStoresRead() {
  __trap();
}
template <int kPending>
__device__ __forceinline__ void WaitBulkStores() {
  __trap();
}

#endif

}  // namespace sparseserve::kernels::cuda
#endif  // SPARSESERVE_CUDA_EMULATION

// --- what is the same in both --------------------------------------------------------------------
namespace sparseserve::kernels::cuda {

__device__ __forceinline__ float LowBfloat16(std::uint32_t packed) {
  return __uint_as_float(packed << 16);
}
__device__ __forceinline__ float HighBfloat16(std::uint32_t packed) {
  return __uint_as_float(packed & 0xffff0000u);
}

// Sum and maximum over groups of kLanes neighbouring lanes, a power of two; every lane of the warp
// takes part and gets its group's result. The butterfly adds in one fixed order, and since addition
// commutes all lanes get the same bits.
template <int kLanes = 32>
__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}
template <int kLanes = 32>
__device__ __forceinline__ float WarpMax(float value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

}  // namespace sparseserve::kernels::cuda
