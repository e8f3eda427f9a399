// Prefill attention: FlashAttention-2 (Dao, 2023) over keys and values that lie in KV blocks.
//
//     queries [num_queries, q_heads, head_dim]      blocks [slot, 2, block_tokens, head_dim]
//     slots   [kv_heads, slots_stride]              output [num_queries, q_heads, head_dim]
//
// Bound. 4 * head_dim FLOPs for each (query head, query, key in range): 2 * q_heads * head_dim *
// num_queries^2 for a whole causal prefill. K and V are read once per query tile and head, of which
// all but the first read of a group comes from L2: 128 queries reuse each byte 128 times, so tensor
// cores limit. mma.sync feeds all of an A100's 312 TFLOP/s; an H100's full rate needs wgmma, which
// this kernel does not use (how much is lost is to be measured). By the disassembly a key tile
// takes 128 mma, 48 ldmatrix, 36 exp2 and 600 other instructions of a warp (820 where it is masked
// or a maximum rises): issue slots for 80 % of the time that an A100's tensor cores need, so two
// warps per scheduler can keep them busy.
//
// Geometry. Grid (query head, tile of 128 queries), the last tiles first because they are the
// longest; 4 warps of 32 queries, so that each K and V fragment read from shared memory feeds two
// mma (with 16 queries per warp, ldmatrix would take as long as mma on an A100). Key tiles of 32 at
// head_dim 128 (64 were tried: registers spill), of 64 at 64. Shared memory at 128: Q 32 KiB,
// K 8, V 8; registers allow two blocks per SM. V of a tile arrives while its scores are computed, K
// of the next while V is used: two barriers per tile.
//
// Key tiles begin at multiples of their size in absolute positions, and a fully masked tile changes
// nothing. So the result of a query does not depend on which chunk it was computed in.
//
// Rows are swizzled as in attention_decode.cuh.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kPrefillWarps = 4;
inline constexpr int kPrefillThreads = 32 * kPrefillWarps;
inline constexpr int kWarpQueries = 32;  // two rows of mma tiles
inline constexpr int kTileQueries = kPrefillWarps * kWarpQueries;
static_assert(kTileQueries == kQueryTileRows);

struct PrefillKernelParams {
  PrefillParams op;
  std::int32_t block_tokens_log2 = 0;
  float scale_log2 = 0;  // scale * log2(e): softmax is taken with exp2
};

template <int kHeadDim>
struct PrefillTile {
  static constexpr int kKeys = kHeadDim == 128 ? 32 : 64;  // 64 would spill at 128
  static constexpr int kRowBytes = 2 * kHeadDim;
  static constexpr int kRowChunks = kRowBytes / 16;
  static constexpr int kRowsPerPass = kPrefillThreads / kRowChunks;  // of a copy by all threads
  static constexpr int kQueryBytes = kTileQueries * kRowBytes;
  static constexpr int kKeyBytes = kKeys * kRowBytes;
  static constexpr int kSharedBytes = kQueryBytes + 2 * kKeyBytes;

  __device__ static std::byte* Chunk(std::byte* rows, int row, int chunk) {
    return rows + row * kRowBytes + (chunk ^ (row % 8)) * 16;
  }
};

// What a warp keeps of its 32 queries. Lane l has rows l / 4 and l / 4 + 8 of each 16 (index r =
// 2 * m + half) and columns 2 (l % 4) + {0, 1} of each 8.
template <int kHeadDim>
struct PrefillAccumulator {
  float output[2][kHeadDim / 8][4] = {};
  float max[4] = {kMinusInfinity, kMinusInfinity, kMinusInfinity, kMinusInfinity};
  float sum[4] = {};  // of this lane's columns only
};

// The keys that a thread block may use. Positions fit 32 bits (LaunchPrefillAttention checks).
struct KeyRange {
  int begin, end;
};

