// The emulation is what all tests of CUDA kernels without a GPU rest on, so it is held against the
// CUDA programming guide and the PTX ISA here.
#include "tests/kernels/cuda/emulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "sim/core/rng.h"

namespace sparseserve::kernels::cuda {
namespace {

using emulation::EmulationError;
using ::testing::HasSubstr;

struct IntParams {
  int* out = nullptr;
  int variant = 0;
};

// The message of the EmulationError that a launch throws; empty if it does not.
template <typename Params>
std::string LaunchAndCatch(void (*kernel)(Params), unsigned num_threads, const Params& params,
                           std::size_t shared_bytes = 1024) {
  try {
    LaunchKernel(kernel, dim3(1), dim3(num_threads), shared_bytes, params, {});
  } catch (const EmulationError& error) {
    return error.what();
  }
  return "";
}

__global__ void IndexKernel(IntParams params) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  params.out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}

TEST(EmulationTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> out(2 * 3 * 2 * 5 * 2 * 3);
  LaunchKernel(IndexKernel, dim3(2, 3, 2), dim3(5, 2, 3), 0, IntParams{out.data()}, {});
  EXPECT_THAT(out, ::testing::Each(1));
  LaunchKernel(IndexKernel, dim3(0), dim3(5), 0, IntParams{nullptr}, {});  // an empty grid
}

__global__ void ReverseKernel(IntParams params) {
  int* const shared = reinterpret_cast<int*>(SharedMemory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (params.variant == 0) __syncthreads();
  params.out[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST(EmulationTest, ABarrierLetsThreadsSeeWhatAllWroteBefore) {
  std::vector<int> out(96);
  LaunchKernel(ReverseKernel, dim3(2), dim3(96), 96 * 4, IntParams{out.data()}, {});
  for (int i = 0; i < 96; ++i) EXPECT_EQ(out[i], 95 - i);
}

TEST(EmulationTest, AMissingBarrierShowsInEitherOrderOfTurns) {
  for (const int parity : {0, 1}) {
    emulation::SetTurnOrder(parity);
    std::vector<int> out(96);
    LaunchKernel(ReverseKernel, dim3(1), dim3(96), 96 * 4, IntParams{out.data(), 1}, {});
    // Who comes first finds what shared memory was filled with.
    EXPECT_EQ(out[parity == 0 ? 0 : 95], -1);
  }
  emulation::SetTurnOrder(0);
}

__global__ void CountKernel(IntParams params) {
  const int odd = static_cast<int>(threadIdx.x % 2);
  const int count = __syncthreads_count(odd);
  const int any = __syncthreads_or(threadIdx.x == 7);
  const int all = __syncthreads_and(threadIdx.x != 7);
  atomicAdd(params.out, count * 100 + any * 10 + all);
}

TEST(EmulationTest, BarriersCountAndVote) {
  int out = 0;
  LaunchKernel(CountKernel, dim3(1), dim3(40), 0, IntParams{&out}, {});
  EXPECT_EQ(out, 40 * (20 * 100 + 10));
}

__global__ void NamedBarrierKernel(IntParams params) {
  volatile int* const shared = reinterpret_cast<int*>(SharedMemory());
  const bool is_producer = threadIdx.x < 32;
  if (threadIdx.x < 64) {  // the third warp takes no part
    if (is_producer) shared[threadIdx.x] = static_cast<int>(threadIdx.x) + 5;
    SyncSomeThreads(3, 64);
    if (!is_producer) params.out[threadIdx.x - 32] = shared[63 - threadIdx.x];
  }
}

TEST(EmulationTest, ANamedBarrierIsForSomeWarps) {
  std::vector<int> out(32);
  LaunchKernel(NamedBarrierKernel, dim3(2), dim3(96), 128, IntParams{out.data()}, {});
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], 31 - i + 5);
}

__global__ void HangKernel(IntParams params) {
  switch (params.variant) {
    case 0:  // one exits
      if (threadIdx.x == 5) return;
      __syncthreads();
      break;
    case 1:  // half a warp takes another branch
      if (threadIdx.x < 16) {
        __syncthreads();
      } else {
        __syncwarp();
      }
      break;
    case 2:  // a mask that says more than who comes
      if (threadIdx.x < 8) __ballot_sync(0xffffu, 1);
      break;
    case 3:  // masks that differ
      __any_sync(threadIdx.x % 32 == 0 ? 0xffffffffu : 0xfffffffeu, 1);
      break;
    case 4:  // not in the mask
      __shfl_sync(1u, 1, 0);
      break;
    case 5:  // reads from a lane that takes no part
      if (threadIdx.x < 8) __shfl_sync(0xffu, 1, 20);
      break;
    case 6:
      if (threadIdx.x % 2 == 0) {
        __syncthreads_or(1);
      } else {
        __syncthreads();
      }
      break;
    case 7:
      __trap();
    default:
      LoadOnce(reinterpret_cast<const std::byte*>(params.out) + 8);
  }
}

TEST(EmulationTest, WhatWouldHangOrBeUndefinedFails) {
  alignas(16) int out[8] = {};
  const char* const expected[] = {"[1 threads, the first (5, 0, 0): exited] [63 threads",
                                  "hangs",
                                  "waits at __ballot_sync with mask 65535",
                                  "waits at __any_sync",
                                  "not in the mask",
                                  "outside its mask",
                                  "different barriers",
                                  "__trap",
                                  "misaligned"};
  for (int variant = 0; variant < 9; ++variant) {
    EXPECT_THAT(LaunchAndCatch(HangKernel, 64, IntParams{out, variant}),
                HasSubstr(expected[variant]));
  }
  // What was cancelled leaves nothing behind.
  std::vector<int> fine(96);
  LaunchKernel(ReverseKernel, dim3(1), dim3(96), 96 * 4, IntParams{fine.data()}, {});
  EXPECT_EQ(fine[0], 95);
}

__global__ void ShuffleKernel(IntParams params) {
  const int lane = static_cast<int>(threadIdx.x);
  int* const out = params.out + lane * 8;
  out[0] = __shfl_sync(kAllLanes, lane, 3);
  out[1] = __shfl_sync(kAllLanes, lane, 11, 8);  // 3 within the group of 8
  out[2] = __shfl_xor_sync(kAllLanes, lane, 5);
  out[3] = __shfl_up_sync(kAllLanes, lane, 2u);
  out[4] = __shfl_down_sync(kAllLanes, lane, 2u);
  out[5] = __shfl_up_sync(kAllLanes, lane, 1u, 4);
  out[6] = __shfl_down_sync(kAllLanes, lane, 3u, 16);
  out[7] = __shfl_xor_sync(kAllLanes, lane, 8, 8);
}

TEST(EmulationTest, ShufflesReadFromTheLaneThatTheGuideSays) {
  std::vector<int> out(32 * 8);
  LaunchKernel(ShuffleKernel, dim3(1), dim3(32), 0, IntParams{out.data()}, {});
  for (int lane = 0; lane < 32; ++lane) {
    const int* const x = out.data() + lane * 8;
    EXPECT_EQ(x[0], 3);
    EXPECT_EQ(x[1], lane / 8 * 8 + 3);
    EXPECT_EQ(x[2], lane ^ 5);
    EXPECT_EQ(x[3], lane < 2 ? lane : lane - 2);
    EXPECT_EQ(x[4], lane > 29 ? lane : lane + 2);
    EXPECT_EQ(x[5], lane % 4 == 0 ? lane : lane - 1);
    EXPECT_EQ(x[6], lane % 16 > 12 ? lane : lane + 3);
    EXPECT_EQ(x[7], lane % 16 < 8 ? lane : lane - 8);  // a lower group may be read
  }
}

struct VoteParams {
  unsigned* out = nullptr;
};

__global__ void VoteKernel(VoteParams params) {
  const unsigned lane = threadIdx.x % 32;
  unsigned* const out = params.out + threadIdx.x * 4;
  out[0] = __ballot_sync(kAllLanes, lane % 3 == 0);
  if (lane < 8) {  // a part of the warp
    out[1] = __ballot_sync(0xffu, lane >= 6);
    out[2] = static_cast<unsigned>(__any_sync(0xffu, lane == 9));
    out[3] = static_cast<unsigned>(__all_sync(0xffu, lane < 8));
  }
}

TEST(EmulationTest, VotesGatherThePredicatesOfTheirMask) {
  std::vector<unsigned> out(64 * 4, 77);
  LaunchKernel(VoteKernel, dim3(1), dim3(64), 0, VoteParams{out.data()}, {});
  unsigned thirds = 0;
  for (unsigned lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
  for (unsigned thread = 0; thread < 64; ++thread) {
    const bool is_in_mask = thread % 32 < 8;
    EXPECT_EQ(out[thread * 4], thirds);
    EXPECT_EQ(out[thread * 4 + 1], is_in_mask ? 0xc0u : 77);
    EXPECT_EQ(out[thread * 4 + 2], is_in_mask ? 0u : 77);
    EXPECT_EQ(out[thread * 4 + 3], is_in_mask ? 1u : 77);
  }
}

struct ReduceParams {
  const float* in = nullptr;
  float* out = nullptr;
};

__global__ void ReduceKernel(ReduceParams params) {
  const float x = params.in[threadIdx.x];
  params.out[threadIdx.x] = WarpSum(x);
  params.out[32 + threadIdx.x] = WarpMax<8>(x);
}

TEST(EmulationTest, WarpReductionsGiveAllLanesTheSame) {
  std::vector<float> in(32), out(64);
  for (int i = 0; i < 32; ++i) in[i] = static_cast<float>((i * 7) % 32);
  LaunchKernel(ReduceKernel, dim3(1), dim3(32), 0, ReduceParams{in.data(), out.data()}, {});
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(out[i], 31 * 32 / 2);
    EXPECT_EQ(out[32 + i], *std::max_element(in.begin() + i / 8 * 8, in.begin() + i / 8 * 8 + 8));
  }
}

__global__ void IntegerReduceKernel(VoteParams params) {
  if (threadIdx.x < 3) return;
  const unsigned mask = kAllLanes << 3;
  params.out[3 * threadIdx.x] = __reduce_add_sync(mask, threadIdx.x);
  params.out[3 * threadIdx.x + 1] = __reduce_min_sync(mask, threadIdx.x ^ 4u);
  params.out[3 * threadIdx.x + 2] = __reduce_max_sync(mask, threadIdx.x);
}

TEST(EmulationTest, IntegerReductionsTakeTheLanesOfTheirMask) {
  std::vector<unsigned> out(96);
  LaunchKernel(IntegerReduceKernel, dim3(1), dim3(32), 0, VoteParams{out.data()}, {});
  for (unsigned lane = 3; lane < 32; ++lane) {
    EXPECT_EQ(out[3 * lane], 31u * 32 / 2 - 3);
    EXPECT_EQ(out[3 * lane + 1], 0u);  // of lane 4
    EXPECT_EQ(out[3 * lane + 2], 31u);
  }
}

// --- matrices: from row-major operands through ldmatrix and mma to a plain product ---------------

struct MatrixParams {
  const Bfloat16* a = nullptr;  // [16, 16]
  const Bfloat16* b = nullptr;  // [16 (k), 8 (n)] or its transpose [8, 16]
  bool b_is_transposed = false;
  float* d = nullptr;  // [16, 8], added to
};

__global__ void MatrixKernel(MatrixParams params) {
  const unsigned lane = threadIdx.x;
  auto* const a = reinterpret_cast<Bfloat16*>(SharedMemory());
  Bfloat16* const b = a + 256;
  for (unsigned i = lane; i < 256; i += 32) a[i] = params.a[i];
  for (unsigned i = lane; i < 128; i += 32) b[i] = params.b[i];
  __syncthreads();

  // Matrices 0..3 of A: upper left, lower left, upper right, lower right (a0, a1, a2, a3).
  std::uint32_t fragment[4];
  LoadMatrices(fragment, a + (lane % 16) * 16 + lane / 16 * 8);
  // B: [8, 16] row by row is the fragment itself; [16, 8] must be transposed. Only two matrices.
  std::uint32_t columns[4];
  if (params.b_is_transposed) {
    LoadMatrices(columns, b + (lane % 8) * 16 + lane / 8 % 2 * 8);
  } else {
    LoadMatricesTransposed(columns, b + (lane % 16) * 8);
  }
  const unsigned row = lane / 4;
  const unsigned column = lane % 4 * 2;
  float d[4];
  for (unsigned i = 0; i < 4; ++i) d[i] = params.d[(row + i / 2 * 8) * 8 + column + i % 2];
  MultiplyAdd(d, fragment, columns[0], columns[1]);
  for (unsigned i = 0; i < 4; ++i) params.d[(row + i / 2 * 8) * 8 + column + i % 2] = d[i];
}

TEST(EmulationTest, MatrixFragmentsMultiplyAsTheMatricesDo) {
  RandomStream random(7, "mma");
  for (const bool b_is_transposed : {false, true}) {
    std::vector<Bfloat16> a(256), b(128);
    std::vector<float> d(128), expected(128);
    for (auto& x : a) x = ToBfloat16(static_cast<float>(random.Uniform() - 0.5));
    for (auto& x : b) x = ToBfloat16(static_cast<float>(random.Uniform() - 0.5));
    for (auto& x : d) x = static_cast<float>(random.Uniform());
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        double sum = d[i * 8 + j];
        for (int k = 0; k < 16; ++k) {
          sum += static_cast<double>(ToFloat(a[i * 16 + k])) *
                 ToFloat(b_is_transposed ? b[j * 16 + k] : b[k * 8 + j]);
        }
        expected[i * 8 + j] = static_cast<float>(sum);
      }
    }
    LaunchKernel(MatrixKernel, dim3(1), dim3(32), 768,
                 MatrixParams{a.data(), b.data(), b_is_transposed, d.data()}, {});
    EXPECT_EQ(d, expected);
  }
}

