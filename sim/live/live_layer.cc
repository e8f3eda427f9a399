// One layer of an iteration, in the order of the simulated executor.
#include <algorithm>

#include "sim/core/check.h"
#include "sim/live/live_executor.h"

namespace sparseserve::live {

using kernels::EventPtr;
using kernels::Lane;
using scheduler::IterationPlan;
using scheduler::PrefillPiece;

std::int32_t LiveExecutor::SlotOf(RequestIndex index, std::int64_t layer, std::int64_t head,
                                  std::int64_t block) const {
  const scheduler::KvGeometry& g = config_.geometry;
  if (offloads())
    return cache_->SlotOf(index, layer, static_cast<kvcache::Unit>(block * g.heads + head));
  return static_cast<std::int32_t>(paged_->Row(index, block) * g.lanes() + layer * g.heads + head);
}

std::int32_t LiveExecutor::PrefillSlot(RequestIndex index, std::int64_t layer, std::int64_t head,
                                       std::int64_t block) const {
  if (!offloads()) return SlotOf(index, layer, head, block);
  const scheduler::KvGeometry& g = config_.geometry;
  const std::int64_t row = config_.layer_segmented ? block : block * g.num_layers + layer;
  return offload_->PrefillSpace(index).slots[static_cast<std::size_t>(row * g.heads + head)];
}

std::int64_t LiveExecutor::MetadataEntry(const LiveRequest& request, std::int64_t layer,
                                         std::int64_t head, std::int64_t block) const {
  SPARSESERVE_CHECK(block < request.metadata_blocks, "a request outgrew its metadata");
  return request.metadata_first +
         (layer * config_.geometry.heads + head) * request.metadata_blocks + block;
}

// Brings the hidden states of the pieces that run in these layers behind those of the decodes.
void LiveExecutor::EnterRun(const serving::LayerRun& run, const IterationPlan& plan) {
  const auto decodes = static_cast<std::int64_t>(batch_.decodes.size());
  batch_.pieces.clear();
  batch_.regions.clear();
  std::int64_t fragments = 0;
  if (decodes > 0) {
    batch_.regions.push_back({.row = 0, .count = decodes});
    fragments = decodes * token_bytes_;
  }
  if (config_.layer_segmented) fragments = 0;
  batch_.rows = decodes;
  std::vector<std::int64_t> positions;
  std::vector<std::int32_t> tokens;  // of rows that enter the first layer
  for (const DecodeRow& decode : batch_.decodes) {
    positions.push_back(decode.context - 1);
    if (run.begin == 0) tokens.push_back(TokenAt(At(decode.request), decode.context - 1));
  }
  for (const PrefillPiece& piece : plan.prefills) {
    if (piece.layer_begin > run.begin || piece.layer_end < run.end) continue;
    const PieceRows rows{&piece, batch_.rows, (piece.end - piece.begin).value()};
    LiveRequest& request = At(piece.request);
    std::byte* hidden = hidden_.data() + rows.row * model_.row_bytes();
    if (run.begin > 0) {
      SPARSESERVE_CHECK(request.activations.data() != nullptr, "a segment without its input");
      backend_.Copy(Lane::kCompute, hidden,
                    request.activations.data() + piece.begin.value() * model_.row_bytes(),
                    Bytes(rows.count * model_.row_bytes()));
    }
    for (std::int64_t i = 0; i < rows.count; ++i) {
      positions.push_back(piece.begin.value() + i);
      if (run.begin == 0) tokens.push_back(TokenAt(request, piece.begin.value() + i));
    }
    batch_.pieces.push_back(rows);
    batch_.rows += rows.count;
    CutRegions(rows, fragments);
  }
  batch_.positions = Upload(positions);
  if (run.begin == 0 && !tokens.empty()) {
    model_.Embed(Upload(tokens), static_cast<std::int64_t>(tokens.size()), hidden_.data());
  }
  clock_.Mark(Part::kCompute, "inputs", -1);
}

// Cuts a piece at GEMM slices, and what is left at the first and after the last whole block.
void LiveExecutor::CutRegions(const PieceRows& rows, std::int64_t& fragments) {
  const std::int64_t bt = layout_.block_tokens;
  std::int64_t done = 0;
  while (done < rows.count) {
    const std::int64_t row = rows.row + done;
    const std::int64_t position = rows.piece->begin.value() + done;
    const std::int64_t slice_end = (row / model_.max_rows() + 1) * model_.max_rows();
    std::int64_t count = std::min(rows.count - done, slice_end - row);
    const std::int64_t to_boundary = (bt - position % bt) % bt;
    if (to_boundary > 0) {
      count = std::min(count, to_boundary);
    } else if (count > bt) {
      count -= count % bt;
    }
    batch_.regions.push_back({rows.piece, row, count, position, fragments});
    fragments += count * token_bytes_;
    done += count;
  }
}

void LiveExecutor::LeaveRun(const serving::LayerRun& run) {
  std::size_t completed = 0;
  for (const PieceRows& rows : batch_.pieces) {
    const PrefillPiece& piece = *rows.piece;
    const std::byte* hidden = hidden_.data() + rows.row * model_.row_bytes();
    if (run.end == config_.geometry.num_layers) {
      if (!piece.completes) continue;
      while (batch_.completed[completed] != piece.request) ++completed;
      const auto row = static_cast<std::int64_t>(batch_.decodes.size() + completed);
      backend_.Copy(Lane::kCompute, outputs_.data() + row * model_.row_bytes(),
                    hidden + (rows.count - 1) * model_.row_bytes(), Bytes(model_.row_bytes()));
      continue;
    }
    LiveRequest& request = At(piece.request);
    if (request.activations.data() == nullptr) {
      const Bytes size(config_.longest_prompt.value() * model_.row_bytes() +
                       config_.longest_output.value() * model_.row_bytes());
      if (spare_activations_.empty()) spare_activations_.push_back(backend_.AllocateDevice(size));
      request.activations = std::move(spare_activations_.back());
      spare_activations_.pop_back();
    }
    backend_.Copy(Lane::kCompute,
                  request.activations.data() + piece.begin.value() * model_.row_bytes(), hidden,
                  Bytes(rows.count * model_.row_bytes()));
  }
  if (!batch_.pieces.empty()) clock_.Mark(Part::kCompute, "outputs", -1);
}

void LiveExecutor::RunLayer(std::int64_t layer) {
  const bool prefills = !batch_.pieces.empty();
  if (prefills && config_.layer_segmented && segment_copied_ != nullptr) {
    backend_.Wait(Lane::kCompute, segment_copied_);
    clock_.MarkWait(Part::kSaveStall, segment_copied_, layer);
  }
  ProjectAndStore(layer);
  if (offloads()) Save(layer);
  if (metadata_ != nullptr && sparse(layer)) BuildMetadata(layer, /*late=*/false);
  EventPtr scored;
  if (batch_.num_choosing > 0 && sparse(layer)) ScoreAndChoose(layer);
  clock_.Mark(Part::kSelect, "select", layer);
  // After the mark: waking the host takes the lane some 8 us, which are the host's and not of the
  // choice.
  if (!batch_.decodes.empty()) scored = backend_.Record(Lane::kCompute);
  if (prefills) AttendPrefills(layer);
  if (!batch_.decodes.empty()) AttendDecodes(layer, scored, SelectAndLoad(layer, scored));
  model_.OutputAndMlp(layer, attended_.data(), hidden_.data(), batch_.rows);
  clock_.Mark(Part::kCompute, "output and MLP", layer);
}

void LiveExecutor::ProjectAndStore(std::int64_t layer) {
  const std::int64_t heads = config_.geometry.heads;
  const std::int64_t bt = layout_.block_tokens;
  slots_.clear();
  for (DecodeRow& decode : batch_.decodes) {
    decode.late = false;
    for (std::int64_t head = 0; head < heads; ++head) {
      slots_.push_back(SlotOf(decode.request, layer, head, decode.blocks - 1));
      decode.late |= slots_.back() < 0;
    }
  }
  for (const PieceRows& rows : batch_.pieces) {
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const std::int64_t block = (rows.piece->begin.value() + i) / bt;
      for (std::int64_t head = 0; head < heads; ++head)
        slots_.push_back(PrefillSlot(rows.piece->request, layer, head, block));
    }
  }
  const std::int32_t* slots = Upload(slots_);
  for (std::int64_t begin = 0; begin < batch_.rows; begin += model_.max_rows()) {
    const std::int64_t count = std::min(model_.max_rows(), batch_.rows - begin);
    const auto* qkv = static_cast<const std::byte*>(
        model_.Project(layer, hidden_.data() + begin * model_.row_bytes(), count));
    const std::int64_t qkv_bytes = model_.qkv_width() * kernels::ElementBytes(layout_.type);
    for (const StoreRegion& region : batch_.regions) {
      if (region.row < begin || region.row >= begin + count) continue;
      Store(region, qkv + (region.row - begin) * qkv_bytes, slots + region.row * heads,
            FragmentsOf(layer, region));
    }
  }
  clock_.Mark(Part::kCompute, "projection", layer);
}

