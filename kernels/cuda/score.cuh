// Scores of KV blocks from their metadata, reduced over the query heads of a group.
//
//     queries [num_rows, group, head_dim]           metadata [entry, vectors, head_dim]
//     scores  [num_rows, row_stride] float
//
// Bound. The metadata, 2 * vectors * head_dim bytes per KV block, is read once for all heads of the
// group; 4 bytes per block are written. With FMA the max-form would take 4 instructions per channel
// and head: 4096 for a group of 8, more than the 3200 that an H200 SM has time for while 512 bytes
// arrive. But with low = min(a, b) and high = max(a, b)
//     sum_i max(q_i a_i, q_i b_i) = min(q, 0) . low + max(q, 0) . high,
// two dot products of exact bfloat16 values: tensor cores do them, min and max are one instruction
// for two channels, and HBM limits at any group size.
//
// Geometry. Grid (tiles, row), 4 warps; a warp takes 16 KV blocks at a time as the rows of m16n8k16
// and 8 query heads as its columns. A dot product does not mind the order of its channels, so lane
// 4 r + c loads 16-byte pieces c, c + 4, ... of rows r and r + 8 and uses them as fragments of two
// mma; queries are loaded alike. No shared memory, and all 16 loads of a tile (8 KiB per warp) are
// in flight before the first is used: 4 blocks of 4 warps keep 128 KiB in flight on an SM. Queries
// stay in registers up to 8 heads; beyond, they are reloaded (from L1) for each tile.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kScoreWarps = 4;
inline constexpr int kScoreTile = 16;  // KV blocks: rows of an mma
inline constexpr int kScoreHeads = 8;  // its columns

// A lane's share of one row: kHeadDim / 32 pieces of 16 bytes.
template <int kHeadDim>
struct RowPieces {
  uint4 at[kHeadDim / 32];

  __device__ void Load(const Bfloat16* row, int lane, bool valid) {
#pragma unroll
    for (int j = 0; j < kHeadDim / 32; ++j) {
      at[j] = valid ? LoadOnce(row + 32 * j + 8 * (lane % 4)) : make_uint4(0, 0, 0, 0);
    }
  }
};

// Sums over channels of `rows` [16] times `query`, added to the fragment `scores`.
template <int kHeadDim>
__device__ __forceinline__ void AddProducts(const RowPieces<kHeadDim> (&rows)[2],
                                            const RowPieces<kHeadDim>& query, float (&scores)[4]) {
#pragma unroll
  for (int j = 0; j < kHeadDim / 32; ++j) {
    const uint4 &top = rows[0].at[j], &bottom = rows[1].at[j], &q = query.at[j];
    MultiplyAdd(scores, {top.x, bottom.x, top.y, bottom.y}, q.x, q.y);
    MultiplyAdd(scores, {top.z, bottom.z, top.w, bottom.w}, q.z, q.w);
  }
}

__device__ __forceinline__ uint4 Min(uint4 a, uint4 b) {
  return make_uint4(MinBfloat16x2(a.x, b.x), MinBfloat16x2(a.y, b.y), MinBfloat16x2(a.z, b.z),
                    MinBfloat16x2(a.w, b.w));
}
__device__ __forceinline__ uint4 Max(uint4 a, uint4 b) {
  return make_uint4(MaxBfloat16x2(a.x, b.x), MaxBfloat16x2(a.y, b.y), MaxBfloat16x2(a.z, b.z),
                    MaxBfloat16x2(a.w, b.w));
}

// Eight heads as right-hand sides: for two vectors the negative and the positive part.
template <int kHeadDim, int kVectors>
struct QueryPieces {
  RowPieces<kHeadDim> part[kVectors];

  __device__ void Load(const Bfloat16* queries, int num_heads, int lane) {
    const int head = lane / 4;
    part[0].Load(queries + head * kHeadDim, lane, head < num_heads);
    if constexpr (kVectors == 2) {
#pragma unroll
      for (int j = 0; j < kHeadDim / 32; ++j) {
        const uint4 q = part[0].at[j], zero = make_uint4(0, 0, 0, 0);
        part[0].at[j] = Min(q, zero);
        part[1].at[j] = Max(q, zero);
      }
    }
  }
};

// Reduces scores of one KV block: this lane's two heads, then the four lanes that share the block.
__device__ __forceinline__ float ReduceHeads(float a, float b, int lane, int num_heads,
                                             GroupReduction reduction) {
  if (reduction != GroupReduction::kMax) return WarpSum<4>(a + b);  // heads past the group give 0
  const int head = 2 * (lane % 4);
  return WarpMax<4>(
      fmaxf(head < num_heads ? a : kMinusInfinity, head + 1 < num_heads ? b : kMinusInfinity));
}