template <int kHeadDim>
__device__ void CopyQueries(const PrefillParams& op, int first_query, int head, std::byte* shared) {
  using Tile = PrefillTile<kHeadDim>;
  const int chunk = threadIdx.x % Tile::kRowChunks;
  const std::int64_t stride = std::int64_t{op.kv_heads} * op.group * kHeadDim;
  const Bfloat16* queries = static_cast<const Bfloat16*>(op.queries) + head * kHeadDim + chunk * 8;
#pragma unroll 4
  for (int row = threadIdx.x / Tile::kRowChunks; row < kTileQueries; row += Tile::kRowsPerPass) {
    const bool valid = first_query + row < op.num_queries;
    CopyAsyncOrZero(Tile::Chunk(shared, row, chunk),
                    queries + (valid ? first_query + row : 0) * stride, valid);
  }
}

// Copies the keys (`which` 0) or values (1) of one tile; what is out of range becomes zero, since
// behind the last token there may be NaN. The slots are read first, all at once.
template <int kHeadDim>
__device__ void CopyKeyTile(const PrefillKernelParams& params, const std::int32_t* slots,
                            int first_key, const KeyRange& range, int which, std::byte* shared) {
  using Tile = PrefillTile<kHeadDim>;
  constexpr int kPasses = Tile::kKeys / Tile::kRowsPerPass;
  const int first_row = threadIdx.x / Tile::kRowChunks, chunk = threadIdx.x % Tile::kRowChunks;
  const int log2 = params.block_tokens_log2;
  const auto* blocks = static_cast<const Bfloat16*>(params.op.blocks) + chunk * 8;
  const auto clamped = [&](int pass) {
    return max(min(first_key + first_row + pass * Tile::kRowsPerPass, range.end - 1), range.begin);
  };
  std::int32_t slot[kPasses];
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) slot[pass] = slots[clamped(pass) >> log2];
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const int row = first_row + pass * Tile::kRowsPerPass, key = clamped(pass);
    const std::int64_t token =
        ((std::int64_t{2} * slot[pass] + which) << log2) + (key & ((1 << log2) - 1));
    CopyAsyncOrZero(Tile::Chunk(shared, row, chunk), blocks + token * kHeadDim,
                    first_key + row == key);
  }
}

// scores = Q K^T of the warp's queries.
template <int kHeadDim, int kTiles>
__device__ void ScoreKeys(std::byte* queries, std::byte* keys, int lane,
                          float (&scores)[2][kTiles][4]) {
  using Tile = PrefillTile<kHeadDim>;
  const int matrix = lane / 8;
  const int query_row = (matrix % 2) * 8 + lane % 8;
  const int key_row = (matrix / 2) * 8 + lane % 8;
#pragma unroll
  for (int k = 0; k < kHeadDim / 16; ++k) {
    std::uint32_t a[2][4];
    LoadMatrices(a[0], Tile::Chunk(queries, query_row, 2 * k + matrix / 2));
    LoadMatrices(a[1], Tile::Chunk(queries, query_row + 16, 2 * k + matrix / 2));
#pragma unroll
    for (int n = 0; n < kTiles / 2; ++n) {
      std::uint32_t b[4];
      LoadMatrices(b, Tile::Chunk(keys, 16 * n + key_row, 2 * k + matrix % 2));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        MultiplyAdd(scores[m][2 * n], a[m], b[0], b[1]);
        MultiplyAdd(scores[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// Masks what a query must not see: keys after it and keys out of range. `query` is the position of
// the warp's first.
template <int kTiles>
__device__ void MaskScores(int first_key, int query, const KeyRange& range, int lane,
                           float (&scores)[2][kTiles][4]) {
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int key = first_key + 8 * n + 2 * (lane % 4) + i % 2;
      const int own = query + 16 * (i / 4) + 8 * (i / 2 % 2) + lane / 4;
      if (key > own || key < range.begin || key >= range.end) {
        scores[i / 4][n][i % 4] = kMinusInfinity;
      }
    }
  }
}

// Turns scores into weights relative to the new maximum and scales what was summed to the old one;
// where no maximum of the warp rose, as in most tiles of a long range, all scales are 1 and it is
// not.
template <int kHeadDim, int kTiles>
__device__ void UpdateSoftmax(float scale_log2, float (&scores)[2][kTiles][4],
                              PrefillAccumulator<kHeadDim>& acc) {
  float scale[4];
  bool rose = false;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int m = r / 2, half = r % 2;
    float max = kMinusInfinity;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      max = fmaxf(max, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
    }
    max = fmaxf(acc.max[r], WarpMax<4>(max) * scale_log2);
    const float base = SoftmaxBase(max);
    scale[r] = Exp2(acc.max[r] - base);
    rose = rose || max != acc.max[r];
    acc.max[r] = max;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[m][n][i] = Exp2(fmaf(scores[m][n][i], scale_log2, -base));
        sum += scores[m][n][i];
      }
    }
    acc.sum[r] = acc.sum[r] * scale[r] + sum;
  }
  if (!__any_sync(kAllLanes, rose)) return;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      acc.output[r / 2][n][2 * (r % 2)] *= scale[r];
      acc.output[r / 2][n][2 * (r % 2) + 1] *= scale[r];
    }
  }
}

