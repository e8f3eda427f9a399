// The k best KV blocks of each row, exactly and in rising index order, with forced first and last.
//
//     scores [num_rows, row_stride] float           indices [num_rows, k]
//
// Bound. 4 bytes per score are read once and 4 k per row written: 256 rows of 4096 are 4 MiB, 1 us
// on an H200. Instructions and barriers limit: by the disassembly a warp executes about 1250
// (per lane 16 keys: 14 each to load, 10 for each of two digits, 15 to write). The 8 warps of each
// of the two rows of an SM share four schedulers: 5000 cycles, 2.8 us at 1.75 GHz, and 10 barriers.
//
// Geometry. One thread block of 256 threads per row, 4 per SM: 256 rows run at once on 64 SMs. Each
// warp owns a stretch of the row, which up to 4096 scores stays in registers, 16 per thread; longer
// rows are read again in each pass, from L2. 4 KiB of shared memory for the bins. (Keys in shared
// memory were tried: twice the instructions.)
//
// Radix select with 10-bit digits on keys that order like the scores. The digits are taken from the
// distance to the smallest key, the first one at the highest bit that the range of keys has: digits
// of the float itself would put typical scores into a few bins (their exponents). So 4096 scattered
// scores are mostly told apart by one or two passes. Selection stops when a bin is wanted whole;
// equal keys need no pass. The atomics only count, so their order is not seen; they compile to
// ATOMS.POPC.INC, which counts the lanes that share a bin in hardware.
//
// Indices leave in rising order: each warp counts what its stretch selects and writes at the sum of
// the counts before it. Of keys equal to the threshold the first ones are taken, counted the same
// way.
#pragma once

#include <cstdint>

#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kTopKThreads = 256;
inline constexpr int kTopKWarps = kTopKThreads / 32;
inline constexpr int kDigitBits = 10;
inline constexpr int kNumBins = 1 << kDigitBits;
inline constexpr int kBinsPerThread = kNumBins / kTopKThreads;
inline constexpr int kKeysPerThread = 16;
inline constexpr int kMaxRegisterKeys = kKeysPerThread * kTopKThreads;
static_assert(kBinsPerThread == 4, "a thread reads its bins as one uint4");

struct TopKShared {
  unsigned bins[kNumBins];
  unsigned warp_a[kTopKWarps];  // one number of each warp; two, because they are often pairs
  unsigned warp_b[kTopKWarps];
  unsigned bin, above, count;  // the bin that holds the threshold
};

inline constexpr unsigned kForcedKey = 0xffffffffu;  // above that of any score

// What a row selects: keys above `key`, and the first `num_ties` of those equal to it.
struct Threshold {
  unsigned key = kForcedKey - 1;
  unsigned num_ties = 0;
};

// Orders like the score: NaN lowest, -0 equal to 0, +inf highest (0xff800000).
__device__ __forceinline__ unsigned MakeKey(float score) {
  const unsigned bits = __float_as_uint(score + 0.f);  // -0 becomes 0
  const unsigned key = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return score == score ? key : 0;
}

// Which blocks compete for `need` places: [begin, end). Those outside are forced in.
struct Competition {
  int num_blocks;
  int begin, end;
  unsigned need;
};

// This thread's part of the row: every 32nd key of its warp's stretch. kInRegisters: the row has at
// most kMaxRegisterKeys.
template <bool kInRegisters>
class TopKKeys {
 public:
  __device__ TopKKeys(const float* scores, const Competition& competition)
      : scores_(scores), competition_(competition) {
    const int num_blocks = competition.num_blocks;
    const int stretch = (num_blocks + kTopKThreads - 1) / kTopKThreads * 32;
    const int begin = static_cast<int>(threadIdx.x) / 32 * stretch;
    first_ = begin + static_cast<int>(threadIdx.x) % 32;
    end_ = min(begin + stretch, num_blocks);
    if constexpr (kInRegisters) {
#pragma unroll
      for (int j = 0; j < kKeysPerThread; ++j) keys_[j] = ReadKey(first_ + 32 * j);
    }
  }

