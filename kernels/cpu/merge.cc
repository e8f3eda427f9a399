// Joins two partial attentions by their log-sum-exps: a, b [num_rows, head_dim].
//
// Bound. Memory: 3 * head_dim elements a row, two FLOPs each. Threads: rows are cut into ranges.
#include <cstdint>

#include "kernels/cpu/levels.h"
#include "kernels/cpu/vector.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

template <typename T>
void MergeRow(const MergeParams& params, std::int64_t row) {
  const float lse_a = params.lse_a[row], lse_b = params.lse_b[row];
  if (lse_b == kMinusInfinity) return;
  T* const a = static_cast<T*>(params.a) + row * params.head_dim;
  const T* const b = static_cast<const T*>(params.b) + row * params.head_dim;
  const float max = lse_a > lse_b ? lse_a : lse_b;
  const float weight_a = __builtin_expf(lse_a - max), weight_b = __builtin_expf(lse_b - max);
  const float sum = weight_a + weight_b;
  for (int d = 0; d < params.head_dim; d += kLanes) {
    // Where `a` counts for nothing its contents may be anything, NaN included.
    const Vector own = lse_a == kMinusInfinity ? Broadcast(0) : Load(a + d) * (weight_a / sum);
    Store(a + d, MultiplyAdd(Load(b + d), Broadcast(weight_b / sum), own));
  }
  params.lse_a[row] = max + __builtin_logf(sum);
}

template <typename T>
void Run(const MergeParams& params, ThreadPool& pool) {
  pool.ParallelFor(params.num_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) MergeRow<T>(params, row);
  });
}

}  // namespace

void Merge(const MergeParams& params, ThreadPool& pool) {
  SPARSESERVE_CHECK(params.head_dim % kLanes == 0, "head_dim is a multiple of 8");
  params.type == ElementType::kFloat32 ? Run<float>(params, pool) : Run<Bfloat16>(params, pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