// Packs the weights as left-hand sides of P V. Done before the next copy: half the registers.
template <int kTiles>
__device__ void PackWeights(const float (&scores)[2][kTiles][4],
                            std::uint32_t (&weights)[kTiles / 2][2][4]) {
#pragma unroll
  for (int k = 0; k < kTiles / 2; ++k) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float(&pair)[4] = scores[i / 4][2 * k + i / 2 % 2];
      weights[k][i / 4][i % 4] = PackBfloat16(pair[2 * (i % 2)], pair[2 * (i % 2) + 1]);
    }
  }
}

// output += P V.
template <int kHeadDim, int kSteps>
__device__ void AddValues(const std::uint32_t (&weights)[kSteps][2][4], std::byte* values, int lane,
                          PrefillAccumulator<kHeadDim>& acc) {
  using Tile = PrefillTile<kHeadDim>;
  const int matrix = lane / 8;
  const int value_row = (matrix % 2) * 8 + lane % 8;
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
#pragma unroll
    for (int n = 0; n < kHeadDim / 16; ++n) {
      std::uint32_t b[4];
      LoadMatricesTransposed(b, Tile::Chunk(values, 16 * k + value_row, 2 * n + matrix / 2));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        MultiplyAdd(acc.output[m][2 * n], weights[k][m], b[0], b[1]);
        MultiplyAdd(acc.output[m][2 * n + 1], weights[k][m], b[2], b[3]);
      }
    }
  }
}

