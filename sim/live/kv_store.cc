#include "sim/live/kv_store.h"

#include <algorithm>
#include <limits>

#include "sim/core/check.h"
#include "sim/core/error.h"

namespace sparseserve::live {

using kernels::FragmentMove;
using kernels::Lane;

KvStore::KvStore(kernels::Backend& backend, const scheduler::KvGeometry& geometry,
                 const kernels::KvLayout& layout, std::int64_t hbm_slots, std::int64_t dram_rows)
    : backend_(backend), geometry_(geometry), layout_(layout) {
  SPARSESERVE_CHECK(layout.BlockBytes() == geometry.unit_bytes,
                    "kernels and simulator disagree on a block");
  if (dram_rows * geometry.lanes() > std::numeric_limits<std::int32_t>::max()) {
    throw InputError({.where = {},
                      .key = "memory.dram",
                      .what = "more blocks than a live run can number",
                      .expected = "fewer than 2^31 blocks",
                      .hint = ""});
  }
  hbm_ = backend.AllocateDevice(geometry.unit_bytes * hbm_slots);
  if (dram_rows > 0) dram_ = backend.AllocateHost(geometry.block_row_bytes() * dram_rows);
}

std::int64_t KvStore::TokenOffset(std::int32_t row, std::int64_t layer, std::int64_t head,
                                  std::int64_t part, std::int64_t position) const {
  const std::int64_t in_block = position % layout_.block_tokens;
  return DramOffset(row, layer, head) + (part * layout_.block_tokens + in_block) * row_bytes();
}

void KvStore::Load(kernels::LoadMethod method, const kernels::BlockMove* moves,
                   std::int64_t count) {
  backend_.Load(Lane::kH2d, method,
                {.dram = dram_.data(),
                 .hbm = hbm_.data(),
                 .block_bytes = block_bytes(),
                 .moves = moves,
                 .num_moves = count});
}

kernels::EventPtr KvStore::SaveBlocks(kernels::SaveMethod method, const FragmentMove* moves,
                                      std::int64_t count) {
  return backend_.Save(Lane::kD2h, method,
                       {.hbm = hbm_.data(),
                        .dram = dram_.data(),
                        .fragment_bytes = block_bytes(),
                        .moves = moves,
                        .num_moves = count});
}

kernels::EventPtr KvStore::SaveTokens(kernels::SaveMethod method, const std::byte* base,
                                      std::int64_t layer, const NewTokens& tokens, Arena& host,
                                      Bytes& bytes) {
  const std::int64_t bt = layout_.block_tokens;
  const std::int64_t run = std::min(bt, tokens.count);  // tokens of a fragment
  SPARSESERVE_CHECK(tokens.count % run == 0 && tokens.begin / bt == (tokens.begin + run - 1) / bt,
                    "whole blocks, or tokens of one block");
  const std::int64_t count = geometry_.heads * 2 * (tokens.count / run);
  FragmentMove* moves = host.Take<FragmentMove>(count);
  FragmentMove* move = moves;
  std::int64_t source = 0;
  for (std::int64_t head = 0; head < geometry_.heads; ++head) {
    for (std::int64_t part = 0; part < 2; ++part) {
      for (std::int64_t t = tokens.begin; t < tokens.begin + tokens.count; t += run) {
        *move++ = {source, TokenOffset(tokens.rows[t / bt], layer, head, part, t)};
        source += run * row_bytes();
      }
    }
  }
  bytes += Bytes(count * run * row_bytes());
  return backend_.Save(Lane::kD2h, method,
                       {.hbm = base,
                        .dram = dram_.data(),
                        .fragment_bytes = run * row_bytes(),
                        .moves = moves,
                        .num_moves = count});
}

kernels::EventPtr KvStore::SaveDecoded(kernels::SaveMethod method, const std::byte* base,
                                       std::int64_t layer, const std::vector<std::int32_t>& rows,
                                       const std::vector<std::int64_t>& positions, Arena& host,
                                       Bytes& bytes) {
  const auto requests = static_cast<std::int64_t>(rows.size());
  const std::int64_t count = geometry_.heads * 2 * requests;
  FragmentMove* moves = host.Take<FragmentMove>(count);
  FragmentMove* move = moves;
  std::int64_t source = 0;
  for (std::int64_t head = 0; head < geometry_.heads; ++head) {
    for (std::int64_t part = 0; part < 2; ++part) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        *move++ = {source, TokenOffset(rows[i], layer, head, part, positions[i])};
        source += row_bytes();
      }
    }
  }
  bytes += Bytes(count * row_bytes());
  return backend_.Save(Lane::kD2h, method,
                       {.hbm = base,
                        .dram = dram_.data(),
                        .fragment_bytes = row_bytes(),
                        .moves = moves,
                        .num_moves = count});
}

}  // namespace sparseserve::live
