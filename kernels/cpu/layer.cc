// The pieces of a layer that copy or compare more than they compute: rotary embedding with its
// stores, embedding, argmax. All are bound by memory; tokens or rows are cut into ranges.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/cpu/compute.h"

namespace sparseserve::kernels::cpu {
namespace {

void StoreAs(float* data, float x) { *data = x; }
void StoreAs(Bfloat16* data, float x) { *data = ToBfloat16(x); }

struct Rotation {
  float cosine, sine;
};

template <typename T>
void Rotate(const T* x, const std::vector<Rotation>& rotations, T* y) {
  const std::size_t half = rotations.size();
  for (std::size_t i = 0; i < half; ++i) {
    const float a = ToFloat(x[i]), b = ToFloat(x[i + half]);
    StoreAs(y + i, a * rotations[i].cosine - b * rotations[i].sine);
    StoreAs(y + i + half, b * rotations[i].cosine + a * rotations[i].sine);
  }
}

template <typename T>
void RotateStoreToken(const RotateStoreParams& params, const std::vector<double>& frequencies,
                      std::int64_t token) {
  const std::int64_t head_dim = params.layout.head_dim;
  const std::int64_t block_tokens = params.layout.block_tokens;
  const std::int64_t q_heads = std::int64_t{params.kv_heads} * params.group;
  const auto head_bytes = static_cast<std::size_t>(head_dim) * sizeof(T);
  const std::int64_t position = params.positions[token];
  // In double: in float an angle at position 100,000 is off by 0.004.
  std::vector<Rotation> rotations(frequencies.size());
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    rotations[i] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }
  const T* const q =
      static_cast<const T*>(params.qkv) + token * (q_heads + 2 * params.kv_heads) * head_dim;
  const T* const k = q + q_heads * head_dim;
  const T* const v = k + params.kv_heads * head_dim;
  T* const queries = static_cast<T*>(params.queries) + token * q_heads * head_dim;
  for (std::int64_t h = 0; h < q_heads; ++h) {
    Rotate(q + h * head_dim, rotations, queries + h * head_dim);
  }
  std::vector<T> key(static_cast<std::size_t>(head_dim));
  for (std::int64_t h = 0; h < params.kv_heads; ++h) {
    Rotate(k + h * head_dim, rotations, key.data());
    const auto store = [&](T* key_target, T* value_target) {
      std::memcpy(static_cast<void*>(key_target), key.data(), head_bytes);
      std::memcpy(static_cast<void*>(value_target), v + h * head_dim, head_bytes);
    };
    const std::int32_t slot = params.slots[token * params.kv_heads + h];
    if (slot >= 0) {
      T* const target = static_cast<T*>(params.blocks) +
                        (2 * slot * block_tokens + position % block_tokens) * head_dim;
      store(target, target + block_tokens * head_dim);
    }
    if (params.fragments != nullptr) {
      T* const target =
          static_cast<T*>(params.fragments) + (2 * h * params.num_tokens + token) * head_dim;
      store(target, target + params.num_tokens * head_dim);
    }
  }
}

template <typename T>
std::int32_t FindLargest(const T* logits, std::int64_t width) {
  std::int64_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  for (std::int64_t i = 0; i < width; ++i) {
    const float logit = ToFloat(logits[i]);
    if (logit > largest) {
      largest = logit;
      best = i;
    }
  }
  return static_cast<std::int32_t>(best);
}

}  // namespace

void RotateStore(const RotateStoreParams& params, ThreadPool& pool) {
  const std::int32_t half = params.layout.head_dim / 2;
  std::vector<double> frequencies(static_cast<std::size_t>(half));
  for (std::int32_t i = 0; i < half; ++i) {
    frequencies[static_cast<std::size_t>(i)] =
        std::pow(static_cast<double>(params.theta), -static_cast<double>(i) / half);
  }
  const auto run = params.layout.type == ElementType::kFloat32 ? RotateStoreToken<float>
                                                               : RotateStoreToken<Bfloat16>;
  pool.ParallelFor(params.num_tokens, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) run(params, frequencies, token);
  });
}

void Embed(const EmbedParams& params, ThreadPool& pool) {
  const std::int64_t row_bytes = params.width * ElementBytes(params.type);
  const auto* const table = static_cast<const std::byte*>(params.table);
  auto* const y = static_cast<std::byte*>(params.y);
  pool.ParallelFor(params.num_tokens, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(y + i * row_bytes, table + params.tokens[i] * row_bytes,
                  static_cast<std::size_t>(row_bytes));
    }
  });
}

void Argmax(const ArgmaxParams& params, ThreadPool& pool) {
  pool.ParallelFor(params.num_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t offset = row * params.width;
      params.indices[row] =
          params.type == ElementType::kFloat32
              ? FindLargest(static_cast<const float*>(params.logits) + offset, params.width)
              : FindLargest(static_cast<const Bfloat16*>(params.logits) + offset, params.width);
    }
  });
}

}  // namespace sparseserve::kernels::cpu