  // Calls body(i, key, valid) in rising order of i, all lanes together; lanes past the end of the
  // stretch are not valid.
  template <typename Body>
  __device__ void ForEach(const Body& body) const {
    if constexpr (kInRegisters) {
#pragma unroll
      for (int j = 0; j < kKeysPerThread; ++j) {
        body(first_ + 32 * j, keys_[j], first_ + 32 * j < end_);
      }
    } else {
      const int lane = threadIdx.x % 32;
#pragma unroll 4
      for (int i = first_; i - lane < end_; i += 32) body(i, ReadKey(i), i < end_);
    }
  }

  __device__ unsigned need() const { return competition_.need; }

 private:
  __device__ unsigned ReadKey(int i) const {
    return i >= competition_.begin && i < competition_.end ? MakeKey(__ldg(scores_ + i))
                                                           : kForcedKey;
  }

  const float* scores_;
  Competition competition_;
  int first_, end_;
  unsigned keys_[kInRegisters ? kKeysPerThread : 1];
};

// The sum of the numbers of the warps before this one.
__device__ __forceinline__ unsigned SumBefore(const unsigned (&of_warp)[kTopKWarps]) {
  const unsigned lane = threadIdx.x % 32;
  return __reduce_add_sync(kAllLanes, lane < threadIdx.x / 32 ? of_warp[lane] : 0);
}

// The smallest and the largest key that competes.
template <bool kInRegisters>
__device__ uint2 FindRange(const TopKKeys<kInRegisters>& keys, TopKShared& shared) {
  unsigned low = kForcedKey, high = 0;
  keys.ForEach([&](int, unsigned key, bool valid) {
    low = valid ? min(low, key) : low;
    high = valid && key != kForcedKey ? max(high, key) : high;
  });
  low = __reduce_min_sync(kAllLanes, low);
  high = __reduce_max_sync(kAllLanes, high);
  const int lane = threadIdx.x % 32;
  if (lane == 0) {
    shared.warp_a[threadIdx.x / 32] = low;
    shared.warp_b[threadIdx.x / 32] = high;
  }
  __syncthreads();
  low = __reduce_min_sync(kAllLanes, shared.warp_a[lane % kTopKWarps]);
  high = __reduce_max_sync(kAllLanes, shared.warp_b[lane % kTopKWarps]);
  __syncthreads();  // before the numbers of the warps are used again
  return make_uint2(low, high);
}

// Finds the bin that holds the key of rank `need` from above, and clears the bins. The result is in
// `shared` after the function's last barrier.
__device__ inline void FindBin(unsigned need, TopKShared& shared) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int piece = kTopKThreads - 1 - static_cast<int>(threadIdx.x);  // the first thread: the top
  uint4& own = reinterpret_cast<uint4*>(shared.bins)[piece];
  const uint4 bins = own;
  own = make_uint4(0, 0, 0, 0);
  const unsigned counts[kBinsPerThread] = {bins.w, bins.z, bins.y, bins.x};
  const unsigned total = counts[0] + counts[1] + counts[2] + counts[3];
  unsigned sum = total;  // over this lane and those before
  for (int distance = 1; distance < 32; distance *= 2) {
    const unsigned before = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(distance));
    if (lane >= distance) sum += before;
  }
  if (lane == 31) shared.warp_a[warp] = sum;
  __syncthreads();
  unsigned above = sum - total + SumBefore(shared.warp_a);
  if (above < need && need <= above + total) {  // one thread
#pragma unroll
    for (int i = 0; i < kBinsPerThread; ++i) {
      if (above < need && need <= above + counts[i]) {
        shared.bin = static_cast<unsigned>(kBinsPerThread * piece + kBinsPerThread - 1 - i);
        shared.above = above;
        shared.count = counts[i];
      }
      above += counts[i];
    }
  }
  __syncthreads();
}

// REQUIRES: 0 < need <= the number of competitors.
template <bool kInRegisters>
__device__ Threshold SelectThreshold(const TopKKeys<kInRegisters>& keys, TopKShared& shared) {
  reinterpret_cast<uint4*>(shared.bins)[threadIdx.x] = make_uint4(0, 0, 0, 0);
  const uint2 range = FindRange(keys, shared);  // its barriers also order the clearing
  unsigned base = range.x, span = range.y - range.x, need = keys.need();
  while (span > 0) {  // the threshold is in [base, base + span]; forced keys are above
    const int shift = max(32 - __clz(static_cast<int>(span)) - kDigitBits, 0);
    keys.ForEach([&](int, unsigned key, bool valid) {
      const unsigned distance = key - base;  // of a smaller key: very large
      if (valid && distance <= span) atomicAdd(&shared.bins[distance >> shift], 1u);
    });
    __syncthreads();
    FindBin(need, shared);
    base += shared.bin << shift;
    need -= shared.above;
    if (need == shared.count) {  // the whole bin: all keys from `base` on
      return base > 0 ? Threshold{base - 1, 0} : Threshold{0, need};
    }
    span = (1u << shift) - 1;
  }
  return {base, need};
}

