// Metadata of full KV blocks: [entry, vectors, head_dim] from the keys [block_tokens, head_dim].
//
// Bound. The keys are read once from memory (the cuboid reads them again from L1), some 1.5 FLOPs
// a byte: memory. Threads: blocks are cut into ranges. 32 channels at a time, so that four sums are
// under way; tokens are added in order.
#include <cstdint>

#include "kernels/cpu/levels.h"
#include "kernels/cpu/vector.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

// Of kVectors * 8 channels of one block.
template <int kVectors, typename T>
void BuildChannels(MetadataKind kind, const T* keys, int num_tokens, int head_dim, T* metadata) {
  Vector low[kVectors], high[kVectors], sum[kVectors];
  for (int c = 0; c < kVectors; ++c) {
    low[c] = high[c] = sum[c] = Load(keys + c * kLanes);
  }
  for (int t = 1; t < num_tokens; ++t) {
    for (int c = 0; c < kVectors; ++c) {
      const Vector key = Load(keys + t * head_dim + c * kLanes);
      low[c] = Min(low[c], key);
      high[c] = Max(high[c], key);
      sum[c] += key;
    }
  }
  const auto num_keys = static_cast<float>(num_tokens);
  if (kind == MetadataKind::kMean) {
    for (int c = 0; c < kVectors; ++c) Store(metadata + c * kLanes, sum[c] / num_keys);
    return;
  }
  if (kind == MetadataKind::kCuboidMean) {
    Vector center[kVectors], distance[kVectors] = {};
    for (int c = 0; c < kVectors; ++c) center[c] = (high[c] + low[c]) * 0.5f;
    for (int t = 0; t < num_tokens; ++t) {
      for (int c = 0; c < kVectors; ++c) {
        const Vector offset = center[c] - Load(keys + t * head_dim + c * kLanes);
        distance[c] += Max(offset, -offset);
      }
    }
    for (int c = 0; c < kVectors; ++c) {
      low[c] = center[c] - distance[c] / num_keys;
      high[c] = center[c] + distance[c] / num_keys;
    }
  }
  for (int c = 0; c < kVectors; ++c) {
    Store(metadata + c * kLanes, low[c]);
    Store(metadata + head_dim + c * kLanes, high[c]);
  }
}

template <typename T>
void Run(const MetadataParams& params, ThreadPool& pool) {
  const int head_dim = params.layout.head_dim;
  const int num_tokens = params.layout.block_tokens;
  const std::int64_t entry_size = std::int64_t{MetadataVectors(params.kind)} * head_dim;
  pool.ParallelFor(params.num_blocks, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* const keys = static_cast<const T*>(params.blocks) +
                            std::int64_t{2} * params.slots[i] * num_tokens * head_dim;
      T* const metadata = static_cast<T*>(params.metadata) + params.entries[i] * entry_size;
      int d = 0;
      for (; d + 4 * kLanes <= head_dim; d += 4 * kLanes) {
        BuildChannels<4>(params.kind, keys + d, num_tokens, head_dim, metadata + d);
      }
      for (; d < head_dim; d += kLanes) {
        BuildChannels<1>(params.kind, keys + d, num_tokens, head_dim, metadata + d);
      }
    }
  });
}

}  // namespace

void BuildMetadata(const MetadataParams& params, ThreadPool& pool) {
  SPARSESERVE_CHECK(params.layout.head_dim % kLanes == 0, "head_dim is a multiple of 8");
  params.layout.type == ElementType::kFloat32 ? Run<float>(params, pool)
                                              : Run<Bfloat16>(params, pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
