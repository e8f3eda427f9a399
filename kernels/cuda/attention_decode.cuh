// Decode attention over listed KV blocks: one query token per request, split over the keys.
//
//     queries [num_requests, q_heads, head_dim]     blocks [slot, 2, block_tokens, head_dim]
//     slots   [rows, slots_stride]                  output [num_requests, q_heads, head_dim]
//
// Bound. K and V are read once for a group of up to 8 query heads: 4 * head_dim bytes and
// 4 * group * head_dim FLOPs per token of a row, at most 8 FLOPs a byte, so HBM is the limiter. An
// H200 has about 20 bytes per cycle and SM: the 8 KiB of a tile (16 tokens, head_dim 128) last 390
// cycles or 1560 issue slots. By the disassembly a warp spends 266 instructions on them (16 mma, 16
// ldmatrix, 16 cp.async, 6 exp2, 7 shuffles), and shared memory 64 cycles to fill and 64 to read.
//
// Geometry. Grid (row, split, heads / 8), 4 warps. A warp works on every 4th tile of the split by
// itself: a ring of 24 KiB filled by cp.async, no barrier of the block in the loop. 96 KiB per
// block, so two blocks and 128 KiB in flight on an H100 SM (4.8 TB/s * 0.8 us / 132 = 29 KB are
// needed), one block and 64 KiB on an A100 SM (9 KB). The slots of 32 tiles are one coalesced load,
// made 32 tiles ahead. Partial results of warps, then of splits, are joined in index order.
//
// Tensor cores, transposed. S^T = K Q^T and O^T = V^T P^T put tokens and channels on the 16 rows of
// m16n8k16 and heads on its 8 columns: a group is padded to 8, not to 16, which halves the
// multiplies and accumulators against Q K^T, and the scale of a head in O^T is in the lane that
// computed it. K comes through ldmatrix, V through ldmatrix.trans, P^T through movmatrix. For a
// group of one it is still cheaper than FMA: unpacking bfloat16 alone would take more instructions
// than all of the above.
//
// Shared memory rows are swizzled: 16-byte chunk c of token t lies at c ^ (t % 8), so that the
// eight rows of an ldmatrix phase and the eight lanes of a store phase touch all 32 banks once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kDecodeWarps = 4;
inline constexpr int kDecodeThreads = 32 * kDecodeWarps;
inline constexpr int kTileTokens = 16;  // rows of an mma
inline constexpr int kHeadTile = 8;     // its columns

template <int kHeadDim>
struct DecodeTile {
  static constexpr int kRowBytes = 2 * kHeadDim;
  static constexpr int kRowChunks = kRowBytes / 16;
  static constexpr int kMatrixBytes = kTileTokens * kRowBytes;  // K or V of one tile
  static constexpr int kStageBytes = 2 * kMatrixBytes;
  static constexpr int kStages = 24 * 1024 / kStageBytes;
  static constexpr int kSharedBytes = kDecodeWarps * kStages * kStageBytes;
  // Row of a partial output [head_dim, heads] in shared memory; 9 keeps columns off one bank.
  static constexpr int kOutputStride = kHeadTile + 1;
};

struct DecodeSplit {
  std::int32_t num_splits = 1;
  std::int32_t tiles = 0;  // of one split
};

struct DecodeKernelParams {
  DecodeParams op;
  DecodeSplit split;
  std::int32_t tiles_per_block_log2 = 0;
  float scale_log2 = 0;             // scale * log2(e): softmax is taken with exp2
  float* partial_output = nullptr;  // [rows, group, splits, head_dim]; null: one split
  float2* partial_sums = nullptr;   // [rows, group, splits] maximum (base 2) and sum
};

// The accumulators of one warp: lane l has channels l / 4 (and + 8) of each 16, heads 2 (l % 4) +
// {0, 1}.
template <int kHeadDim>
struct DecodeAccumulator {
  float output[kHeadDim / 16][4] = {};
  float max[2] = {kMinusInfinity, kMinusInfinity};
  float sum[2] = {0, 0};  // of this lane's tokens only
};

