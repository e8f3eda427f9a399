#include "sim/scheduler/offload_memory.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::scheduler {
namespace {

kvcache::KvCacheConfig CacheConfig(const KvGeometry& geometry, const OffloadMemoryConfig& config) {
  return {.num_layers = geometry.num_layers,
          .heads = geometry.heads,
          .hbm_slots = config.hbm_for_kv.value() / geometry.unit_bytes.value(),
          .dram_blocks = config.dram_for_kv.value() / geometry.block_row_bytes().value(),
          .working_set_window = config.working_set_window,
          .eviction = config.eviction};
}

}  // namespace

OffloadMemory::OffloadMemory(const KvGeometry& geometry, const OffloadMemoryConfig& config)
    : geometry_(geometry), config_(config), cache_(CacheConfig(geometry, config)) {}

OffloadMemory::Holding& OffloadMemory::At(RequestIndex index) {
  if (static_cast<std::size_t>(index) >= holdings_.size())
    holdings_.resize(static_cast<std::size_t>(index) + 1);
  return holdings_[static_cast<std::size_t>(index)];
}

std::int64_t OffloadMemory::MetadataSlots(std::int64_t blocks) const {
  return CeilDiv(geometry_.metadata_bytes.value() * geometry_.lanes() * blocks,
                 geometry_.unit_bytes.value());
}

std::int64_t OffloadMemory::PrefillSlots(Tokens prompt) const {
  const std::int64_t blocks = BlocksOf(prompt);
  if (config_.prefill == PrefillMode::kChunked) return blocks * geometry_.lanes();
  // Hidden state and queries of the whole prompt, and one layer of KV.
  const Bytes activations = geometry_.hidden_bytes * (2 * prompt.value());
  return blocks * geometry_.heads + CeilDiv(activations.value(), geometry_.unit_bytes.value());
}

std::int64_t OffloadMemory::FloorSlots(std::int64_t blocks) const {
  // One layer's selection, and the newest block of all layers, which is dirty until it is saved.
  return geometry_.heads * geometry_.LayerBlocks(blocks) + geometry_.lanes();
}

std::string OffloadMemory::WhyNever(Tokens prompt) const {
  const std::int64_t blocks = BlocksOf(prompt) + 1;
  const std::int64_t metadata = MetadataSlots(blocks);
  const std::int64_t slots = metadata + std::max(PrefillSlots(prompt), FloorSlots(blocks));
  if (slots > cache_.capacity_slots()) {
    return "needs " + ToString(geometry_.unit_bytes * slots) +
           " of HBM for prefill and metadata, which has room for " +
           ToString(geometry_.unit_bytes * cache_.capacity_slots());
  }
  const std::int64_t dram_blocks =
      config_.dram_for_kv.value() / geometry_.block_row_bytes().value();
  if (blocks > dram_blocks) {
    return "needs " + ToString(geometry_.block_row_bytes() * blocks) +
           " of KV in DRAM, which has room for " + ToString(config_.dram_for_kv);
  }
  return "";
}

bool OffloadMemory::FitsBesideDecodes(std::int64_t slots) const {
  return cache_.reserved_slots() + layer_slots_ + slots <= cache_.capacity_slots();
}

bool OffloadMemory::ReserveSpace(Holding& holding, std::int64_t slots) {
  const std::int64_t more = slots - holding.space.size();
  if (more <= 0) return true;
  if (!cache_.Reserve(more, holding.space)) return false;
  space_slots_ += more;
  return true;
}

void OffloadMemory::ReleaseSpace(Holding& holding) {
  space_slots_ -= holding.space.size();
  promised_slots_ -= holding.promised;
  holding.promised = 0;
  cache_.Release(holding.space, holding.space.size());
}

bool OffloadMemory::ReserveDram(RequestIndex index, std::int64_t blocks) {
  refused_by_dram_ = !cache_.ReserveDram(index, blocks);
  return !refused_by_dram_;
}

bool OffloadMemory::ReserveMetadata(Holding& holding, std::int64_t slots) {
  const std::int64_t more = slots - holding.metadata.size();
  if (more <= 0) return true;
  if (!cache_.Reserve(more, holding.metadata)) return false;
  metadata_slots_ += more;
  return true;
}

bool OffloadMemory::Admit(RequestIndex index, const RequestState& request) {
  refused_by_dram_ = false;
  Holding& holding = At(index);
  SPARSESERVE_CHECK(!holding.live, "a request is admitted twice");
  const std::int64_t blocks = BlocksOf(request.prefill_target);
  const std::int64_t promised = PrefillSlots(request.prefill_target);
  const std::int64_t metadata = MetadataSlots(blocks);
  // Beside promises and metadata the widest decode of this request must still find room.
  if (promised_slots_ + promised + metadata_slots_ + metadata + FloorSlots(blocks + 1) >
          cache_.capacity_slots() &&
      promised_slots_ + metadata_slots_ > 0) {
    return false;
  }
  const bool chunked = config_.prefill == PrefillMode::kChunked;
  if (!FitsBesideDecodes(metadata + (chunked ? 0 : promised))) return false;
  cache_.AddRequest(index);
  if (!ReserveDram(index, blocks) || !ReserveMetadata(holding, metadata) ||
      !(chunked || ReserveSpace(holding, promised))) {
    holding.live = true;
    Release(index);
    return false;
  }
  holding.live = true;
  holding.promised = promised;
  holding.chunk_block = holding.last_chunk_block = 0;
  promised_slots_ += promised;
  return true;
}

