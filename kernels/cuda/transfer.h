// The transfers of the CUDA backend: kernels that move blocks or fragments between pinned DRAM and
// HBM, and the loops of copies that they are measured against. Each only enqueues.
//
// The pointers that operations.h calls host are such that kernels can read them: pinned, mapped,
// and translated by the caller.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/operations.h"

namespace sparseserve::kernels::cuda {

// Thread blocks where max_workers is 0; scripts/gpu_run sweeps them.
inline constexpr int kGatherBlocks = 16;      // knees: 4 (4090), 12 (H100); vLLM #42212
inline constexpr int kBulkGatherBlocks = 4;   // SGLang #40278: 192 of 210 GB/s (GB300)
inline constexpr int kDirectSaveBlocks = 32;  // tokenspeed #439: the link is full (B200)

void LaunchGather(const LoadParams& params, const LaunchContext& context);
// REQUIRES: compute capability 9.0 or newer.
void LaunchBulkGather(const LoadParams& params, const LaunchContext& context);
void LaunchDirectSave(const SaveParams& params, const LaunchContext& context);

}  // namespace sparseserve::kernels::cuda