// Queries as the right-hand side of K Q^T: heads past the group are zero.
template <int kHeadDim>
__device__ void LoadQueryFragments(const Bfloat16* queries, int num_heads, int lane,
                                   std::uint32_t (&fragments)[kHeadDim / 16][2]) {
  const int head = lane / 4;
  const auto* pairs = reinterpret_cast<const std::uint32_t*>(queries + head * kHeadDim) + lane % 4;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    fragments[k][0] = head < num_heads ? pairs[8 * k] : 0;
    fragments[k][1] = head < num_heads ? pairs[8 * k + 4] : 0;
  }
}

// Starts the copy of one tile of K and V; tokens from `num_tokens` on become zero, because what
// lies behind the last token may be NaN and 0 * NaN would reach the output.
template <int kHeadDim>
__device__ void CopyTile(const Bfloat16* keys, const Bfloat16* values, int num_tokens, int lane,
                         std::byte* stage) {
  using Tile = DecodeTile<kHeadDim>;
  constexpr int kTokensPerPass = 32 / Tile::kRowChunks;
  const int first_token = lane / Tile::kRowChunks, chunk = lane % Tile::kRowChunks;
  // As integers: from pointers the compiler makes, and keeps, one 64-bit base for each copy, where
  // one and constant offsets do.
  const auto key_address = reinterpret_cast<std::uintptr_t>(keys) + lane * 16;
  const auto value_address = reinterpret_cast<std::uintptr_t>(values) + lane * 16;
#pragma unroll
  for (int i = 0; i < kTileTokens / kTokensPerPass; ++i) {
    const int token = i * kTokensPerPass + first_token;
    const bool valid = token < num_tokens;
    std::byte* target = stage + token * Tile::kRowBytes + (chunk ^ (token % 8)) * 16;
    CopyAsyncOrZero(target, reinterpret_cast<const void*>(key_address + i * 512), valid);
    CopyAsyncOrZero(target + Tile::kMatrixBytes,
                    reinterpret_cast<const void*>(value_address + i * 512), valid);
  }
}

// Adds one tile to the accumulators.
template <int kHeadDim>
__device__ void AttendTile(const std::byte* stage, int num_tokens, float scale_log2, int lane,
                           const std::uint32_t (&queries)[kHeadDim / 16][2],
                           DecodeAccumulator<kHeadDim>& acc) {
  using Tile = DecodeTile<kHeadDim>;
  const int matrix = lane / 8;  // of the four that this lane addresses for ldmatrix
  const int swizzle = lane % 8;
  const std::byte* keys = stage + ((matrix % 2) * 8 + swizzle) * Tile::kRowBytes;
  float scores[4] = {};
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    std::uint32_t a[4];
    LoadMatrices(a, keys + ((2 * k + matrix / 2) ^ swizzle) * 16);
    MultiplyAdd(scores, a, queries[k][0], queries[k][1]);
  }

  float scale[2];
  const bool valid[2] = {lane / 4 < num_tokens, lane / 4 + 8 < num_tokens};
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    scores[h] = valid[0] ? scores[h] * scale_log2 : kMinusInfinity;
    scores[2 + h] = valid[1] ? scores[2 + h] * scale_log2 : kMinusInfinity;
    float max = fmaxf(scores[h], scores[2 + h]);
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 4));
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 8));
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 16));
    max = fmaxf(max, acc.max[h]);
    const float base = SoftmaxBase(max);
    scale[h] = Exp2(acc.max[h] - base);
    scores[h] = Exp2(scores[h] - base);
    scores[2 + h] = Exp2(scores[2 + h] - base);
    acc.max[h] = max;
    acc.sum[h] = acc.sum[h] * scale[h] + (scores[h] + scores[2 + h]);
  }

  const std::uint32_t weights[2] = {TransposeMatrix(PackBfloat16(scores[0], scores[1])),
                                    TransposeMatrix(PackBfloat16(scores[2], scores[3]))};
  const std::byte* values =
      stage + Tile::kMatrixBytes + ((matrix / 2) * 8 + swizzle) * Tile::kRowBytes;
#pragma unroll
  for (int m = 0; m < kHeadDim / 16; ++m) {
    std::uint32_t a[4];
    LoadMatricesTransposed(a, values + ((2 * m + matrix % 2) ^ swizzle) * 16);
#pragma unroll
    for (int i = 0; i < 4; ++i) acc.output[m][i] *= scale[i % 2];
    MultiplyAdd(acc.output[m], a, weights[0], weights[1]);
  }
}

