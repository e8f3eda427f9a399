#include "sim/scheduler/offload_memory.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::scheduler {
namespace {

std::int64_t HbmUnits(const KvGeometry& geometry, const OffloadMemoryConfig& config) {
  return config.hbm_for_kv.value() / geometry.unit_bytes.value();
}

kvcache::KvCacheConfig CacheConfig(const KvGeometry& geometry, const OffloadMemoryConfig& config) {
  return {.num_layers = geometry.tracked_layers(),
          .heads = geometry.tracked_heads(),
          .hbm_slots = HbmUnits(geometry, config) / geometry.sampling.scale(),
          .dram_blocks = config.dram_for_kv.value() / geometry.block_row_bytes().value(),
          .working_set_window = config.working_set_window,
          .eviction = config.eviction};
}

}  // namespace

OffloadMemory::OffloadMemory(const KvGeometry& geometry, const OffloadMemoryConfig& config)
    : geometry_(geometry),
      config_(config),
      capacity_units_(HbmUnits(geometry, config)),
      cache_(CacheConfig(geometry, config)),
      layer_units_(static_cast<std::size_t>(geometry.sampling.layer_stride), 0) {}

OffloadMemory::Holding& OffloadMemory::At(RequestIndex index) {
  if (static_cast<std::size_t>(index) >= holdings_.size())
    holdings_.resize(static_cast<std::size_t>(index) + 1);
  return holdings_[static_cast<std::size_t>(index)];
}

std::int64_t OffloadMemory::MetadataUnits(std::int64_t blocks) const {
  return CeilDiv(geometry_.metadata_bytes.value() * geometry_.lanes() * blocks,
                 geometry_.unit_bytes.value());
}

std::int64_t OffloadMemory::PrefillUnits(Tokens prompt) const {
  const std::int64_t blocks = BlocksOf(prompt);
  if (config_.prefill == PrefillMode::kChunked) return blocks * geometry_.lanes();
  // Hidden state and queries of the whole prompt, and one layer of KV.
  const Bytes activations = geometry_.hidden_bytes * (2 * prompt.value());
  return blocks * geometry_.heads + CeilDiv(activations.value(), geometry_.unit_bytes.value());
}

// The selection of a tracked layer weighs as that of its stratum.
std::int64_t OffloadMemory::LayerUnits(std::int64_t blocks) const {
  return geometry_.heads * geometry_.sampling.layer_stride * geometry_.LayerBlocks(blocks);
}

std::int64_t OffloadMemory::FloorUnits(std::int64_t blocks) const {
  // One layer's selection, and the newest block of all layers, which is dirty until it is saved.
  return LayerUnits(blocks) + geometry_.lanes();
}

std::string OffloadMemory::WhyNever(Tokens prompt) const {
  const std::int64_t blocks = BlocksOf(prompt) + 1;
  const std::int64_t metadata = MetadataUnits(blocks);
  const std::int64_t units = metadata + std::max(PrefillUnits(prompt), FloorUnits(blocks));
  if (units > capacity_units_) {
    return "needs " + ToString(geometry_.unit_bytes * units) + " of HBM for prefill and metadata" +
           (geometry_.sampling.layer_stride > 1 ? " in a sample that leaves layers out" : "") +
           ", which has room for " + ToString(geometry_.unit_bytes * capacity_units_);
  }
  const std::int64_t dram_blocks =
      config_.dram_for_kv.value() / geometry_.block_row_bytes().value();
  if (blocks > dram_blocks) {
    return "needs " + ToString(geometry_.block_row_bytes() * blocks) +
           " of KV in DRAM, which has room for " + ToString(config_.dram_for_kv);
  }
  return "";
}

bool OffloadMemory::FitsBesideDecodes(std::int64_t units) const {
  return space_units_ + metadata_units_ + widest_layer_units_ + tail_units_ + units <=
         capacity_units_;
}

bool OffloadMemory::ReserveUpTo(std::int64_t units, Reserved& reserved, std::int64_t& total) {
  if (units <= reserved.units) return true;
  const std::int64_t slots = units / geometry_.sampling.scale();
  if (!cache_.Reserve(slots - reserved.slots.size(), reserved.slots)) return false;
  total += units - reserved.units;
  reserved.units = units;
  return true;
}

void OffloadMemory::ReleaseAll(Reserved& reserved, std::int64_t& total) {
  total -= reserved.units;
  reserved.units = 0;
  cache_.Release(reserved.slots, reserved.slots.size());
}

void OffloadMemory::ReleaseSpace(Holding& holding) {
  promised_units_ -= holding.promised;
  holding.promised = 0;
  ReleaseAll(holding.space, space_units_);
}

bool OffloadMemory::ReserveDram(RequestIndex index, std::int64_t blocks) {
  refused_by_dram_ = !cache_.ReserveDram(index, blocks);
  return !refused_by_dram_;
}

