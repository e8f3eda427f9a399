// The decodes of one layer: what they select, what is loaded for it, what they attend to.
#include <algorithm>
#include <utility>

#include "sim/core/check.h"
#include "sim/live/live_executor.h"

namespace sparseserve::live {

using kernels::EventPtr;
using kernels::Lane;

void LiveExecutor::ScoreAndChoose(std::int64_t layer) {
  const std::int64_t heads = config_.geometry.heads;
  const std::int64_t rows = batch_.num_choosing * heads;
  std::vector<std::int64_t> begin;
  std::vector<std::int32_t> blocks;
  for (std::int64_t i = 0; i < batch_.num_choosing; ++i) {
    const DecodeRow& decode = batch_.decodes[static_cast<std::size_t>(i)];
    for (std::int64_t head = 0; head < heads; ++head) {
      begin.push_back(MetadataEntry(At(decode.request), layer, head, 0));
      blocks.push_back(static_cast<std::int32_t>(decode.blocks - 1));
    }
  }
  const std::int32_t* row_blocks = Upload(blocks);
  float* scores = device_.Take<float>(rows * batch_.max_scored);
  backend_.Score({.type = layout_.type,
                  .head_dim = layout_.head_dim,
                  .group = group_,
                  .kind = metadata_kind_,
                  .reduction = kernels::GroupReduction::kMean,
                  .num_rows = rows,
                  .queries = queries_.data(),
                  .metadata = metadata_->data(),
                  .row_begin = Upload(begin),
                  .row_blocks = row_blocks,
                  .scores = scores,
                  .row_stride = batch_.max_scored});
  batch_.k = config_.geometry.budget_blocks - 1;  // the newest block is always selected
  if (batch_.k == 0) return;
  auto* indices = device_.Take<std::int32_t>(rows * batch_.k);
  backend_.TopK({.num_rows = rows,
                 .scores = scores,
                 .row_stride = batch_.max_scored,
                 .row_blocks = row_blocks,
                 .k = static_cast<std::int32_t>(batch_.k),
                 .num_first = static_cast<std::int32_t>(config_.selection.sink_blocks),
                 .num_last = static_cast<std::int32_t>(config_.selection.recent_blocks - 1),
                 .indices = indices});
  auto* host = host_now_->Take<std::int32_t>(rows * batch_.k);
  backend_.Copy(Lane::kCompute, host, indices, Bytes(rows * batch_.k * 4));
  batch_.top_k = host;
}

// What the scores of this layer, or the absence of a choice, select.
void LiveExecutor::CompareWithScores(RequestIndex index, std::int64_t layer,
                                     selection::SelectionDelta& delta) {
  const std::size_t row = current_row_;
  const DecodeRow& decode = batch_.decodes[row];
  SPARSESERVE_CHECK(decode.request == index, "a choice for another request");
  const std::int64_t heads = config_.geometry.heads;
  const auto unit = [&](std::int64_t block, std::int64_t head) {
    return static_cast<selection::Unit>(block * heads + head);
  };
  chosen_.Clear();
  if (decode.chooses && sparse(layer)) {
    const std::int32_t* top = batch_.top_k + static_cast<std::int64_t>(row) * heads * batch_.k;
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t i = 0; i < batch_.k; ++i) chosen_.Insert(unit(*top++, head));
      chosen_.Insert(unit(decode.blocks - 1, head));
    }
  } else {
    for (selection::Unit u = 0; u < unit(decode.blocks, 0); ++u) chosen_.Insert(u);
  }
  At(index).choice[static_cast<std::size_t>(layer)].Compare(chosen_, delta);
}

// Returns the end of the load, null without one. `before`: what the compute lane did until now.
EventPtr LiveExecutor::SelectAndLoad(std::int64_t layer, const EventPtr& before) {
  if (batch_.num_choosing > 0 && sparse(layer)) before->Synchronize();
  if (!offloads() && config_.geometry.budget_blocks == 0) return nullptr;
  if (offloads()) cache_->BeginLayer();
  const kvcache::KvCacheStats counted = offloads() ? cache_->stats() : kvcache::KvCacheStats{};
  for (const std::size_t row : batch_.plan_order) {
    const DecodeRow& decode = batch_.decodes[row];
    current_row_ = row;
    delta_.Clear();
    chooser_->Step(decode.request, layer, decode.blocks, delta_);
    At(decode.request).choice[static_cast<std::size_t>(layer)].Apply(delta_);
    if (offloads()) cache_->Select(decode.request, layer, delta_.added, delta_.removed);
  }
  if (!offloads()) return nullptr;
  result_.touches += cache_->stats().touches - counted.touches;
  loads_.clear();
  std::int64_t count = 0;
  while (!cache_->LoadMisses(count, &loads_)) WaitForOldestSave();
  if (count == 0) return nullptr;
  result_.loads += count;
  result_.reloads += cache_->stats().reloads - counted.reloads;
  result_.h2d_bytes += config_.geometry.unit_bytes * count;
  // Prompts that were saved layer by layer count as saved before their last bytes are in DRAM.
  EventPtr& saved = layer_saved_[static_cast<std::size_t>(layer)];
  if (saved != nullptr) saved->Synchronize();
  auto* moves = host_now_->Take<kernels::BlockMove>(count);
  const auto heads = static_cast<kvcache::Unit>(config_.geometry.heads);
  for (const kvcache::Load& load : loads_) {
    const std::int32_t row = At(load.request).dram_rows[load.unit / heads];
    *moves++ = {store_.DramBlock(row, layer, load.unit % heads), load.slot};
  }
  backend_.Wait(Lane::kH2d, before);  // earlier layers read the slots that are given away
  clock_.BeginTransfer(Lane::kH2d);
  store_.Load(load_method_, moves - count, count);
  clock_.EndTransfer(serving::kLoadSlice, layer);
  return clock_.last_transfer();
}

