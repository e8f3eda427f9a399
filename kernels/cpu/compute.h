// The operations of operations.h on a CPU: each runs on the caller and the threads of the pool and
// is done when it returns.
//
// Results do not depend on how work is cut. Whatever the number of threads and the other rows of
// the call, a row has the same bits: a GEMM element's order of summation depends on k alone,
// attention walks the blocks in listed order in tiles that never cross a block. So whole and
// chunked prefill agree bit for bit, and decode over all blocks agrees with the prefill of the same
// token.
//
// Compiled for the baseline of the architecture, and on x86-64 also for AVX2 with FMA, chosen at
// run time (compute.cc). Between those two bits differ, since FMA rounds once.
#pragma once

#include "kernels/operations.h"
#include "kernels/thread_pool.h"

namespace sparseserve::kernels::cpu {

inline constexpr int kQueryTileRows = 32;  // query heads of one KV head times queries, in prefill

// REQUIRES of attention, beside operations.h: head_dim <= 256, group <= kQueryTileRows.
void BuildMetadata(const MetadataParams& params, ThreadPool& pool);
void Score(const ScoreParams& params, ThreadPool& pool);
void TopK(const TopKParams& params, ThreadPool& pool);
void DecodeAttention(const DecodeParams& params, ThreadPool& pool);
void PrefillAttention(const PrefillParams& params, ThreadPool& pool);
void Merge(const MergeParams& params, ThreadPool& pool);
void Gemm(const GemmParams& params, ThreadPool& pool);
void Norm(const NormParams& params, ThreadPool& pool);
void RotateStore(const RotateStoreParams& params, ThreadPool& pool);
void GatedActivation(const GatedActivationParams& params, ThreadPool& pool);
void Embed(const EmbedParams& params, ThreadPool& pool);
void Argmax(const ArgmaxParams& params, ThreadPool& pool);

}  // namespace sparseserve::kernels::cpu