bool OffloadMemory::Admit(RequestIndex index, const RequestState& request) {
  refused_by_dram_ = false;
  Holding& holding = At(index);
  SPARSESERVE_CHECK(!holding.live, "a request is admitted twice");
  const std::int64_t blocks = BlocksOf(request.prefill_target);
  const std::int64_t promised = PrefillUnits(request.prefill_target);
  const std::int64_t metadata = MetadataUnits(blocks);
  // Beside promises and metadata the widest decode of this request must still find room.
  if (promised_units_ + promised + metadata_units_ + metadata + FloorUnits(blocks + 1) >
          capacity_units_ &&
      promised_units_ + metadata_units_ > 0) {
    return false;
  }
  const bool chunked = config_.prefill == PrefillMode::kChunked;
  if (!FitsBesideDecodes(metadata + (chunked ? 0 : promised))) return false;
  cache_.AddRequest(index);
  if (!ReserveDram(index, blocks) || !ReserveUpTo(metadata, holding.metadata, metadata_units_) ||
      !(chunked || ReserveUpTo(promised, holding.space, space_units_))) {
    holding.live = true;
    Release(index);
    return false;
  }
  holding.live = true;
  holding.promised = promised;
  holding.chunk_block = holding.last_chunk_block = 0;
  promised_units_ += promised;
  return true;
}

Grow OffloadMemory::GrowPrefill(const PrefillPiece& piece, const RequestState&) {
  refused_by_dram_ = false;
  if (config_.prefill == PrefillMode::kLayerSegmented) return Grow::kDone;
  Holding& holding = At(piece.request);
  const std::int64_t units = BlocksOf(piece.end) * geometry_.lanes();
  if (!FitsBesideDecodes(units - holding.space.units) ||
      !ReserveUpTo(units, holding.space, space_units_)) {
    return Grow::kDefer;
  }
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
    cache_.AdoptPrefill(index, blocks, holding.space.slots, holding.last_chunk_block, ticket);
    holding.space.units -= blocks * geometry_.lanes();
    space_units_ -= blocks * geometry_.lanes();
  } else {
    cache_.AddSavedUnits(index, blocks);
  }
  ReleaseSpace(holding);
}

Grow OffloadMemory::GrowDecode(RequestIndex index, const RequestState& request, SaveTicket ticket) {
  refused_by_dram_ = false;
  Holding& holding = At(index);
  const std::int64_t blocks = BlocksOf(request.context());
  std::int64_t& layer_units =
      layer_units_[static_cast<std::size_t>(geometry_.sampling.OffsetOf(request.id))];
  const std::int64_t with_own = layer_units + LayerUnits(blocks);
  const std::int64_t widest = std::max(widest_layer_units_, with_own);
  const std::int64_t metadata =
      std::max<std::int64_t>(0, MetadataUnits(blocks) - holding.metadata.units);
  if (!FitsBesideDecodes(metadata + widest - widest_layer_units_ + geometry_.lanes())) {
    return tail_units_ > 0 ? Grow::kDefer : Grow::kFull;
  }
  while (cache_.num_blocks(index) < blocks) {
    const std::int64_t next = cache_.num_blocks(index) + 1;
    if (!ReserveDram(index, next)) return Grow::kFull;
    if (!ReserveUpTo(MetadataUnits(next), holding.metadata, metadata_units_) ||
        !cache_.AppendBlock(index)) {
      return Grow::kDefer;
    }
  }
  layer_units = with_own;
  widest_layer_units_ = widest;
  tail_units_ += geometry_.lanes();
  cache_.MarkTailDirty(index, ticket);
  return Grow::kDone;
}

void OffloadMemory::Release(RequestIndex index) {
  Holding& holding = At(index);
  SPARSESERVE_CHECK(holding.live, "a request without memory is released");
  ReleaseSpace(holding);
  ReleaseAll(holding.metadata, metadata_units_);
  cache_.RemoveRequest(index);
  holding.live = false;
}

void OffloadMemory::BeginPlan() {
  std::fill(layer_units_.begin(), layer_units_.end(), 0);
  widest_layer_units_ = tail_units_ = 0;
  cache_.BeginLayer();  // nothing is in use between two iterations
}

std::int64_t OffloadMemory::AvailableUnits() const { return capacity_units_ - metadata_units_; }

std::int64_t OffloadMemory::DecodeNeed(RequestIndex index, const RequestState& request) const {
  // A request that has not decoded yet has no history: it will select at least one step's worth.
  return std::max(geometry_.sampling.scale() * cache_.WorkingSet(index),
                  geometry_.SelectedUnits(BlocksOf(request.context())));
}

std::int64_t OffloadMemory::PrefillNeed(const PrefillPiece& piece,
                                        const RequestState& request) const {
  const std::int64_t need = config_.prefill == PrefillMode::kChunked
                                ? BlocksOf(piece.end) * geometry_.lanes()
                                : PrefillUnits(request.prefill_target);
  const bool known = static_cast<std::size_t>(piece.request) < holdings_.size();
  return std::max<std::int64_t>(0, need - (known ? At(piece.request).space.units : 0));
}

Bytes OffloadMemory::hbm_used() const {
  return geometry_.unit_bytes *
         (geometry_.sampling.scale() * (cache_.reserved_slots() + cache_.resident_slots()));
}

Bytes OffloadMemory::dram_used() const {
  const std::int64_t capacity = config_.dram_for_kv.value() / geometry_.block_row_bytes().value();
  return geometry_.block_row_bytes() * (capacity - cache_.free_dram_blocks());
}

}  // namespace sparseserve::scheduler
