// What the kernels do: one parameter struct per operation, the same for both backends.
//
// Memory. "Device memory" and "host memory" are what Backend::AllocateDevice and AllocateHost give:
// HBM and pinned DRAM on a GPU, two arenas on a CPU. Unless a comment says host, every pointer is
// device memory, index arrays included, because the GPU must not wait for the CPU between kernels.
// A call only enqueues: what it points to stays valid and unchanged until its lane has passed it.
//
// KV block. The unit that is selected, cached, loaded and saved: the keys and values of
// `block_tokens` tokens of one KV head in one layer,
//     block: [2 (K, V), block_tokens, head_dim]
// so a head's K and V are one contiguous run. A *slot* is a block's index in the device pool.
// Keys are stored after the rotary embedding.
//
// Row. One (request, KV head): row = request * kv_heads + kv_head. The `group` query heads of a KV
// head are neighbours in [.., q_heads, head_dim], q_heads = kv_heads * group, so the queries of row
// r start at r * group * head_dim.
//
// Sums are taken in float in a fixed order: two calls with equal inputs give equal bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/core/units.h"

namespace sparseserve::kernels {

enum class ElementType : std::uint8_t { kFloat32, kBfloat16 };

constexpr std::int64_t ElementBytes(ElementType type) {
  return type == ElementType::kFloat32 ? 4 : 2;
}

struct KvLayout {
  ElementType type = ElementType::kBfloat16;
  std::int32_t block_tokens = 32;
  std::int32_t head_dim = 128;  // a multiple of 8; on CUDA 64 or 128