// Writes the selected indices, rising.
template <bool kInRegisters>
__device__ void WriteIndices(const TopKKeys<kInRegisters>& keys, const Threshold& threshold,
                             TopKShared& shared, std::int32_t* indices) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const unsigned lanes_before = (1u << lane) - 1;
  unsigned num_sure = 0, num_ties = 0;  // of this lane, then of the warp
  keys.ForEach([&](int, unsigned key, bool valid) {
    num_sure += valid && key > threshold.key;
    num_ties += valid && key == threshold.key;
  });
  num_sure = __reduce_add_sync(kAllLanes, num_sure);
  num_ties = __reduce_add_sync(kAllLanes, num_ties);
  if (lane == 0) {
    shared.warp_a[warp] = num_sure;
    shared.warp_b[warp] = num_ties;
  }
  __syncthreads();
  unsigned ties = SumBefore(shared.warp_b);  // seen before this warp's stretch
  unsigned offset = SumBefore(shared.warp_a) + min(ties, threshold.num_ties);
  keys.ForEach([&](int i, unsigned key, bool valid) {
    bool selected = valid && key >= threshold.key;
    if (!__any_sync(kAllLanes, selected)) return;
    const bool tie = selected && key == threshold.key;
    const unsigned tie_lanes = __ballot_sync(kAllLanes, tie);
    if (tie) {
      selected =
          ties + static_cast<unsigned>(__popc(tie_lanes & lanes_before)) < threshold.num_ties;
    }
    ties += static_cast<unsigned>(__popc(tie_lanes));
    const unsigned lanes = __ballot_sync(kAllLanes, selected);
    if (selected) indices[offset + static_cast<unsigned>(__popc(lanes & lanes_before))] = i;
    offset += static_cast<unsigned>(__popc(lanes));
  });
}

template <bool kInRegisters>
__device__ void SelectRow(const float* scores, const Competition& competition,
                          std::int32_t* indices) {
  auto& shared = *reinterpret_cast<TopKShared*>(SharedMemory());
  const TopKKeys<kInRegisters> keys(scores, competition);
  const Threshold threshold = SelectThreshold(keys, shared);
  WriteIndices(keys, threshold, shared, indices);
}

__global__ void __launch_bounds__(kTopKThreads, 4) TopKKernel(const TopKParams op) {
  const std::int64_t index = blockIdx.x;
  const int num_blocks = op.row_blocks[index];
  const int num_taken = min(op.k, num_blocks);
  std::int32_t* indices = op.indices + index * op.k;
  for (int i = num_taken + static_cast<int>(threadIdx.x); i < op.k; i += kTopKThreads) {
    indices[i] = -1;
  }
  const float* scores = op.scores + index * op.row_stride;
  const int num_first = min(op.num_first, num_taken);
  const int num_last = min(op.num_last, num_taken - num_first);
  const auto need = static_cast<unsigned>(num_taken - num_first - num_last);
  if (need == 0 || num_taken == num_blocks) {  // no choice: the scores are not read
    const int skipped = num_blocks - num_taken;
    for (int i = threadIdx.x; i < num_taken; i += kTopKThreads) {
      indices[i] = i < num_taken - num_last ? i : i + skipped;
    }
    return;
  }
  const Competition competition{num_blocks, num_first, num_blocks - num_last, need};
  if (num_blocks <= kMaxRegisterKeys) {
    SelectRow<true>(scores, competition, indices);
  } else {
    SelectRow<false>(scores, competition, indices);
  }
}

void LaunchTopK(const TopKParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.k >= 0 && params.num_first >= 0 && params.num_last >= 0,
                    "numbers of blocks are not negative");
  if (params.k == 0) return;
  LaunchKernel(TopKKernel, dim3(static_cast<unsigned>(params.num_rows)), dim3(kTopKThreads),
               sizeof(TopKShared), params, context);
}

}  // namespace sparseserve::kernels::cuda