// The tiles of one warp, i = 0, 1, ...: the slot of each, from a window of 32 that is loaded one
// window ahead. Asked in rising order, by all lanes.
class SlotWindow {
 public:
  __device__ SlotWindow(const std::int32_t* slots, int first, int end, int tiles_per_block_log2)
      : slots_(slots), first_(first), end_(end), log2_(tiles_per_block_log2) {
    current_ = Load(0);
    next_ = Load(32);
  }
  __device__ std::int32_t Get(int i) {
    if (i > 0 && i % 32 == 0) {
      current_ = next_;
      next_ = Load(i + 32);
    }
    return __shfl_sync(kAllLanes, current_, i % 32);
  }

 private:
  __device__ std::int32_t Load(int i) const {
    const int tile = first_ + (i + static_cast<int>(threadIdx.x) % 32) * kDecodeWarps;
    return tile < end_ ? slots_[tile >> log2_] : -1;
  }

  const std::int32_t* slots_;
  int first_, end_, log2_;
  std::int32_t current_, next_;
};

// Joins the accumulators of the warps through shared memory and writes the result of the split.
template <int kHeadDim>
__device__ void WriteSplit(const DecodeKernelParams& params, int first_head, int num_heads,
                           DecodeAccumulator<kHeadDim>& acc, float* shared) {
  constexpr int kStride = DecodeTile<kHeadDim>::kOutputStride;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* sums = shared + kDecodeWarps * kHeadDim * kStride;  // [warp, head] maximum, then sum
  float* own = shared + warp * kHeadDim * kStride;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = acc.sum[h];
    sum += __shfl_xor_sync(kAllLanes, sum, 4);
    sum += __shfl_xor_sync(kAllLanes, sum, 8);
    sum += __shfl_xor_sync(kAllLanes, sum, 16);
    const int head = 2 * (lane % 4) + h;
    if (lane < 4) {
      sums[warp * kHeadTile + head] = acc.max[h];
      sums[(kDecodeWarps + warp) * kHeadTile + head] = sum;
    }
#pragma unroll
    for (int m = 0; m < kHeadDim / 16; ++m) {
      own[(16 * m + lane / 4) * kStride + head] = acc.output[m][h];
      own[(16 * m + lane / 4 + 8) * kStride + head] = acc.output[m][2 + h];
    }
  }
  __syncthreads();

  const std::int64_t row_head = std::int64_t{blockIdx.x} * params.op.group + first_head;
  for (int i = threadIdx.x; i < num_heads * kHeadDim; i += kDecodeThreads) {
    const int head = i / kHeadDim, channel = i % kHeadDim;
    float max = kMinusInfinity;
    for (int w = 0; w < kDecodeWarps; ++w) max = fmaxf(max, sums[w * kHeadTile + head]);
    const float base = SoftmaxBase(max);
    float sum = 0, value = 0;
    for (int w = 0; w < kDecodeWarps; ++w) {
      const float weight = Exp2(sums[w * kHeadTile + head] - base);
      sum += weight * sums[(kDecodeWarps + w) * kHeadTile + head];
      value += weight * shared[(w * kHeadDim + channel) * kStride + head];
    }
    if (params.partial_output != nullptr) {
      const std::int64_t part = (row_head + head) * params.split.num_splits + blockIdx.y;
      params.partial_output[part * kHeadDim + channel] = value;
      if (channel == 0) params.partial_sums[part] = make_float2(max, sum);
    } else {
      auto* output = static_cast<Bfloat16*>(params.op.output);
      output[(row_head + head) * kHeadDim + channel] = ToBfloat16(sum > 0 ? value / sum : 0.f);
      if (channel == 0 && params.op.lse != nullptr) {
        params.op.lse[row_head + head] = LogSumExp(max, sum);
      }
    }
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kDecodeThreads)
    DecodeAttentionKernel(const DecodeKernelParams params) {
  using Tile = DecodeTile<kHeadDim>;
  const DecodeParams& op = params.op;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const std::int64_t row = blockIdx.x;
  const int first_head = blockIdx.z * kHeadTile;
  const int num_heads = min(kHeadTile, op.group - first_head);

  const int block_tokens = op.layout.block_tokens;
  const int num_blocks = op.row_blocks[row];
  const int num_tokens = num_blocks > 0 ? (num_blocks - 1) * block_tokens + op.last_tokens[row] : 0;
  const int first = blockIdx.y * params.split.tiles + warp;
  const int end = min((num_tokens + kTileTokens - 1) / kTileTokens,
                      static_cast<int>(blockIdx.y + 1) * params.split.tiles);
  const int count = first < end ? (end - first + kDecodeWarps - 1) / kDecodeWarps : 0;

  std::uint32_t queries[kHeadDim / 16][2];
  LoadQueryFragments<kHeadDim>(
      static_cast<const Bfloat16*>(op.queries) + (row * op.group + first_head) * kHeadDim,
      num_heads, lane, queries);
  SlotWindow window(op.slots + row * op.slots_stride, first, end, params.tiles_per_block_log2);
  std::byte* shared = SharedMemory();
  std::byte* ring = shared + warp * Tile::kStages * Tile::kStageBytes;
  std::uint32_t present = 0;  // bit s: stage s holds a tile (its slot was not negative)

  const auto copy = [&](int i, int stage) {
    const std::int32_t slot = window.Get(i);
    present &= ~(1u << stage);
    if (i < count && slot >= 0) {
      present |= 1u << stage;
      const int tile = first + i * kDecodeWarps;
      const int in_block = tile & ((1 << params.tiles_per_block_log2) - 1);
      const Bfloat16* keys =
          static_cast<const Bfloat16*>(op.blocks) +
          (std::int64_t{2} * slot * block_tokens + in_block * kTileTokens) * kHeadDim;
      CopyTile<kHeadDim>(keys, keys + block_tokens * kHeadDim, num_tokens - tile * kTileTokens,
                         lane, ring + stage * Tile::kStageBytes);
    }
    CommitCopies();  // an empty group too, so that the count of groups is the count of tiles
  };

  DecodeAccumulator<kHeadDim> acc;
#pragma unroll 1
  for (int i = 0; i < Tile::kStages - 1; ++i) copy(i, i);
  int stage = 0, free_stage = Tile::kStages - 1;
  for (int i = 0; i < count; ++i) {
    copy(i + Tile::kStages - 1, free_stage);
    WaitCopies<Tile::kStages - 1>();
    __syncwarp();
    if (present >> stage & 1u) {
      const int tile = first + i * kDecodeWarps;
      AttendTile<kHeadDim>(ring + stage * Tile::kStageBytes, num_tokens - tile * kTileTokens,
                           params.scale_log2, lane, queries, acc);
    }
    __syncwarp();  // all lanes have read the stage that the next copy overwrites
    free_stage = stage;
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
  }
  WaitCopies<0>();
  __syncthreads();
  WriteSplit<kHeadDim>(params, first_head, num_heads, acc, reinterpret_cast<float*>(shared));
}