  constexpr Bytes BlockBytes() const {
    return Bytes(2 * ElementBytes(type) * block_tokens * head_dim);
  }
};

// --- transfers -----------------------------------------------------------------------------------

enum class LoadMethod : std::uint8_t {
  kCopyPerBlock,  // one asynchronous copy for each block (the baseline of the paper)
  kBatchCopy,     // cudaMemcpyBatchAsync: one call for all blocks. CUDA only
  kGather,        // FlashH2D: one kernel gathers all blocks over UVA; on a CPU threads do
  kBulkGather,    // the same with bulk copies (TMA) through shared memory. sm_90 and newer
};

struct BlockMove {
  std::int32_t source;       // block index in `dram`; negative: skip this move
  std::int32_t destination;  // slot in `hbm`; no two moves of a call share one
};

// Copies whole blocks from DRAM to HBM.
struct LoadParams {
  const std::byte* dram = nullptr;  // host
  std::byte* hbm = nullptr;
  std::int64_t block_bytes = 0;      // a multiple of 16
  const BlockMove* moves = nullptr;  // host
  std::int64_t num_moves = 0;
  int max_workers = 0;  // thread blocks of a kernel, threads of a CPU; 0: the backend's default
};

enum class SaveMethod : std::uint8_t {
  kCopyPerBlock,  // one asynchronous copy for each fragment
  kDirect,        // a kernel stores into pinned DRAM; on a CPU threads do
  kStaged,        // FlashD2H: one copy into a pinned ring, CPU threads scatter from there
};

struct FragmentMove {
  std::int64_t source;       // byte offset in `hbm`, a multiple of 16; negative: skip this move
  std::int64_t destination;  // byte offset in `dram`, a multiple of 16; ranges do not overlap
};

// Copies fragments (whole blocks, or the K or V of one token) from HBM to DRAM.
// kStaged REQUIRES: the sources lie one after the other, moves[i].source = moves[0].source + i *
// fragment_bytes, and none is skipped.
struct SaveParams {
  const std::byte* hbm = nullptr;
  std::byte* dram = nullptr;            // host
  std::int64_t fragment_bytes = 0;      // a multiple of 16
  const FragmentMove* moves = nullptr;  // host
  std::int64_t num_moves = 0;
  int max_workers = 0;  // as in LoadParams; kStaged: threads that scatter
};

// --- block selection -----------------------------------------------------------------------------

// What a block's metadata holds, per channel over the block's keys k:
enum class MetadataKind : std::uint8_t {
  kMinMax,      // [2, head_dim]: min, max (Quest)
  kCuboidMean,  // [2, head_dim]: c - r, c + r with c = (max + min) / 2, r = mean |c - k| (ArkVale)
  kMean,        // [1, head_dim]: mean
};

constexpr std::int32_t MetadataVectors(MetadataKind kind) {
  return kind == MetadataKind::kMean ? 1 : 2;
}

// Builds the metadata of full blocks: metadata[entries[i]] from the keys of blocks[slots[i]].
struct MetadataParams {
  KvLayout layout;
  MetadataKind kind = MetadataKind::kCuboidMean;
  const void* blocks = nullptr;           // [slot, 2, block_tokens, head_dim]
  const std::int32_t* slots = nullptr;    // [num_blocks]
  const std::int64_t* entries = nullptr;  // [num_blocks]
  std::int64_t num_blocks = 0;
  void* metadata = nullptr;  // [entry, vectors, head_dim], of layout.type
};

enum class GroupReduction : std::uint8_t { kMean, kMax, kSum };

// Scores every block with metadata against the query of each row, and reduces over the group's
// query heads: what is compared is one number per (KV head, block). A query head's score is
// sum_i max(q_i a_i, q_i b_i) for two vectors a, b and the dot product for one; unscaled.
// Writes scores[row, 0 .. row_blocks[row]) and nothing else.
struct ScoreParams {
  ElementType type = ElementType::kBfloat16;
  std::int32_t head_dim = 128;
  std::int32_t group = 1;
  MetadataKind kind = MetadataKind::kCuboidMean;
  GroupReduction reduction = GroupReduction::kMean;
  std::int64_t num_rows = 0;
  const void* queries = nullptr;             // [num_rows, group, head_dim]
  const void* metadata = nullptr;            // [entry, vectors, head_dim]
  const std::int64_t* row_begin = nullptr;   // [num_rows] entry of the row's block 0
  const std::int32_t* row_blocks = nullptr;  // [num_rows] its entries are consecutive
  float* scores = nullptr;                   // [num_rows, row_stride]
  std::int64_t row_stride = 0;               // >= the longest row
};

// Chooses min(k, row_blocks) blocks of each row: the first `num_first` and last `num_last` always
// (if k has room: first ones before last ones), then those with the highest scores; of equal scores
// the lower index. NaN counts as the lowest score. Writes indices in rising order, then -1.
struct TopKParams {
  std::int64_t num_rows = 0;
  const float* scores = nullptr;  // [num_rows, row_stride]
  std::int64_t row_stride = 0;
  const std::int32_t* row_blocks = nullptr;  // [num_rows]
  std::int32_t k = 0;
  std::int32_t num_first = 0;
  std::int32_t num_last = 0;
  std::int32_t* indices = nullptr;  // [num_rows, k]
};

// --- attention -----------------------------------------------------------------------------------

// One query token per request over the blocks that its rows list. Full attention lists all blocks,
// sparse attention the selected ones: the same operation, and for equal lists the same bits.
// A negative slot is skipped. A row without tokens gives output 0 and lse -inf.
struct DecodeParams {
  KvLayout layout;
  std::int64_t num_requests = 0;
  std::int32_t kv_heads = 1;
  std::int32_t group = 1;
  float scale = 1;                      // usually 1 / sqrt(head_dim)
  const void* queries = nullptr;        // [num_requests, q_heads, head_dim]
  const void* blocks = nullptr;         // [slot, 2, block_tokens, head_dim]
  const std::int32_t* slots = nullptr;  // [rows, slots_stride]
  std::int64_t slots_stride = 0;
  const std::int32_t* row_blocks = nullptr;  // [rows] slots listed
  const std::int32_t* last_tokens =
      nullptr;                      // [rows] tokens in the last listed block, 1 .. block_tokens
  std::int64_t max_row_blocks = 0;  // host value: the longest row (decides the split)
  void* output = nullptr;           // [num_requests, q_heads, head_dim]
  float* lse = nullptr;  // [num_requests, q_heads] log of the sum of exponentials; may be null
};

// Query tokens at positions [query_begin, query_begin + num_queries) of one request attend to keys
// [key_begin, min(key_end, own position + 1)): whole prefill has query_begin = key_begin = 0,
// chunked prefill query_begin > 0, and a key range that does not fit is cut and merged with
// MergeParams. Keys lie in blocks: token t of head h in blocks[slots[h, t / block_tokens]].
// Queries with no key in range give output 0 and lse -inf.
struct PrefillParams {
  KvLayout layout;
  std::int32_t kv_heads = 1;
  std::int32_t group = 1;
  float scale = 1;
  std::int64_t query_begin = 0;
  std::int64_t num_queries = 0;
  std::int64_t key_begin = 0;  // a multiple of block_tokens
  std::int64_t key_end = 0;
  const void* queries = nullptr;        // [num_queries, q_heads, head_dim]
  const void* blocks = nullptr;         // [slot, 2, block_tokens, head_dim]
  const std::int32_t* slots = nullptr;  // [kv_heads, slots_stride], indexed from token 0
  std::int64_t slots_stride = 0;
  void* output = nullptr;  // [num_queries, q_heads, head_dim]
  float* lse = nullptr;    // [num_queries, q_heads]; may be null
};

// Joins two partial attentions over disjoint keys: a := a joined with b, exactly as if softmax had
// seen both. A row whose lse is -inf counts for nothing.
struct MergeParams {
  ElementType type = ElementType::kBfloat16;
  std::int64_t num_rows = 0;  // of (query, query head)
  std::int32_t head_dim = 128;
  void* a = nullptr;       // [num_rows, head_dim], read and written
  float* lse_a = nullptr;  // [num_rows], read and written
  const void* b = nullptr;
  const float* lse_b = nullptr;
};

// --- the rest of a layer -------------------------------------------------------------------------

// y = x w^T, plus y itself if `accumulate`. Sums in float.
struct GemmParams {
  ElementType type = ElementType::kBfloat16;
  std::int64_t m = 0, n = 0, k = 0;
  const void* x = nullptr;  // [m, k]
  const void* w = nullptr;  // [n, k]
  void* y = nullptr;        // [m, n]
  bool accumulate = false;
};

// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row.
struct NormParams {
  ElementType type = ElementType::kBfloat16;
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  float epsilon = 1e-5f;
  const void* x = nullptr;       // [num_rows, width]
  const void* weight = nullptr;  // [width]
  void* y = nullptr;             // [num_rows, width]; may be x
};

// Rotates queries and keys of new tokens by their positions (pairs (i, i + head_dim / 2), angle
// position * theta^(-2 i / head_dim)), writes the queries out, K and V into their blocks, and K and
// V once more into `fragments`, from where FlashD2H saves them: head by head, so that the tokens of
// a block are one run there as well as in the block.
struct RotateStoreParams {
  KvLayout layout;
  std::int64_t num_tokens = 0;
  std::int32_t kv_heads = 1;
  std::int32_t group = 1;
  float theta = 10000;
  const void* qkv = nullptr;                // [num_tokens, q_heads + 2 kv_heads, head_dim]: q, k, v
  const std::int64_t* positions = nullptr;  // [num_tokens]
  const std::int32_t* slots = nullptr;  // [num_tokens, kv_heads]; negative: not stored in a block
  void* queries = nullptr;              // [num_tokens, q_heads, head_dim]
  void* blocks = nullptr;               // [slot, 2, block_tokens, head_dim]
  void* fragments = nullptr;            // [kv_heads, 2, num_tokens, head_dim]; may be null
};

// y = silu(gate) * up.
struct GatedActivationParams {
  ElementType type = ElementType::kBfloat16;
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  const void* x = nullptr;  // [num_rows, 2, width]: gate, up
  void* y = nullptr;        // [num_rows, width]
};

// y[i] = table[tokens[i]].
struct EmbedParams {
  ElementType type = ElementType::kBfloat16;
  std::int64_t num_tokens = 0;
  std::int64_t width = 0;
  const std::int32_t* tokens = nullptr;  // [num_tokens]
  const void* table = nullptr;           // [vocabulary, width]
  void* y = nullptr;                     // [num_tokens, width]
};

// Greedy sampling: the index of the largest logit of each row, of equal ones the lowest.
struct ArgmaxParams {
  ElementType type = ElementType::kBfloat16;
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  const void* logits = nullptr;     // [num_rows, width]
  std::int32_t* indices = nullptr;  // [num_rows]
};

}  // namespace sparseserve::kernels