// Rule (4): writes tokens whose block was not in HBM when the layer began.
void LiveExecutor::StoreLate(std::int64_t layer) {
  const bool any = std::any_of(batch_.decodes.begin(), batch_.decodes.end(),
                               [](const DecodeRow& decode) { return decode.late; });
  if (!any) return;
  const std::int64_t heads = config_.geometry.heads;
  const auto decodes = static_cast<std::int64_t>(batch_.decodes.size());
  slots_.clear();
  for (const DecodeRow& decode : batch_.decodes)
    for (std::int64_t head = 0; head < heads; ++head)
      slots_.push_back(decode.late ? SlotOf(decode.request, layer, head, decode.blocks - 1) : -1);
  const void* qkv = model_.Project(layer, hidden_.data(), decodes);
  Store(batch_.regions.front(), qkv, Upload(slots_), nullptr);  // its fragments are being saved
  if (save_method_ == kernels::SaveMethod::kCopyPerBlock) {
    backend_.Wait(Lane::kD2h, backend_.Record(Lane::kCompute));
    SaveWholeBlocks(layer, /*late=*/true);
  }
  if (metadata_ != nullptr && sparse(layer)) BuildMetadata(layer, /*late=*/true);
  clock_.Mark(Part::kCompute, "late store", layer);
}

// Fills the tables of what the decodes attend to in this layer.
void LiveExecutor::ListAttended(std::int64_t layer) {
  const std::int64_t heads = config_.geometry.heads;
  const bool choice = offloads() || config_.geometry.budget_blocks > 0;
  tables_.longest = tables_.units = 0;
  tables_.row_blocks.clear();
  tables_.last_tokens.clear();
  for (const DecodeRow& decode : batch_.decodes) {
    const BlockChoice& chosen = At(decode.request).choice[static_cast<std::size_t>(layer)];
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t count = choice ? chosen.count(head) : decode.blocks;
      tables_.longest = std::max(tables_.longest, count);
      tables_.units += count;
      tables_.row_blocks.push_back(static_cast<std::int32_t>(count));
      tables_.last_tokens.push_back(
          static_cast<std::int32_t>((decode.context - 1) % layout_.block_tokens + 1));
    }
  }
  tables_.slots.assign(tables_.row_blocks.size() * static_cast<std::size_t>(tables_.longest), -1);
  std::vector<std::int32_t*> next(static_cast<std::size_t>(heads));  // of each head's row
  std::int32_t* row = tables_.slots.data();
  for (const DecodeRow& decode : batch_.decodes) {
    for (std::int32_t*& begin : next) begin = std::exchange(row, row + tables_.longest);
    const auto attend = [&](std::int64_t block, std::int64_t head) {
      const std::int32_t slot = SlotOf(decode.request, layer, head, block);
      SPARSESERVE_CHECK(slot >= 0, "a selected block is not in HBM");
      *next[static_cast<std::size_t>(head)]++ = slot;
    };
    if (choice) {
      At(decode.request).choice[static_cast<std::size_t>(layer)].ForEach(attend);
      continue;
    }
    for (std::int64_t block = 0; block < decode.blocks; ++block)
      for (std::int64_t head = 0; head < heads; ++head) attend(block, head);
  }
}

void LiveExecutor::AttendDecodes(std::int64_t layer, const EventPtr& scored,
                                 const EventPtr& loaded) {
  ListAttended(layer);
  const std::int32_t* slots = Upload(tables_.slots);
  const std::int32_t* row_blocks = Upload(tables_.row_blocks);
  const std::int32_t* last_tokens = Upload(tables_.last_tokens);
  if (loaded != nullptr) backend_.Wait(Lane::kCompute, loaded);
  clock_.MarkWait(Part::kLoadStall, loaded, layer);
  if (batch_.num_choosing > 0 && sparse(layer) && batch_.pieces.empty()) {
    host_waits_.push_back({.units = tables_.units,
                           .scored = scored,
                           .ready = clock_.last_mark(),
                           .loads = std::ssize(loads_),
                           .loading = loaded != nullptr ? clock_.last_transfer_begin() : nullptr,
                           .loaded = loaded});
  }
  if (offloads()) StoreLate(layer);
  backend_.DecodeAttention({.layout = layout_,
                            .num_requests = static_cast<std::int64_t>(batch_.decodes.size()),
                            .kv_heads = static_cast<std::int32_t>(config_.geometry.heads),
                            .group = group_,
                            .scale = scale_,
                            .queries = queries_.data(),
                            .blocks = store_.hbm(),
                            .slots = slots,
                            .slots_stride = tables_.longest,
                            .row_blocks = row_blocks,
                            .last_tokens = last_tokens,
                            .max_row_blocks = tables_.longest,
                            .output = attended_.data(),
                            .lse = nullptr});
  clock_.Mark(Part::kDecodeAttention, serving::kDecodeAttentionSlice, layer);
}

}  // namespace sparseserve::live
