// The operations that are compiled once per instruction set, in a namespace for each. The rest of
// compute.h has no arithmetic worth it.
#pragma once

#include "kernels/operations.h"
#include "kernels/thread_pool.h"

#define SPARSESERVE_DECLARE_LEVEL(level)                                       \
  namespace sparseserve::kernels::cpu::level {                                 \
  void BuildMetadata(const MetadataParams& params, ThreadPool& pool);          \
  void Score(const ScoreParams& params, ThreadPool& pool);                     \
  void DecodeAttention(const DecodeParams& params, ThreadPool& pool);          \
  void PrefillAttention(const PrefillParams& params, ThreadPool& pool);        \
  void Merge(const MergeParams& params, ThreadPool& pool);                     \
  void Gemm(const GemmParams& params, ThreadPool& pool);                       \
  void Norm(const NormParams& params, ThreadPool& pool);                       \
  void GatedActivation(const GatedActivationParams& params, ThreadPool& pool); \
  }

SPARSESERVE_DECLARE_LEVEL(baseline)
SPARSESERVE_DECLARE_LEVEL(avx2)

#undef SPARSESERVE_DECLARE_LEVEL
