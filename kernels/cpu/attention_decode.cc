// One query token per request over listed KV blocks: output [num_requests, q_heads, head_dim].
//
// Bound. A row (request, KV head) reads each listed block once from memory: 2 * head_dim elements
// per token, for 4 * head_dim * group FLOPs; the group's heads share the tile in L1. Memory, except
// for large groups of bfloat16, where converting and multiplying take as long.
// Threads. Rows are cut into ranges. A row is not split: real models have 4 KV heads or more.
#include <cstdint>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/levels.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

template <typename T, int kHeadDim>
void AttendRow(const DecodeParams& params, std::int64_t row) {
  const int head_dim = params.layout.head_dim;
  const int block_tokens = params.layout.block_tokens;
  const std::int64_t first_head = row * params.group;
  const auto* const blocks = static_cast<const T*>(params.blocks);
  const std::int32_t* const slots = params.slots + row * params.slots_stride;

  AttentionRows rows;
  for (int g = 0; g < params.group; ++g) {
    AddRow(static_cast<const T*>(params.queries) + (first_head + g) * head_dim, head_dim,
           params.scale, rows);
  }
  const std::int32_t num_blocks = params.row_blocks[row];
  const std::int64_t block_elements = std::int64_t{2} * block_tokens * head_dim;
  const std::int64_t ahead = BlocksAhead<T>(block_elements);
  const auto keys_of = [&](std::int64_t i) { return blocks + slots[i] * block_elements; };
  for (std::int32_t i = 0; i < num_blocks; ++i) {
    if (slots[i] < 0) continue;
    const int num_tokens = i + 1 < num_blocks ? block_tokens : params.last_tokens[row];
    if (i + ahead < num_blocks && slots[i + ahead] >= 0)
      Prefetch<CacheLevel::kL2>(keys_of(i + ahead), block_elements);
    const T* const next_block = keys_of(i + 1 < num_blocks && slots[i + 1] >= 0 ? i + 1 : i);
    for (int first = 0; first < num_tokens; first += kTileTokens) {
      const int rest = num_tokens - first;
      const int tokens = rest < kTileTokens ? rest : kTileTokens;
      const T* const keys = keys_of(i) + first * head_dim;
      AttendTile<kHeadDim>(
          keys, keys + block_tokens * head_dim, tokens, head_dim,
          rest > kTileTokens ? keys + kTileTokens * head_dim : next_block,
          [tokens](int) { return tokens; }, rows);
    }
  }
  for (int g = 0; g < params.group; ++g) {
    WriteRow(g, head_dim, rows, static_cast<T*>(params.output) + (first_head + g) * head_dim,
             params.lse == nullptr ? nullptr : params.lse + first_head + g);
  }
}

template <typename T>
void Run(const DecodeParams& params, ThreadPool& pool) {
  const auto attend = params.layout.head_dim == 128  ? AttendRow<T, 128>
                      : params.layout.head_dim == 64 ? AttendRow<T, 64>
                                                     : AttendRow<T, 0>;
  pool.ParallelFor(params.num_requests * params.kv_heads,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t row = begin; row < end; ++row) attend(params, row);
                   });
}

}  // namespace

void DecodeAttention(const DecodeParams& params, ThreadPool& pool) {
  SPARSESERVE_CHECK(params.layout.head_dim % kLanes == 0 && params.layout.head_dim <= kMaxHeadDim,
                    "head_dim is a multiple of 8 up to 256");
  SPARSESERVE_CHECK(params.group <= kMaxRows, "a KV head serves at most 32 query heads");
  params.layout.type == ElementType::kFloat32 ? Run<float>(params, pool)
                                              : Run<Bfloat16>(params, pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
