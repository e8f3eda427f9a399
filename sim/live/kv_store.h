// Where the KV bytes of a live run lie: the HBM pool that slots index, and the DRAM pool of rows.
//
//   HBM   slot s at s * block_bytes
//   DRAM  row r, layer l, head h at ((r * layers + l) * heads + h) * block_bytes
// with a block as in kernels/operations.h. It moves bytes and decides nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "sim/live/arena.h"
#include "sim/scheduler/kv_memory.h"

namespace sparseserve::live {

// Tokens of one request and layer whose K and V lie in a contiguous buffer
// [heads, 2, num_tokens, head_dim], to be saved. All in one block, or whole blocks.
struct NewTokens {
  std::int64_t begin = 0;  // position of the first
  std::int64_t count = 0;
  const std::int32_t* rows = nullptr;  // DRAM rows of the request's blocks, from block 0
};

class KvStore {
 public:
  KvStore(kernels::Backend& backend, const scheduler::KvGeometry& geometry,
          const kernels::KvLayout& layout, std::int64_t hbm_slots, std::int64_t dram_rows);

  std::byte* hbm() const { return hbm_.data(); }
  std::int64_t block_bytes() const { return layout_.BlockBytes().value(); }
  // Index of the block in DRAM, and its first byte there.
  std::int32_t DramBlock(std::int32_t row, std::int64_t layer, std::int64_t head) const {
    return static_cast<std::int32_t>((row * geometry_.num_layers + layer) * geometry_.heads + head);
  }
  std::int64_t DramOffset(std::int32_t row, std::int64_t layer, std::int64_t head) const {
    return DramBlock(row, layer, head) * block_bytes();
  }

  // Copies blocks from DRAM into slots; `moves` is host scratch and holds DRAM *block indices*.
  void Load(kernels::LoadMethod method, const kernels::BlockMove* moves, std::int64_t count);
  // Saves whole blocks out of their slots.
  kernels::EventPtr SaveBlocks(kernels::SaveMethod method, const kernels::FragmentMove* moves,
                               std::int64_t count);
  // Saves new tokens from the buffer at `base`: runs of tokens within a block are one fragment.
  // Returns the last event; the bytes saved are added to `bytes`.
  kernels::EventPtr SaveTokens(kernels::SaveMethod method, const std::byte* base,
                               std::int64_t layer, const NewTokens& tokens, Arena& host,
                               Bytes& bytes);
  // Saves one token of each of many requests from one buffer [heads, 2, requests, head_dim].
  kernels::EventPtr SaveDecoded(kernels::SaveMethod method, const std::byte* base,
                                std::int64_t layer, const std::vector<std::int32_t>& rows,
                                const std::vector<std::int64_t>& positions, Arena& host,
                                Bytes& bytes);

 private:
  std::int64_t row_bytes() const {  // K or V of one token
    return kernels::ElementBytes(layout_.type) * layout_.head_dim;
  }
  // Byte offset of K (part 0) or V (part 1) of the token at `position`.
  std::int64_t TokenOffset(std::int32_t row, std::int64_t layer, std::int64_t head,
                           std::int64_t part, std::int64_t position) const;

  kernels::Backend& backend_;
  scheduler::KvGeometry geometry_;
  kernels::KvLayout layout_;
  kernels::Buffer hbm_, dram_;
};

}  // namespace sparseserve::live
