// FlashH2D and direct saves: one kernel copies many scattered pieces between pinned DRAM and HBM.
//
// Load: hbm[moves[i].destination] = dram[moves[i].source], blocks of `piece_bytes`, DRAM read over
// UVA. Save: the same the other way round, fragments by byte offset. Either moves num_moves *
// piece_bytes over the link and reads 8 or 16 bytes of DRAM for each move; no FLOPs. The bound is
// the link: 25 GB/s (PCIe 4), 50-55 (PCIe 5), to be compared with a large cudaMemcpyAsync.
//
// By Little's law a read of 1.3-2 us latency needs 33-50 KB in flight on PCIe 4, 70-110 KB on PCIe
// 5 and 0.5-0.7 MB on GH200. A thread has kLoads = 8 loads of 16 bytes in flight, all issued before
// its first store, so a block of 256 threads has 32 KB, and 16 blocks 512 KB: a few SMs saturate
// the link and the others stay free for the layer that computes meanwhile (a full grid slowed
// decode by 47 %, pegaflow #408). Stores need no waiting.
//
// Launch geometry: a capped grid; each block takes one contiguous part of all bytes, cut at warp
// steps of 4 KB, so that few or small pieces still spread over all warps. The moves are read over
// the link too: a block reads the next 1024 that it needs at once, coalesced, into shared memory (8
// or 16 KB), which costs one latency at the start and then one in every 1024 pieces.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/transfer.h"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kGatherThreads = 256;
inline constexpr int kGatherLoads = 8;
inline constexpr int kMovesAtOnce = 1024;
inline constexpr std::int64_t kUnit = 16;  // bytes that a thread loads at once
inline constexpr std::int64_t kUnitsPerStep = std::int64_t{32} * kGatherLoads;  // of a warp

// x / divisor for x < 2^31 by one multiplication. With 2^(l-1) < divisor <= 2^l the multiplier
// exceeds 2^(31+l) / divisor by less than 1, so the error of the product stays below one part.
struct FastDivisor {
  std::uint32_t multiplier;
  std::uint32_t shift;

  static FastDivisor Of(std::uint32_t divisor) {
    const auto shift = static_cast<std::uint32_t>(31 + std::bit_width(divisor - 1));
    return {static_cast<std::uint32_t>(((std::uint64_t{1} << shift) + divisor - 1) / divisor),
            shift};
  }
  __device__ __forceinline__ std::uint32_t Divide(std::uint32_t x) const {
    return static_cast<std::uint32_t>((std::uint64_t{x} * multiplier) >> shift);
  }
};

// Move is BlockMove (offsets in pieces) or FragmentMove (in bytes).
template <typename Move>
struct GatherParams {
  const std::byte* source;
  std::byte* destination;
  const Move* moves;
  std::int64_t num_moves;
  std::int32_t piece_units;
  FastDivisor by_piece_units;
};

// In one load: two would be two reads over the link.
__device__ __forceinline__ void ReadMove(BlockMove* to, const BlockMove* from) {
  *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(from);
}
__device__ __forceinline__ void ReadMove(FragmentMove* to, const FragmentMove* from) {
  *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
}

template <typename Move>
__device__ __forceinline__ std::int64_t OffsetScale(std::int64_t piece_units) {
  return sizeof(Move) == sizeof(BlockMove) ? piece_units * kUnit : 1;
}

