// FlashH2D with the bulk copy engine (TMA) of sm_90: DRAM -> shared memory -> HBM, no registers.
//
// hbm[moves[i].destination] = dram[moves[i].source]. Traffic and bound as in gather.cuh; what
// differs is the cost to the SM. One thread of a block of one warp keeps a ring of stages in shared
// memory going: a bulk load over UVA fills a stage and counts on its mbarrier, a bulk store drains
// it into HBM. The engine takes a fixed time for an operation, so there is one for each contiguous
// run: a whole block, or its parts of 32 KB. Rows would be too small (SGLang #40278 and #37231).
//
// Shared memory: a ring of up to 128 KB, at least 3 stages, and 8 KB of moves. All but kDraining
// stages are loading: some 96 KB in flight in a block, so 4 blocks exceed what PCIe 5 needs (110
// KB) and 8 suffice for C2C. Moves to be skipped are dropped when they are read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/transfer.h"
#include "kernels/operations.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {

inline constexpr std::int64_t kMaxStageBytes = std::int64_t{32} << 10;
inline constexpr std::int64_t kRingBytes = std::int64_t{128} << 10;
inline constexpr int kMaxStages = 32;
inline constexpr int kBulkMovesAtOnce = 1024;
inline constexpr int kDraining = 2;  // stages that may still be read by their stores

struct BulkGatherParams {
  const std::byte* source;
  std::byte* destination;
  const BlockMove* moves;
  std::int64_t num_moves;
  std::int64_t block_bytes;
  std::int32_t stage_bytes;
  std::int32_t num_stages;
};

// Shared memory: barriers, moves, stages.
inline constexpr std::size_t kBulkMovesOffset = kMaxStages * sizeof(std::uint64_t);
inline constexpr std::size_t kBulkRingOffset =
    kBulkMovesOffset + kBulkMovesAtOnce * sizeof(BlockMove);
static_assert(kBulkRingOffset % 128 == 0, "stages are aligned to 128 bytes");

// The ring, as the one thread sees it that drives it. Copies are numbered from the first on; copy i
// uses stage i % num_stages.
struct BulkRing {
  const BulkGatherParams& params;
  std::uint64_t* barriers;
  const BlockMove* moves;  // of the current batch, none to be skipped
  std::byte* stages;
  std::int32_t copies_per_block;
  std::uint32_t first_copy;  // of the batch

  __device__ std::int64_t OffsetInBlock(std::uint32_t copy) const {
    return std::int64_t{params.stage_bytes} * ((copy - first_copy) % copies_per_block);
  }
  __device__ std::uint32_t SizeOf(std::uint32_t copy) const {
    return static_cast<std::uint32_t>(
        min(std::int64_t{params.stage_bytes}, params.block_bytes - OffsetInBlock(copy)));
  }
  __device__ const BlockMove& MoveOf(std::uint32_t copy) const {
    return moves[(copy - first_copy) / copies_per_block];
  }
  __device__ std::byte* StageOf(std::uint32_t copy) const {
    return stages + std::int64_t{params.stage_bytes} * (copy % params.num_stages);
  }
  __device__ void Load(std::uint32_t copy) const {
    std::uint64_t* const barrier = barriers + copy % params.num_stages;
    ArriveExpectingBytes(barrier, SizeOf(copy));
    BulkLoad(StageOf(copy),
             params.source + MoveOf(copy).source * params.block_bytes + OffsetInBlock(copy),
             SizeOf(copy), barrier);
  }
  __device__ void Store(std::uint32_t copy) const {
    WaitAtBarrier(barriers + copy % params.num_stages, copy / params.num_stages % 2);
    FenceSharedForBulk();
    BulkStore(
        params.destination + MoveOf(copy).destination * params.block_bytes + OffsetInBlock(copy),
        StageOf(copy), SizeOf(copy));
    CommitBulkStores();
  }
};

__global__ void __launch_bounds__(32) BulkGatherKernel(const BulkGatherParams params) {
  const auto lane = threadIdx.x;
  auto* const barriers = reinterpret_cast<std::uint64_t*>(SharedMemory());
  auto* const moves = reinterpret_cast<BlockMove*>(SharedMemory() + kBulkMovesOffset);
  if (lane == 0) {
    for (int i = 0; i < params.num_stages; ++i) InitBarrier(barriers + i, 1);
    FenceBarrierInit();
  }
  BulkRing ring{
      params,
      barriers,
      moves,
      SharedMemory() + kBulkRingOffset,
      static_cast<std::int32_t>((params.block_bytes + params.stage_bytes - 1) / params.stage_bytes),
      0};
  const auto ahead = static_cast<std::uint32_t>(params.num_stages - kDraining);

  const std::int64_t begin = params.num_moves * blockIdx.x / gridDim.x;
  const std::int64_t end = params.num_moves * (blockIdx.x + 1) / gridDim.x;
  for (std::int64_t batch = begin; batch < end; batch += kBulkMovesAtOnce) {
    const std::int64_t batch_end = min(end, batch + kBulkMovesAtOnce);
    std::uint32_t num_kept = 0;
    for (std::int64_t i = batch; i < batch_end; i += 32) {  // the same for all lanes
      BlockMove move{-1, 0};
      if (i + lane < batch_end) move = params.moves[i + lane];
      const unsigned kept = __ballot_sync(kAllLanes, move.source >= 0);
      if (move.source >= 0) moves[num_kept + __popc(kept & ((1u << lane) - 1))] = move;
      num_kept += __popc(kept);
    }
    __syncwarp();
    if (lane == 0) {
      const std::uint32_t first = ring.first_copy;
      const std::uint32_t last = first + num_kept * ring.copies_per_block;
      for (std::uint32_t i = first; i < min(first + ahead, last); ++i) ring.Load(i);
      for (std::uint32_t i = first; i < last; ++i) {
        ring.Store(i);
        // The stage of load i + ahead was that of store i - kDraining.
        WaitBulkStoresRead<kDraining>();
        if (i + ahead < last) ring.Load(i + ahead);
      }
      WaitBulkStores<0>();
      ring.first_copy = last;
    }
    __syncwarp();  // the moves are overwritten next
  }
}

void LaunchBulkGather(const LoadParams& params, const LaunchContext& context) {
  SPARSESERVE_CHECK(context.compute_capability >= 90, "bulk copies need compute capability 9.0");
  SPARSESERVE_CHECK(params.block_bytes > 0 && params.block_bytes % 16 == 0,
                    "blocks are multiples of 16 bytes");
  const std::int64_t stage_bytes =
      CeilDiv(std::min(params.block_bytes, kMaxStageBytes), std::int64_t{128}) * 128;
  const std::int64_t num_stages =
      std::min(kRingBytes / stage_bytes, std::int64_t{kMaxStages});  // 4 or more
  const BulkGatherParams gather{params.dram,
                                params.hbm,
                                params.moves,
                                params.num_moves,
                                params.block_bytes,
                                static_cast<std::int32_t>(stage_bytes),
                                static_cast<std::int32_t>(num_stages)};
  const std::int64_t max_blocks = params.max_workers > 0 ? params.max_workers : kBulkGatherBlocks;
  LaunchKernel(BulkGatherKernel,
               dim3(static_cast<unsigned>(std::min(params.num_moves, max_blocks))), dim3(32),
               kBulkRingOffset + static_cast<std::size_t>(stage_bytes * num_stages), gather,
               context);
}

}  // namespace sparseserve::kernels::cuda