std::byte* LiveExecutor::FragmentsOf(std::int64_t layer, const StoreRegion& region) const {
  if (!offloads()) return nullptr;
  if (config_.layer_segmented && region.piece != nullptr) return segment_.data() + region.fragments;
  return fragments_[ticket_ % 2].data() + layer * layer_fragments_ + region.fragments;
}

void LiveExecutor::Store(const StoreRegion& region, const void* qkv, const std::int32_t* slots,
                         std::byte* fragments) {
  backend_.RotateStore({.layout = layout_,
                        .num_tokens = region.count,
                        .kv_heads = static_cast<std::int32_t>(config_.geometry.heads),
                        .group = group_,
                        .qkv = qkv,
                        .positions = batch_.positions + region.row,
                        .slots = slots,
                        .queries = queries_.data() + region.row * q_row_bytes_,
                        .blocks = store_.hbm(),
                        .fragments = fragments});
}

void LiveExecutor::Save(std::int64_t layer) {
  const EventPtr stored = backend_.Record(Lane::kCompute);
  backend_.Wait(Lane::kD2h, stored);
  // The lane that saves has slept, and waking it takes the compute lane some 10 us: the host's.
  clock_.MarkWait(Part::kSaveStall, nullptr, layer);
  if (batch_.pieces.empty()) save_handovers_.push_back({stored, clock_.last_mark()});

  std::vector<EventPtr>& events = pending_.back().events;
  const std::size_t before = events.size();
  clock_.BeginTransfer(Lane::kD2h);
  if (save_method_ == kernels::SaveMethod::kCopyPerBlock) {
    SaveWholeBlocks(layer, /*late=*/false);
  } else {
    SaveTokens(layer);
  }
  clock_.EndTransfer("save", layer);
  if (batch_.pieces.empty() || !config_.layer_segmented) return;
  segment_copied_ = clock_.last_transfer();
  if (events.size() > before) layer_saved_[static_cast<std::size_t>(layer)] = events.back();
}

