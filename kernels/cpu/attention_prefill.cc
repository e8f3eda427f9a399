// Many queries of one request over its KV blocks, causal: output [num_queries, q_heads, head_dim].
//
// Bound. 4 * head_dim FLOPs per query head and visible token: arithmetic. Rows of a tile are the
// query heads of one KV head times some queries, 32 in all, so that a tile of K and V, converted to
// float once, serves 32 rows from L1.
// Threads. Pieces (query tile, KV head) are cut into ranges; taken from both ends in turn, so that
// short and long query tiles are spread evenly.
// Tiles begin where blocks do, never where a chunk of queries or keys does: see compute.h.
#include <cstdint>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/levels.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

SPARSESERVE_INLINE const float* AsFloats(const float* data, int, float*) { return data; }
SPARSESERVE_INLINE const float* AsFloats(const Bfloat16* data, int count, float* buffer) {
  for (int i = 0; i < count; i += kLanes) Store(buffer + i, Load(data + i));
  return buffer;
}

struct QueryTile {
  std::int32_t kv_head;
  std::int64_t begin, end;  // queries, from 0
};

template <typename T, int kHeadDim>
void Attend(const PrefillParams& params, const QueryTile& tile) {
  const int head_dim = params.layout.head_dim;
  const int group = params.group;
  const std::int64_t block_tokens = params.layout.block_tokens;
  const std::int64_t q_heads = std::int64_t{params.kv_heads} * group;
  const auto* const queries = static_cast<const T*>(params.queries);
  const std::int32_t* const slots = params.slots + tile.kv_head * params.slots_stride;
  const auto head_of = [&](int row) {
    return (tile.begin + row / group) * q_heads + tile.kv_head * group + row % group;
  };

  AttentionRows rows;
  const int num_rows = static_cast<int>(tile.end - tile.begin) * group;
  for (int row = 0; row < num_rows; ++row) {
    AddRow(queries + head_of(row) * head_dim, head_dim, params.scale, rows);
  }
  float key_buffer[kTileTokens * kMaxHeadDim], value_buffer[kTileTokens * kMaxHeadDim];
  const std::int64_t first_position = params.query_begin + tile.begin;
  const std::int64_t last_position = params.query_begin + tile.end - 1;
  const std::int64_t key_end =
      last_position + 1 < params.key_end ? last_position + 1 : params.key_end;
  const std::int64_t block_elements = 2 * block_tokens * head_dim;
  const std::int64_t tokens_ahead = BlocksAhead<T>(block_elements) * block_tokens;
  const auto keys_of = [&](std::int64_t token) {
    return static_cast<const T*>(params.blocks) + slots[token / block_tokens] * block_elements;
  };
  for (std::int64_t token = params.key_begin; token < key_end;) {
    const std::int64_t in_block = token % block_tokens;
    std::int64_t count = block_tokens - in_block;
    if (count > kTileTokens) count = kTileTokens;
    if (count > key_end - token) count = key_end - token;
    const int num_tokens = static_cast<int>(count);
    SPARSESERVE_CHECK(slots[token / block_tokens] >= 0,
                      "prefill needs every block of its key range");
    if (in_block == 0 && token + tokens_ahead < key_end)
      Prefetch<CacheLevel::kL2>(keys_of(token + tokens_ahead), block_elements);
    const T* const keys = keys_of(token) + in_block * head_dim;
    const T* const values = keys + block_tokens * head_dim;
    AttendTile<kHeadDim>(
        AsFloats(keys, num_tokens * head_dim, key_buffer),
        AsFloats(values, num_tokens * head_dim, value_buffer), num_tokens, head_dim,
        static_cast<const float*>(nullptr),
        [&](int row) {
          const std::int64_t visible = first_position + row / group + 1 - token;
          return static_cast<int>(visible < count ? visible : count);
        },
        rows);
    token += count;
  }
  for (int row = 0; row < num_rows; ++row) {
    WriteRow(row, head_dim, rows, static_cast<T*>(params.output) + head_of(row) * head_dim,
             params.lse == nullptr ? nullptr : params.lse + head_of(row));
  }
}

template <typename T>
void Run(const PrefillParams& params, ThreadPool& pool) {
  const auto attend = params.layout.head_dim == 128  ? Attend<T, 128>
                      : params.layout.head_dim == 64 ? Attend<T, 64>
                                                     : Attend<T, 0>;
  const std::int64_t tile_queries = kMaxRows / params.group;
  const std::int64_t num_tiles = (params.num_queries + tile_queries - 1) / tile_queries;
  const std::int64_t num_pieces = num_tiles * params.kv_heads;
  pool.ParallelFor(num_pieces, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t piece = i % 2 == 0 ? i / 2 : num_pieces - 1 - i / 2;
      const std::int64_t first = piece / params.kv_heads * tile_queries;
      const std::int64_t last = first + tile_queries;
      attend(params, {.kv_head = static_cast<std::int32_t>(piece % params.kv_heads),
                      .begin = first,
                      .end = last < params.num_queries ? last : params.num_queries});
    }
  });
}

}  // namespace

void PrefillAttention(const PrefillParams& params, ThreadPool& pool) {
  SPARSESERVE_CHECK(params.layout.head_dim % kLanes == 0 && params.layout.head_dim <= kMaxHeadDim,
                    "head_dim is a multiple of 8 up to 256");
  SPARSESERVE_CHECK(params.group <= kMaxRows, "a KV head serves at most 32 query heads");
  SPARSESERVE_CHECK(params.key_begin % params.layout.block_tokens == 0,
                    "the keys begin at a block");
  params.layout.type == ElementType::kFloat32 ? Run<float>(params, pool)
                                              : Run<Bfloat16>(params, pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