// The layouts themselves, word for word from "Matrix Fragments for mma.m16n8k16" and "ldmatrix".
struct LayoutParams {
  std::uint32_t* out = nullptr;  // [32, 8]
};

__global__ void LayoutKernel(LayoutParams params) {
  auto* const elements = reinterpret_cast<std::uint16_t*>(SharedMemory());
  for (unsigned i = threadIdx.x; i < 256; i += 32) elements[i] = static_cast<std::uint16_t>(i);
  __syncthreads();
  std::uint32_t plain[4];
  std::uint32_t transposed[4];
  LoadMatrices(plain, elements + 8 * threadIdx.x);  // row l % 8 of matrix l / 8
  LoadMatricesTransposed(transposed, elements + 8 * threadIdx.x);
  std::memcpy(params.out + 8 * threadIdx.x, plain, 16);
  std::memcpy(params.out + 8 * threadIdx.x + 4, transposed, 16);
}

TEST(EmulationTest, LdmatrixGivesEachLaneTheElementsOfThePtxTable) {
  std::vector<std::uint32_t> out(32 * 8);
  LaunchKernel(LayoutKernel, dim3(1), dim3(32), 512, LayoutParams{out.data()}, {});
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    for (std::uint32_t matrix = 0; matrix < 4; ++matrix) {
      const std::uint32_t first = 64 * matrix + 8 * (lane / 4) + 2 * (lane % 4);
      EXPECT_EQ(out[8 * lane + matrix], first | (first + 1) << 16);
      const std::uint32_t upper = 64 * matrix + 8 * (2 * (lane % 4)) + lane / 4;
      EXPECT_EQ(out[8 * lane + 4 + matrix], upper | (upper + 8) << 16);
    }
  }
}