void LiveExecutor::SaveTokens(std::int64_t layer) {
  std::vector<EventPtr>& events = pending_.back().events;
  for (const StoreRegion& region : batch_.regions) {
    const std::byte* base = FragmentsOf(layer, region);
    if (region.piece != nullptr) {
      const NewTokens tokens{region.position, region.count,
                             At(region.piece->request).dram_rows.data()};
      events.push_back(
          store_.SaveTokens(save_method_, base, layer, tokens, *host_now_, result_.d2h_bytes));
      continue;
    }
    std::vector<std::int32_t> rows;
    std::vector<std::int64_t> positions;
    for (const DecodeRow& decode : batch_.decodes) {
      rows.push_back(At(decode.request).dram_rows[static_cast<std::size_t>(decode.blocks - 1)]);
      positions.push_back(decode.context - 1);
    }
    events.push_back(store_.SaveDecoded(save_method_, base, layer, rows, positions, *host_now_,
                                        result_.d2h_bytes));
  }
}

// One copy per block: blocks of prefills that these tokens touch, blocks of decodes that are full.
// `late`: those of decodes whose block had to be loaded first.
void LiveExecutor::SaveWholeBlocks(std::int64_t layer, bool late) {
  const scheduler::KvGeometry& g = config_.geometry;
  const std::int64_t bt = layout_.block_tokens;
  std::vector<kernels::FragmentMove> moves;
  const auto add = [&](RequestIndex index, std::int64_t head, std::int64_t block,
                       std::int32_t slot) {
    const std::int32_t row = At(index).dram_rows[static_cast<std::size_t>(block)];
    moves.push_back({slot * store_.block_bytes(), store_.DramOffset(row, layer, head)});
  };
  for (const PieceRows& rows : batch_.pieces) {
    if (late) break;
    const std::int64_t end = rows.piece->end.value();
    for (std::int64_t block = rows.piece->begin.value() / bt; block * bt < end; ++block)
      for (std::int64_t head = 0; head < g.heads; ++head)
        add(rows.piece->request, head, block, PrefillSlot(rows.piece->request, layer, head, block));
  }
  for (const DecodeRow& decode : batch_.decodes) {
    if (decode.late != late) continue;
    LiveRequest& request = At(decode.request);
    const std::int64_t block = decode.blocks - 1;
    const bool full = decode.context % bt == 0;
    request.unsaved_tail.resize(static_cast<std::size_t>(g.lanes()));
    request.unsaved_block = block;
    for (std::int64_t head = 0; head < g.heads; ++head) {
      const std::int32_t slot = SlotOf(decode.request, layer, head, block);
      SPARSESERVE_CHECK(slot >= 0, "the newest block of a decode is not in HBM");
      request.unsaved_tail[static_cast<std::size_t>(layer * g.heads + head)] = slot;
      if (full) add(decode.request, head, block, slot);
    }
    if (full && layer + 1 == g.num_layers) request.unsaved_tail.clear();
  }
  if (moves.empty()) return;
  const auto count = static_cast<std::int64_t>(moves.size());
  auto* host = host_now_->Take<kernels::FragmentMove>(count);
  std::copy(moves.begin(), moves.end(), host);
  pending_.back().events.push_back(store_.SaveBlocks(save_method_, host, count));
  result_.d2h_bytes += g.unit_bytes * count;
}

