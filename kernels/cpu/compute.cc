#include "kernels/cpu/compute.h"

#include "kernels/cpu/levels.h"

// Chooses the widest instruction set that this CPU has.
#ifdef SPARSESERVE_HAVE_AVX2
#define SPARSESERVE_DISPATCH(Operation, Params)                                    \
  void Operation(const Params& params, ThreadPool& pool) {                         \
    HasAvx2() ? avx2::Operation(params, pool) : baseline::Operation(params, pool); \
  }
#else
#define SPARSESERVE_DISPATCH(Operation, Params) \
  void Operation(const Params& params, ThreadPool& pool) { baseline::Operation(params, pool); }
#endif

namespace sparseserve::kernels::cpu {

#ifdef SPARSESERVE_HAVE_AVX2
namespace {
bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}
}  // namespace
#endif

SPARSESERVE_DISPATCH(BuildMetadata, MetadataParams)
SPARSESERVE_DISPATCH(Score, ScoreParams)
SPARSESERVE_DISPATCH(DecodeAttention, DecodeParams)
SPARSESERVE_DISPATCH(PrefillAttention, PrefillParams)
SPARSESERVE_DISPATCH(Merge, MergeParams)
SPARSESERVE_DISPATCH(Gemm, GemmParams)
SPARSESERVE_DISPATCH(Norm, NormParams)
SPARSESERVE_DISPATCH(GatedActivation, GatedActivationParams)

}  // namespace sparseserve::kernels::cpu