// Joins the splits of one query head per block, in index order: thread = channel.
template <int kHeadDim>
__global__ void __launch_bounds__(kHeadDim) CombineSplitsKernel(const DecodeKernelParams params) {
  const int num_splits = params.split.num_splits;
  const std::int64_t row_head = blockIdx.x;
  const float2* parts = params.partial_sums + row_head * num_splits;
  const float* outputs = params.partial_output + row_head * num_splits * kHeadDim + threadIdx.x;
  float max = kMinusInfinity;
  for (int s = 0; s < num_splits; ++s) max = fmaxf(max, parts[s].x);
  const float base = SoftmaxBase(max);
  float sum = 0, value = 0;
#pragma unroll 4
  for (int s = 0; s < num_splits; ++s) {
    const float weight = Exp2(parts[s].x - base);
    sum += weight * parts[s].y;
    value += weight * outputs[std::int64_t{s} * kHeadDim];
  }
  static_cast<Bfloat16*>(params.op.output)[row_head * kHeadDim + threadIdx.x] =
      ToBfloat16(sum > 0 ? value / sum : 0.f);
  if (threadIdx.x == 0 && params.op.lse != nullptr) {
    params.op.lse[row_head] = LogSumExp(max, sum);
  }
}

// The split with the least work on the busiest SM, counted in tiles. A block's start (slots, first
// tiles) and the second kernel are charged at the time they take over that of a tile on an H200 (8
// KiB at 1/132 of 4.8 TB/s: 0.22 us); one block alone on an SM is taken to reach 4/5 of its
// bandwidth. These are estimates, not measurements; they only have to rank. Rows may be much
// shorter than the longest one, so that a split is never longer than 4096 tokens.
inline DecodeSplit ChooseSplit(const DecodeParams& params, int num_sms) {
  constexpr std::int64_t kStartTiles = 4, kCombineTiles = 11, kMaxSplitTiles = 256;
  constexpr std::int64_t kEnoughBlocksPerSm = 4;
  const std::int64_t rows = std::max<std::int64_t>(
      params.num_requests * params.kv_heads * ((params.group + kHeadTile - 1) / kHeadTile), 1);
  const std::int64_t tiles = params.max_row_blocks * (params.layout.block_tokens / kTileTokens);
  const std::int64_t min_splits =
      std::max<std::int64_t>((tiles + kMaxSplitTiles - 1) / kMaxSplitTiles, 1);
  const std::int64_t max_splits =
      std::max(min_splits, std::min(tiles / kDecodeWarps, kEnoughBlocksPerSm * num_sms / rows));
  DecodeSplit best;
  std::int64_t best_cost = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t splits = min_splits; splits <= max_splits; ++splits) {
    const std::int64_t split_tiles = (tiles + splits - 1) / splits;
    const std::int64_t blocks_per_sm = (rows * splits + num_sms - 1) / num_sms;
    const std::int64_t cost =
        blocks_per_sm * (split_tiles + kStartTiles) * (blocks_per_sm == 1 ? 5 : 4) +
        (splits > 1 ? 4 * kCombineTiles : 0);
    if (cost < best_cost) {
      best_cost = cost;
      best = {static_cast<std::int32_t>(splits), static_cast<std::int32_t>(split_tiles)};
    }
  }
  return best;
}

