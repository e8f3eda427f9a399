// What a live executor keeps of a running request, and the rows of one iteration.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "sim/live/block_choice.h"
#include "sim/scheduler/request_state.h"

namespace sparseserve::live {

struct LiveRequest {
  std::int64_t id = -1;                 // of the trace; -1: none
  std::int64_t prompt = 0;              // tokens
  std::vector<BlockChoice> choice;      // by layer
  std::int64_t metadata_first = -1;     // first entry; -1: none
  std::int64_t metadata_blocks = 0;     // entries of one (layer, head)
  kernels::Buffer activations;          // hidden state between segments: [prompt, hidden]
  std::vector<std::int32_t> dram_rows;  // of its blocks
  bool decoding = false;
  // One copy per block: slots, by lane, of a partly filled block that DRAM does not hold yet.
  std::vector<std::int32_t> unsaved_tail;
  std::int64_t unsaved_block = 0;
};

// One decode step: its row in the batch is its place in LiveBatch::decodes.
struct DecodeRow {
  scheduler::RequestIndex request = 0;
  std::int64_t context = 0;  // tokens, the new one included
  std::int64_t blocks = 0;
  bool chooses = false;
  bool late = false;  // its newest block is not in HBM in the layer under way
};

// Consecutive rows of one request whose K and V are stored and saved together: whole blocks, or
// tokens of one block. Never across two GEMM slices.
struct StoreRegion {
  const scheduler::PrefillPiece* piece = nullptr;  // null: all decodes
  std::int64_t row = 0;
  std::int64_t count = 0;
  std::int64_t position = 0;   // of the first token
  std::int64_t fragments = 0;  // byte offset in the layer's save buffer
};

struct PieceRows {
  const scheduler::PrefillPiece* piece = nullptr;
  std::int64_t row = 0;
  std::int64_t count = 0;
};

// What the decodes of a layer attend to, in rows by (decode, KV head).
struct BlockTables {
  std::vector<std::int32_t> slots;        // [row, longest], -1 behind a row's last
  std::vector<std::int32_t> row_blocks;   // slots of a row
  std::vector<std::int32_t> last_tokens;  // tokens in the newest block of a row
  std::int64_t longest = 0;
  std::int64_t units = 0;  // of all rows
};

struct LiveBatch {
  std::vector<DecodeRow> decodes;       // those that choose first
  std::vector<std::size_t> plan_order;  // rows of `decodes` in the order of the plan
  std::int64_t num_choosing = 0;
  std::int64_t max_scored = 0;                     // longest row of scores
  std::vector<PieceRows> pieces;                   // active in the run of layers under way
  std::vector<StoreRegion> regions;                // likewise
  std::int64_t rows = 0;                           // likewise
  const std::int64_t* positions = nullptr;         // device, by row
  std::vector<scheduler::RequestIndex> completed;  // prefills that give their first token
  const std::int32_t* top_k = nullptr;             // host: [choosing rows, k]
  std::int64_t k = 0;
};

}  // namespace sparseserve::live
