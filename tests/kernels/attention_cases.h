// Random inputs of the attention operations, with the parameters for either memory.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/kernels/backend_test.h"

namespace sparseserve::kernels {

struct DecodeCase {
  DecodeParams shape;  // pointers unset
  Mirror queries, blocks, slots, row_blocks, last_tokens, output, lse;

  DecodeParams On(Side side) {
    DecodeParams params = shape;
    params.queries = queries.On(side);
    params.blocks = blocks.On(side);
    params.slots = slots.On<std::int32_t>(side);
    params.row_blocks = row_blocks.On<std::int32_t>(side);
    params.last_tokens = last_tokens.On<std::int32_t>(side);
    params.output = output.On(side);
    params.lse = lse.On<float>(side);
    return params;
  }
};

struct PrefillCase {
  PrefillParams shape;  // pointers unset
  Mirror queries, blocks, slots, output, lse;

  PrefillParams On(Side side) {
    PrefillParams params = shape;
    params.queries = queries.On(side);
    params.blocks = blocks.On(side);
    params.slots = slots.On<std::int32_t>(side);
    params.output = output.On(side);
    params.lse = lse.On<float>(side);
    return params;
  }
};

class AttentionTest : public BackendTest {
 protected:
  KvLayout Layout(std::int32_t block_tokens, std::int32_t head_dim) const {
    return {.type = type(), .block_tokens = block_tokens, .head_dim = head_dim};
  }
  Mirror MakeBlocks(const KvLayout& layout, std::int64_t num_slots) {
    return MakeRandom(2 * num_slots * layout.block_tokens * layout.head_dim, 2);
  }
  // Row r lists rows[r]; its last block holds last_tokens[r] tokens.
  DecodeCase MakeDecode(const KvLayout& layout, std::int32_t kv_heads, std::int32_t group,
                        const std::vector<std::vector<std::int32_t>>& rows,
                        const std::vector<std::int32_t>& last_tokens, std::int64_t num_slots);
  // A request of `num_tokens` tokens, of which those from query_begin on are queries. Blocks lie in
  // random slots.
  PrefillCase MakePrefill(const KvLayout& layout, std::int32_t kv_heads, std::int32_t group,
                          std::int64_t query_begin, std::int64_t num_tokens);

  // Runs on the device and compares with the reference, and with a second run bit by bit.
  void CheckDecode(DecodeCase& decode, const std::string& what);
  void CheckPrefill(PrefillCase& prefill, const std::string& what);
};

}  // namespace sparseserve::kernels