// Writes the warp's outputs by way of its part of the shared queries, so that rows leave in 16-byte
// pieces; `query` is the warp's first.
template <int kHeadDim>
__device__ void WriteOutputs(const PrefillParams& op, int query, int head, int lane,
                             std::byte* shared, PrefillAccumulator<kHeadDim>& acc) {
  using Tile = PrefillTile<kHeadDim>;
  const std::int64_t q_heads = std::int64_t{op.kv_heads} * op.group;
  __syncwarp();  // the queries have been read
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int m = r / 2, half = r % 2;
    const int row = 8 * r + lane / 4;
    const float sum = WarpSum<4>(acc.sum[r]);
    const float inverse = sum > 0 ? 1.f / sum : 0.f;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      *reinterpret_cast<std::uint32_t*>(Tile::Chunk(shared, row, n) + 4 * (lane % 4)) =
          PackBfloat16(acc.output[m][n][2 * half] * inverse,
                       acc.output[m][n][2 * half + 1] * inverse);
    }
    if (op.lse != nullptr && lane % 4 == 0 && query + row < op.num_queries) {
      op.lse[(query + row) * q_heads + head] = LogSumExp(acc.max[r], sum);
    }
  }
  __syncwarp();
  auto* output = static_cast<Bfloat16*>(op.output);
  for (int i = lane; i < kWarpQueries * Tile::kRowChunks; i += 32) {
    const int row = i / Tile::kRowChunks, chunk = i % Tile::kRowChunks;
    if (query + row >= op.num_queries) break;
    *reinterpret_cast<uint4*>(output + ((query + row) * q_heads + head) * kHeadDim + chunk * 8) =
        *reinterpret_cast<const uint4*>(Tile::Chunk(shared, row, chunk));
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kPrefillThreads)
    PrefillAttentionKernel(const PrefillKernelParams params) {
  using Tile = PrefillTile<kHeadDim>;
  const PrefillParams& op = params.op;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int head = blockIdx.x;
  const int first_query = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kTileQueries;
  const int warp_query = first_query + warp * kWarpQueries;
  const int warp_position = static_cast<int>(op.query_begin) + warp_query;
  const std::int32_t* slots = op.slots + (head / op.group) * op.slots_stride;
  const KeyRange range{
      static_cast<int>(op.key_begin),
      static_cast<int>(
          min(op.key_end,
              op.query_begin + min(std::int64_t{first_query} + kTileQueries, op.num_queries)))};

  std::byte* queries = SharedMemory();
  std::byte* keys = queries + Tile::kQueryBytes;
  std::byte* values = keys + Tile::kKeyBytes;
  std::byte* warp_queries = queries + warp * kWarpQueries * Tile::kRowBytes;
  PrefillAccumulator<kHeadDim> acc;

  int first_key = range.begin / Tile::kKeys * Tile::kKeys;
  if (range.begin < range.end) {
    CopyQueries<kHeadDim>(op, first_query, head, queries);
    CopyKeyTile<kHeadDim>(params, slots, first_key, range, 0, keys);
    CommitCopies();
  }
  for (; first_key < range.end; first_key += Tile::kKeys) {
    const bool visible = first_key < warp_position + kWarpQueries;
    WaitCopies<0>();
    __syncthreads();  // the keys are here, and all have finished with the values before
    CopyKeyTile<kHeadDim>(params, slots, first_key, range, 1, values);
    CommitCopies();
    std::uint32_t weights[Tile::kKeys / 16][2][4];
    if (visible) {
      float scores[2][Tile::kKeys / 8][4] = {};
      ScoreKeys<kHeadDim>(warp_queries, keys, lane, scores);
      if (first_key + Tile::kKeys > min(warp_position + 1, range.end) || first_key < range.begin) {
        MaskScores(first_key, warp_position, range, lane, scores);
      }
      UpdateSoftmax<kHeadDim>(params.scale_log2, scores, acc);
      PackWeights(scores, weights);
    }
    WaitCopies<0>();
    __syncthreads();  // the values are here, and all have finished with the keys
    if (first_key + Tile::kKeys < range.end) {
      CopyKeyTile<kHeadDim>(params, slots, first_key + Tile::kKeys, range, 0, keys);
    }
    CommitCopies();
    if (visible) AddValues<kHeadDim>(weights, values, lane, acc);
  }
  WriteOutputs<kHeadDim>(op, warp_query, head, lane, warp_queries, acc);
}

void LaunchPrefillAttention(const PrefillParams& params, const LaunchContext& context) {
  CheckAttentionLayout(params.layout);
  SPARSESERVE_CHECK(params.key_begin % params.layout.block_tokens == 0,
                    "the keys begin at a block");
  SPARSESERVE_CHECK(params.scale > 0, "the largest score must stay the largest when scaled");
  SPARSESERVE_CHECK(params.query_begin + params.num_queries + kTileQueries <=
                            std::numeric_limits<std::int32_t>::max() &&
                        params.key_end <= std::numeric_limits<std::int32_t>::max(),
                    "positions fit 32 bits");
  if (params.num_queries == 0) return;
  const PrefillKernelParams kernel{params, Log2(params.layout.block_tokens),
                                   ScaleInBase2(params.scale)};
  const dim3 grid(static_cast<unsigned>(params.kv_heads * params.group),
                  static_cast<unsigned>((params.num_queries + kTileQueries - 1) / kTileQueries));
  if (params.layout.head_dim == 128) {
    LaunchKernel(PrefillAttentionKernel<128>, grid, dim3(kPrefillThreads),
                 PrefillTile<128>::kSharedBytes, kernel, context);
  } else {
    LaunchKernel(PrefillAttentionKernel<64>, grid, dim3(kPrefillThreads),
                 PrefillTile<64>::kSharedBytes, kernel, context);
  }
}

}  // namespace sparseserve::kernels::cuda