TEST(EmulationTest, PackedConversionsPutTheFirstIntoTheLowerHalf) {
  const std::uint32_t packed = PackBfloat16(1.0f, -2.0f);
  EXPECT_EQ(packed, 0xc0003f80u);
  EXPECT_EQ(LowBfloat16(packed), 1.0f);
  EXPECT_EQ(HighBfloat16(packed), -2.0f);
  EXPECT_EQ(Exp2(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(Exp2(-140.0f), 0.0f);  // flushed, as by ex2.approx.ftz
  EXPECT_EQ(Exp2(3.0f), 8.0f);
}

// --- asynchronous copies -------------------------------------------------------------------------

struct CopyParams {
  const uint4* in = nullptr;
  uint4* out = nullptr;
  int variant = 0;
};

__global__ void CopyKernel(CopyParams params) {
  auto* const shared = reinterpret_cast<uint4*>(SharedMemory());
  CopyAsync(shared + threadIdx.x, params.in + threadIdx.x);
  CommitCopies();
  CopyAsyncOrZero(shared + 32 + threadIdx.x, params.in + 32 + threadIdx.x, threadIdx.x < 4);
  CommitCopies();
  WaitCopies<1>();
  params.out[threadIdx.x] = shared[threadIdx.x];
  if (params.variant == 0) WaitCopies<0>();
  params.out[32 + threadIdx.x] = shared[32 + threadIdx.x];
}

TEST(EmulationTest, AnAsynchronousCopyLandsWhenItIsWaitedFor) {
  std::vector<uint4> in(64), out(64);
  for (unsigned i = 0; i < 64; ++i) in[i] = {i, i + 1, i + 2, i + 3};
  LaunchKernel(CopyKernel, dim3(1), dim3(32), 1024, CopyParams{in.data(), out.data()}, {});
  EXPECT_EQ(out[31].x, 31u);
  EXPECT_EQ(out[35].w, 38u);
  EXPECT_EQ(out[36].w, 0u);  // not valid: zeros
  LaunchKernel(CopyKernel, dim3(1), dim3(32), 1024, CopyParams{in.data(), out.data(), 1}, {});
  EXPECT_EQ(out[31].x, 31u);
  EXPECT_EQ(out[35].w, 0xffffffffu);  // read before it was there
}

// Thread 0 loads two pieces, all wait, and it stores what they made of them.
__global__ void BulkKernel(CopyParams params) {
  auto* const barrier = reinterpret_cast<std::uint64_t*>(SharedMemory());
  auto* const shared = reinterpret_cast<uint4*>(SharedMemory() + 128);
  if (threadIdx.x == 0 && params.variant != 1) InitBarrier(barrier, 1);
  __syncthreads();
  for (unsigned round = 0; round < 3; ++round) {
    if (threadIdx.x == 0) {
      ArriveExpectingBytes(barrier, params.variant == 2 ? 1040 : 1024);
      BulkLoad(shared, params.in + 64 * round, 512, barrier);
      BulkLoad(shared + 32, params.in + 64 * round + 32, 512, barrier);
    }
    WaitAtBarrier(barrier, round % 2);
    shared[threadIdx.x].x += 1000;
    FenceSharedForBulk();
    __syncthreads();
    if (threadIdx.x == 0) {
      BulkStore(params.out + 64 * round, shared, params.variant == 3 ? 1000 : 1024);
      CommitBulkStores();
      if (params.variant != 4) WaitBulkStoresRead<0>();
    }
    __syncthreads();
  }
}

TEST(EmulationTest, BulkCopiesCountOnBarriersRoundAfterRound) {
  std::vector<uint4> in(192), out(192);
  for (unsigned i = 0; i < 192; ++i) in[i] = {i, 0, 0, i};
  for (const int parity : {0, 1}) {
    emulation::SetTurnOrder(parity);
    LaunchKernel(BulkKernel, dim3(1), dim3(64), 1152, CopyParams{in.data(), out.data()}, {});
    for (unsigned i = 0; i < 192; ++i) {
      EXPECT_EQ(out[i].x, i + 1000);
      EXPECT_EQ(out[i].w, i);
    }
  }
  emulation::SetTurnOrder(0);
}

TEST(EmulationTest, MistakesWithBulkCopiesFail) {
  std::vector<uint4> in(192), out(192);
  const auto run = [&](int variant) {
    return LaunchAndCatch(BulkKernel, 64, CopyParams{in.data(), out.data(), variant}, 1152);
  };
  EXPECT_THAT(run(1), HasSubstr("before it is initialised"));
  EXPECT_THAT(run(2), HasSubstr("mbarrier.try_wait"));  // expects more bytes than come
  EXPECT_THAT(run(3), HasSubstr("multiple of 16"));
  EXPECT_THAT(run(4), HasSubstr("bulk stores"));  // the block ends too early
}

}  // namespace
}  // namespace sparseserve::kernels::cuda