template <typename Move>
__global__ void __launch_bounds__(kGatherThreads) GatherKernel(const GatherParams<Move> params) {
  static_assert(sizeof(BlockMove) == 8 && sizeof(FragmentMove) == 16);
  Move* const moves = reinterpret_cast<Move*>(SharedMemory());
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t piece_units = params.piece_units;
  const std::int64_t scale = OffsetScale<Move>(piece_units);

  // This block's units [begin, end).
  const std::int64_t total = params.num_moves * piece_units;
  const std::int64_t num_steps = (total + kUnitsPerStep - 1) / kUnitsPerStep;
  const std::int64_t begin = num_steps * blockIdx.x / gridDim.x * kUnitsPerStep;
  const std::int64_t end = min(num_steps * (blockIdx.x + 1) / gridDim.x * kUnitsPerStep, total);

  for (std::int64_t batch_begin = begin; batch_begin < end;) {
    const std::int64_t first_move = batch_begin / piece_units;
    const std::int64_t num_moves = min(std::int64_t{kMovesAtOnce}, params.num_moves - first_move);
    const std::int64_t batch_end = min(end, (first_move + num_moves) * piece_units);
    const std::int64_t num_needed = (batch_end - 1) / piece_units - first_move + 1;
    for (std::int64_t i = threadIdx.x; i < num_needed; i += kGatherThreads) {
      ReadMove(moves + i, params.moves + first_move + i);
    }
    __syncthreads();

    // Positions within the batch fit into 31 bits.
    const auto batch_offset = static_cast<std::uint32_t>(batch_begin - first_move * piece_units);
    const auto batch_units = static_cast<std::uint32_t>(batch_end - first_move * piece_units);
    for (std::uint32_t step = batch_offset + static_cast<std::uint32_t>(warp * kUnitsPerStep);
         step < batch_units; step += kGatherThreads * kGatherLoads) {
      uint4 values[kGatherLoads];
      std::byte* destinations[kGatherLoads];
#pragma unroll
      for (int i = 0; i < kGatherLoads; ++i) {
        const std::uint32_t unit = step + static_cast<std::uint32_t>(32 * i + lane);
        destinations[i] = nullptr;
        if (unit >= batch_units) continue;
        const std::uint32_t index = params.by_piece_units.Divide(unit);
        const Move move = moves[index];
        if (move.source < 0) continue;
        const std::int64_t within = (unit - index * params.piece_units) * kUnit;
        destinations[i] = params.destination + move.destination * scale + within;
        values[i] = LoadOnce(params.source + move.source * scale + within);
      }
#pragma unroll
      for (int i = 0; i < kGatherLoads; ++i) {
        if (destinations[i] == nullptr) continue;
        if constexpr (sizeof(Move) == sizeof(BlockMove)) {
          StoreNoAllocate(destinations[i], values[i]);
        } else {
          StoreStreaming(destinations[i], values[i]);
        }
      }
    }
    __syncthreads();  // the moves are overwritten next
    batch_begin = batch_end;
  }
}

template <typename Move>
void LaunchGatherKernel(const std::byte* source, std::byte* destination, const Move* moves,
                        std::int64_t num_moves, std::int64_t piece_bytes, int max_blocks,
                        const LaunchContext& context) {
  SPARSESERVE_CHECK(piece_bytes > 0 && piece_bytes % kUnit == 0, "pieces of 16-byte units");
  SPARSESERVE_CHECK(piece_bytes <= std::int64_t{16} << 20, "a piece of more than 16 MiB");
  SPARSESERVE_CHECK(reinterpret_cast<std::uintptr_t>(moves) % sizeof(Move) == 0,
                    "moves are aligned to their size");
  const auto piece_units = static_cast<std::int32_t>(piece_bytes / kUnit);
  const GatherParams<Move> params{
      source,    destination, moves,
      num_moves, piece_units, FastDivisor::Of(static_cast<std::uint32_t>(piece_units))};
  const std::int64_t num_steps = CeilDiv(num_moves * piece_units, kUnitsPerStep);
  const auto grid = static_cast<unsigned>(std::min(num_steps, std::int64_t{max_blocks}));
  LaunchKernel(GatherKernel<Move>, dim3(grid), dim3(kGatherThreads), kMovesAtOnce * sizeof(Move),
               params, context);
}

void LaunchGather(const LoadParams& params, const LaunchContext& context) {
  LaunchGatherKernel(params.dram, params.hbm, params.moves, params.num_moves, params.block_bytes,
                     params.max_workers > 0 ? params.max_workers : kGatherBlocks, context);
}

void LaunchDirectSave(const SaveParams& params, const LaunchContext& context) {
  LaunchGatherKernel(params.hbm, params.dram, params.moves, params.num_moves, params.fragment_bytes,
                     params.max_workers > 0 ? params.max_workers : kDirectSaveBlocks, context);
}

}  // namespace sparseserve::kernels::cuda
