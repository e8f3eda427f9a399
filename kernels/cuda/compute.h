// The compute kernels of the CUDA backend: each call checks its shapes and enqueues on
// `context.stream`; operations.h says what it computes.
//
// REQUIRES of all: bfloat16 elements; 16-byte aligned tensors; what is called head_dim is 64 or
// 128; block_tokens is a power of two, 16 or more, where attention reads the blocks; prefill has
// scale > 0. Any group size: up to eight query heads share one pass over K and V (or the metadata),
// larger groups take more passes. A shape outside of that aborts. Equal inputs give equal bits: no
// kernel adds floats atomically.
#pragma once

#include <cstddef>

#include "kernels/cuda/launch.h"
#include "kernels/operations.h"

namespace sparseserve::kernels::cuda {

inline constexpr int kQueryTileRows = 128;  // queries of one head, in prefill

// Bytes of `context.workspace` that LaunchDecodeAttention needs; the same parameters and number of
// multiprocessors give the same split.
std::size_t WorkspaceBytes(const DecodeParams& params, int num_sms);

void LaunchBuildMetadata(const MetadataParams& params, const LaunchContext& context);
void LaunchScore(const ScoreParams& params, const LaunchContext& context);
void LaunchTopK(const TopKParams& params, const LaunchContext& context);
void LaunchDecodeAttention(const DecodeParams& params, const LaunchContext& context);
void LaunchPrefillAttention(const PrefillParams& params, const LaunchContext& context);
void LaunchMerge(const MergeParams& params, const LaunchContext& context);
void LaunchNorm(const NormParams& params, const LaunchContext& context);
void LaunchRotateStore(const RotateStoreParams& params, const LaunchContext& context);
void LaunchGatedActivation(const GatedActivationParams& params, const LaunchContext& context);
void LaunchEmbed(const EmbedParams& params, const LaunchContext& context);
void LaunchArgmax(const ArgmaxParams& params, const LaunchContext& context);

}  // namespace sparseserve::kernels::cuda
