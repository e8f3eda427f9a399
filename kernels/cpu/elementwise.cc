// Norm and gated activation, row by row: [num_rows, width], any width.
//
// Bound. Memory: two or three elements moved for each result. Threads: rows are cut into ranges.
#include <cstdint>

#include "kernels/cpu/levels.h"
#include "kernels/cpu/vector.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

// Calls body(i, load, store) for runs of eight, the last of which may be shorter.
template <typename Body>
SPARSESERVE_INLINE void ForVectors(std::int64_t width, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    body(
        i, [](const auto* data) __attribute__((always_inline)) { return Load(data); },
        [](auto* data, Vector x) __attribute__((always_inline)) { Store(data, x); });
  }
  if (i < width) {
    const std::int64_t rest = width - i;
    body(
        i,
        [rest](const auto* data) __attribute__((always_inline)) { return LoadFirst(data, rest); },
        [rest](auto* data, Vector x) __attribute__((always_inline)) { StoreFirst(data, x, rest); });
  }
}

template <typename T>
void NormRow(const NormParams& params, std::int64_t row) {
  const T* const x = static_cast<const T*>(params.x) + row * params.width;
  const T* const weight = static_cast<const T*>(params.weight);
  T* const y = static_cast<T*>(params.y) + row * params.width;
  Vector squares = Broadcast(0);
  ForVectors(
      params.width, [&](std::int64_t i, const auto& load, const auto&)
                        __attribute__((always_inline)) {
                          const Vector value = load(x + i);
                          squares = MultiplyAdd(value, value, squares);
                        });
  const float mean = SumLanes(squares) / static_cast<float>(params.width);
  const Vector factor = Broadcast(1 / __builtin_sqrtf(mean + params.epsilon));
  ForVectors(
      params.width, [&](std::int64_t i, const auto& load, const auto& store) __attribute__((
                        always_inline)) { store(y + i, load(x + i) * factor * load(weight + i)); });
}

// silu(x) = x / (1 + e^-x), written so that the exponential is at most 1.
SPARSESERVE_INLINE Vector Silu(Vector x) {
  const Vector exponential = Exp2(Min(x, -x) * kLog2E);
  const Vector numerator = x < Broadcast(0) ? x * exponential : x;
  return numerator / (1 + exponential);
}

template <typename T>
void ActivateRow(const GatedActivationParams& params, std::int64_t row) {
  const T* const gate = static_cast<const T*>(params.x) + row * 2 * params.width;
  const T* const up = gate + params.width;
  T* const y = static_cast<T*>(params.y) + row * params.width;
  ForVectors(
      params.width, [&](std::int64_t i, const auto& load, const auto& store) __attribute__((
                        always_inline)) { store(y + i, Silu(load(gate + i)) * load(up + i)); });
}

template <typename Params>
void RunRows(void (*run_row)(const Params&, std::int64_t), const Params& params, ThreadPool& pool) {
  pool.ParallelFor(params.num_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) run_row(params, row);
  });
}

}  // namespace

void Norm(const NormParams& params, ThreadPool& pool) {
  RunRows(params.type == ElementType::kFloat32 ? NormRow<float> : NormRow<Bfloat16>, params, pool);
}

void GatedActivation(const GatedActivationParams& params, ThreadPool& pool) {
  RunRows(params.type == ElementType::kFloat32 ? ActivateRow<float> : ActivateRow<Bfloat16>, params,
          pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