inline std::int64_t CountParts(const DecodeParams& params, const DecodeSplit& split) {
  return split.num_splits == 1
             ? 0
             : params.num_requests * params.kv_heads * params.group * split.num_splits;
}

inline std::size_t BytesOfParts(const DecodeParams& params, const DecodeSplit& split) {
  return static_cast<std::size_t>(CountParts(params, split)) *
         (sizeof(float) * params.layout.head_dim + sizeof(float2));
}

std::size_t WorkspaceBytes(const DecodeParams& params, int num_sms) {
  return BytesOfParts(params, ChooseSplit(params, num_sms));
}

template <int kHeadDim>
void LaunchDecode(const DecodeKernelParams& params, const LaunchContext& context) {
  const std::int64_t rows = params.op.num_requests * params.op.kv_heads;
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(params.split.num_splits),
                  static_cast<unsigned>((params.op.group + kHeadTile - 1) / kHeadTile));
  LaunchKernel(DecodeAttentionKernel<kHeadDim>, grid, dim3(kDecodeThreads),
               DecodeTile<kHeadDim>::kSharedBytes, params, context);
  if (params.split.num_splits > 1) {
    LaunchKernel(CombineSplitsKernel<kHeadDim>, dim3(static_cast<unsigned>(rows * params.op.group)),
                 dim3(kHeadDim), 0, params, context);
  }
}

void LaunchDecodeAttention(const DecodeParams& params, const LaunchContext& context) {
  const KvLayout& layout = params.layout;
  CheckAttentionLayout(layout);
  if (params.num_requests == 0) return;
  DecodeKernelParams kernel{.op = params, .split = ChooseSplit(params, context.num_sms)};
  kernel.tiles_per_block_log2 = Log2(layout.block_tokens / kTileTokens);
  kernel.scale_log2 = ScaleInBase2(params.scale);
  if (kernel.split.num_splits > 1) {
    SPARSESERVE_CHECK(BytesOfParts(params, kernel.split) <= context.workspace_bytes,
                      "the workspace is smaller than WorkspaceBytes()");
    kernel.partial_output = reinterpret_cast<float*>(context.workspace);
    kernel.partial_sums = reinterpret_cast<float2*>(
        kernel.partial_output + CountParts(params, kernel.split) * layout.head_dim);
  }
  if (layout.head_dim == 128) {
    LaunchDecode<128>(kernel, context);
  } else {
    LaunchDecode<64>(kernel, context);
  }
}

}  // namespace sparseserve::kernels::cuda