Grow OffloadMemory::GrowPrefill(const PrefillPiece& piece, const RequestState&) {
  refused_by_dram_ = false;
  if (config_.prefill == PrefillMode::kLayerSegmented) return Grow::kDone;
  Holding& holding = At(piece.request);
  const std::int64_t slots = BlocksOf(piece.end) * geometry_.lanes();
  if (!FitsBesideDecodes(slots - holding.space.size()) || !ReserveSpace(holding, slots))
    return Grow::kDefer;
  holding.last_chunk_block = holding.chunk_block;
  holding.chunk_block = piece.begin.value() / geometry_.block_tokens.value();
  return Grow::kDone;
}

void OffloadMemory::FinishPrefill(RequestIndex index, const RequestState& request,
                                  SaveTicket ticket) {
  Holding& holding = At(index);
  const std::int64_t blocks = BlocksOf(request.prefill_target);
  if (config_.prefill == PrefillMode::kChunked) {
    // The saves of at most two iterations are under way: those of the last two chunks.
    const std::int64_t before = holding.space.size();
    cache_.AdoptPrefill(index, blocks, holding.space, holding.last_chunk_block, ticket);
    space_slots_ -= before - holding.space.size();
  } else {
    cache_.AddSavedUnits(index, blocks);
  }
  ReleaseSpace(holding);
}

Grow OffloadMemory::GrowDecode(RequestIndex index, const RequestState& request, SaveTicket ticket) {
  refused_by_dram_ = false;
  Holding& holding = At(index);
  const std::int64_t blocks = BlocksOf(request.context());
  const std::int64_t layer_slots = FloorSlots(blocks);
  const std::int64_t metadata =
      std::max<std::int64_t>(0, MetadataSlots(blocks) - holding.metadata.size());
  if (!FitsBesideDecodes(metadata + layer_slots)) {
    return layer_slots_ > 0 ? Grow::kDefer : Grow::kFull;
  }
  while (cache_.num_blocks(index) < blocks) {
    const std::int64_t next = cache_.num_blocks(index) + 1;
    if (!ReserveDram(index, next)) return Grow::kFull;
    if (!ReserveMetadata(holding, MetadataSlots(next)) || !cache_.AppendBlock(index))
      return Grow::kDefer;
  }
  layer_slots_ += layer_slots;
  cache_.MarkTailDirty(index, ticket);
  return Grow::kDone;
}

void OffloadMemory::Release(RequestIndex index) {
  Holding& holding = At(index);
  SPARSESERVE_CHECK(holding.live, "a request without memory is released");
  ReleaseSpace(holding);
  metadata_slots_ -= holding.metadata.size();
  cache_.Release(holding.metadata, holding.metadata.size());
  cache_.RemoveRequest(index);
  holding.live = false;
}

void OffloadMemory::BeginPlan() {
  layer_slots_ = 0;
  cache_.BeginLayer();  // nothing is in use between two iterations
}

std::int64_t OffloadMemory::AvailableUnits() const {
  return cache_.capacity_slots() - metadata_slots_;
}

std::int64_t OffloadMemory::DecodeNeed(RequestIndex index, const RequestState& request) const {
  // A request that has not decoded yet has no history: it will select at least one step's worth.
  return std::max(cache_.WorkingSet(index), geometry_.SelectedUnits(BlocksOf(request.context())));
}

std::int64_t OffloadMemory::PrefillNeed(const PrefillPiece& piece,
                                        const RequestState& request) const {
  const std::int64_t need = config_.prefill == PrefillMode::kChunked
                                ? BlocksOf(piece.end) * geometry_.lanes()
                                : PrefillSlots(request.prefill_target);
  const bool known = static_cast<std::size_t>(piece.request) < holdings_.size();
  return std::max<std::int64_t>(0, need - (known ? At(piece.request).space.size() : 0));
}

Bytes OffloadMemory::hbm_used() const {
  return geometry_.unit_bytes * (cache_.reserved_slots() + cache_.resident_slots());
}

Bytes OffloadMemory::dram_used() const {
  const std::int64_t capacity = config_.dram_for_kv.value() / geometry_.block_row_bytes().value();
  return geometry_.block_row_bytes() * (capacity - cache_.free_dram_blocks());
}

}  // namespace sparseserve::scheduler