template <int kHeadDim, int kVectors>
__global__ void __launch_bounds__(32 * kScoreWarps) ScoreKernel(const ScoreParams params) {
  const int lane = threadIdx.x % 32;
  const std::int64_t row = blockIdx.y;
  const int num_blocks = params.row_blocks[row];
  const int first_tile = blockIdx.x * kScoreWarps + threadIdx.x / 32;
  if (first_tile * kScoreTile >= num_blocks) return;
  const auto* metadata =
      static_cast<const Bfloat16*>(params.metadata) + params.row_begin[row] * kVectors * kHeadDim;
  const auto* queries =
      static_cast<const Bfloat16*>(params.queries) + row * params.group * kHeadDim;
  float* scores = params.scores + row * params.row_stride;

  QueryPieces<kHeadDim, kVectors> query;
  query.Load(queries, params.group, lane);
  const int tile_step = gridDim.x * kScoreWarps;
  for (int tile = first_tile; tile * kScoreTile < num_blocks; tile += tile_step) {
    RowPieces<kHeadDim> vectors[kVectors][2];
#pragma unroll
    for (int i = 0; i < 2 * kVectors; ++i) {
      const int block = tile * kScoreTile + lane / 4 + 8 * (i % 2);
      vectors[i / 2][i % 2].Load(metadata + (std::int64_t{block} * kVectors + i / 2) * kHeadDim,
                                 lane, block < num_blocks);
    }
    if constexpr (kVectors == 2) {
#pragma unroll
      for (int i = 0; i < 2 * (kHeadDim / 32); ++i) {
        uint4 &a = vectors[0][i % 2].at[i / 2], &b = vectors[1][i % 2].at[i / 2];
        const uint4 low = Min(a, b);
        b = Max(a, b);
        a = low;
      }
    }

    float result[2];
    for (int first_head = 0; first_head < params.group; first_head += kScoreHeads) {
      const int num_heads = min(kScoreHeads, params.group - first_head);
      if (params.group > kScoreHeads) {
        query.Load(queries + first_head * kHeadDim, num_heads, lane);
      }
      float products[4] = {};
#pragma unroll
      for (int v = 0; v < kVectors; ++v) AddProducts(vectors[v], query.part[v], products);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float reduced =
            ReduceHeads(products[2 * i], products[2 * i + 1], lane, num_heads, params.reduction);
        if (first_head == 0) {
          result[i] = reduced;
        } else if (params.reduction == GroupReduction::kMax) {
          result[i] = fmaxf(result[i], reduced);
        } else {
          result[i] += reduced;
        }
      }
    }
    const int block = tile * kScoreTile + lane / 4 + 8 * (lane % 4);
    if (lane % 4 < 2 && block < num_blocks) {
      const float value = lane % 4 == 0 ? result[0] : result[1];
      scores[block] = params.reduction == GroupReduction::kMean
                          ? value / static_cast<float>(params.group)
                          : value;
    }
  }
}

template <int kHeadDim>
void LaunchScoreOf(const ScoreParams& params, dim3 grid, const LaunchContext& context) {
  LaunchKernel(
      MetadataVectors(params.kind) == 2 ? ScoreKernel<kHeadDim, 2> : ScoreKernel<kHeadDim, 1>, grid,
      dim3(32 * kScoreWarps), 0, params, context);
}

void LaunchScore(const ScoreParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels store bfloat16");
  SPARSESERVE_CHECK(params.head_dim == 64 || params.head_dim == 128, "head_dim is 64 or 128");
  SPARSESERVE_CHECK(params.num_rows <= 65535, "rows are the second dimension of the grid");
  if (params.num_rows == 0 || params.row_stride == 0) return;
  // The lengths of rows are on the device; row_stride bounds them. About 16 blocks per SM, so that
  // warps of long rows keep their queries for several tiles.
  const std::int64_t tiles =
      (params.row_stride + kScoreTile * kScoreWarps - 1) / (kScoreTile * kScoreWarps);
  const std::int64_t wanted =
      (std::int64_t{16} * context.num_sms + params.num_rows - 1) / params.num_rows;
  const dim3 grid(static_cast<unsigned>(std::min(tiles, wanted)),
                  static_cast<unsigned>(params.num_rows));
  if (params.head_dim == 128) {
    LaunchScoreOf<128>(params, grid, context);
  } else {
    LaunchScoreOf<64>(params, grid, context);
  }
}

}  // namespace sparseserve::kernels::cuda