// Blocks that these tokens fill. `late`: those of decodes whose block had to be loaded first.
void LiveExecutor::BuildMetadata(std::int64_t layer, bool late) {
  const std::int64_t bt = layout_.block_tokens;
  std::vector<std::int32_t> slots;
  std::vector<std::int64_t> entries;
  for (std::int64_t head = 0; head < config_.geometry.heads; ++head) {
    for (const DecodeRow& decode : batch_.decodes) {
      if (decode.context % bt != 0 || decode.late != late) continue;
      slots.push_back(SlotOf(decode.request, layer, head, decode.blocks - 1));
      entries.push_back(MetadataEntry(At(decode.request), layer, head, decode.blocks - 1));
    }
    for (const PieceRows& rows : batch_.pieces) {
      if (late) continue;
      const PrefillPiece& piece = *rows.piece;
      for (std::int64_t block = piece.begin.value() / bt; (block + 1) * bt <= piece.end.value();
           ++block) {
        slots.push_back(PrefillSlot(piece.request, layer, head, block));
        entries.push_back(MetadataEntry(At(piece.request), layer, head, block));
      }
    }
  }
  if (slots.empty()) return;
  backend_.BuildMetadata({.layout = layout_,
                          .kind = metadata_kind_,
                          .blocks = store_.hbm(),
                          .slots = Upload(slots),
                          .entries = Upload(entries),
                          .num_blocks = static_cast<std::int64_t>(slots.size()),
                          .metadata = metadata_->data()});
}

void LiveExecutor::AttendPrefills(std::int64_t layer) {
  const std::int64_t heads = config_.geometry.heads;
  for (const PieceRows& rows : batch_.pieces) {
    const PrefillPiece& piece = *rows.piece;
    const std::int64_t blocks = BlocksFor(piece.end, config_.geometry.block_tokens).value();
    std::vector<std::int32_t> slots;
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t block = 0; block < blocks; ++block)
        slots.push_back(PrefillSlot(piece.request, layer, head, block));
    backend_.PrefillAttention({.layout = layout_,
                               .kv_heads = static_cast<std::int32_t>(heads),
                               .group = group_,
                               .scale = scale_,
                               .query_begin = piece.begin.value(),
                               .num_queries = rows.count,
                               .key_begin = 0,
                               .key_end = piece.end.value(),
                               .queries = queries_.data() + rows.row * q_row_bytes_,
                               .blocks = store_.hbm(),
                               .slots = Upload(slots),
                               .slots_stride = blocks,
                               .output = attended_.data() + rows.row * q_row_bytes_,
                               .lse = nullptr});
  }
  clock_.Mark(Part::kPrefillAttention, "prefill attention", layer);
}

}  // namespace sparseserve::live
