#include "tests/reference/hbm.h"

#include <algorithm>
#include <tuple>

namespace sparseserve::reference {
namespace {
constexpr std::uint32_t kNotYetIssued = ~0u;  // the block's save is still to come
}

Hbm::Hbm(const SystemConfig& config, const KvGeometry& geometry, std::int64_t hbm_bytes,
         std::int64_t dram_bytes)
    : config_(config),
      geometry_(geometry),
      offloads_(config.choice.kv_home == serving::KvHome::kDram),
      chunked_(config.choice.prefill == scheduler::PrefillMode::kChunked),
      row_bytes_((geometry.unit_bytes + geometry.metadata_bytes).value() * geometry.num_layers *
                 geometry.heads),
      rows_(hbm_bytes / row_bytes_),
      slots_(hbm_bytes / geometry.unit_bytes.value()),
      dram_rows_(dram_bytes /
                 (geometry.unit_bytes.value() * geometry.num_layers * geometry.heads)) {}

std::int64_t Hbm::BlocksOf(std::int64_t tokens) const {
  const std::int64_t block = geometry_.block_tokens.value();
  return tokens / block + (tokens % block != 0 ? 1 : 0);
}

template <typename Visit>
void Hbm::ForEachUnit(Visit visit) const {
  for (Request* request : live_) {
    for (Layer& layer : request->layers) {
      for (std::size_t i = 0; i < layer.units.size(); ++i) visit(layer, layer.units[i], i);
    }
  }
}

// In use by the layer that runs, or not yet saved.
bool Hbm::Pinned(const Layer& layer, const Unit& unit) const {
  return (layer.in_use && unit.selected) || unit.ticket > saved_;
}

std::int64_t Hbm::Reserved() const {
  std::int64_t slots = 0;
  for (const Request* request : live_) slots += request->space + request->metadata;
  return slots;
}

std::int64_t Hbm::Resident() const {
  std::int64_t units = 0;
  ForEachUnit([&](const Layer&, const Unit& unit, std::size_t) { units += unit.resident ? 1 : 0; });
  return units;
}

std::int64_t Hbm::Evictable() const {
  std::int64_t units = 0;
  ForEachUnit([&](const Layer& layer, const Unit& unit, std::size_t) {
    units += unit.resident && !Pinned(layer, unit) ? 1 : 0;
  });
  return units;
}

bool Hbm::MakeRoom(std::int64_t slots) {
  if (slots > Free() + Evictable()) return false;
  while (Free() < slots) EvictOne();
  return true;
}

// The least recently used unit. Among units of one last use: those no longer selected first, in
// the order in which they left, then the selected ones in unit order.
void Hbm::EvictOne() {
  using Age = std::tuple<std::int64_t, bool, std::int64_t>;
  Unit* victim = nullptr;
  Age oldest;
  ForEachUnit([&](const Layer& layer, Unit& unit, std::size_t index) {
    if (!unit.resident || Pinned(layer, unit)) return;
    const Age age{unit.last_use, unit.selected,
                  unit.selected ? static_cast<std::int64_t>(index) : unit.left};
    if (victim == nullptr || age < oldest) {
      victim = &unit;
      oldest = age;
    }
  });
  victim->resident = false;
  ++evictions_;
}

std::int64_t Hbm::MetadataSlots(std::int64_t blocks) const {
  const std::int64_t bytes =
      geometry_.metadata_bytes.value() * geometry_.num_layers * geometry_.heads * blocks;
  const std::int64_t unit = geometry_.unit_bytes.value();
  return bytes / unit + (bytes % unit != 0 ? 1 : 0);
}

// HBM that a prefill holds at its largest. Chunked: all layers of the prompt. Layer-segmented: one
// layer, and hidden state and queries of every token.
std::int64_t Hbm::PrefillSlots(std::int64_t tokens) const {
  const std::int64_t blocks = BlocksOf(tokens);
  if (chunked_) return blocks * geometry_.num_layers * geometry_.heads;
  const std::int64_t activations = 2 * tokens * geometry_.hidden_bytes.value();
  const std::int64_t unit = geometry_.unit_bytes.value();
  return blocks * geometry_.heads + activations / unit + (activations % unit != 0 ? 1 : 0);
}

// What one decode needs at least: its widest layer's selection, and its newest block in all layers.
std::int64_t Hbm::FloorSlots(std::int64_t blocks) const {
  const bool some_layer_is_full = geometry_.budget_blocks == 0 || geometry_.dense_layers > 0;
  const std::int64_t widest =
      some_layer_is_full ? blocks : std::min(blocks, geometry_.budget_blocks);
  return (widest + geometry_.num_layers) * geometry_.heads;
}

bool Hbm::FitsBesideDecodes(std::int64_t slots) const {
  return Reserved() + decode_slots_ + slots <= slots_;
}

bool Hbm::ReserveMetadata(Request& request, std::int64_t slots) {
  if (slots <= request.metadata) return true;
  if (!MakeRoom(slots - request.metadata)) return false;
  request.metadata = slots;
  return true;
}

bool Hbm::Admit(Request& request) {
  const std::int64_t blocks = BlocksOf(request.target);
  if (!offloads_) {
    std::int64_t used = 0;
    for (const Request* other : live_) used += other->rows;
    const std::int64_t watermark = used > 0 ? rows_ / 100 : 0;
    if (used + blocks + watermark > rows_) return false;
    request.rows = blocks;
    live_.push_back(&request);
    return true;
  }
  std::int64_t promised = 0, metadata = 0, dram = 0;
  for (const Request* other : live_) {
    promised += other->promised;
    metadata += other->metadata;
    dram += other->dram_rows;
  }
  const std::int64_t space = PrefillSlots(request.target);
  const std::int64_t own = MetadataSlots(blocks);
  const bool alone = promised + metadata == 0;
  if (!alone && promised + space + metadata + own + FloorSlots(blocks + 1) > slots_) return false;
  const std::int64_t now = own + (chunked_ ? 0 : space);  // taken at once
  if (!FitsBesideDecodes(now) || dram + blocks > dram_rows_) return false;
  // Metadata first and then the space: each evicts only what it needs.
  if (!MakeRoom(own)) return false;
  request.metadata = own;
  live_.push_back(&request);
  if (!chunked_ && !MakeRoom(space)) {
    Release(request);
    return false;
  }
  request.space = chunked_ ? 0 : space;
  request.promised = space;
  request.dram_rows = blocks;
  request.chunk_block = request.last_chunk_block = 0;
  return true;
}

Grow Hbm::GrowPrefill(const Piece& piece) {
  if (!offloads_ || !chunked_) return Grow::kDone;
  Request& request = *piece.request;
  const std::int64_t slots = BlocksOf(piece.end) * geometry_.num_layers * geometry_.heads;
  const std::int64_t more = slots - request.space;
  if (!FitsBesideDecodes(more)) return Grow::kDefer;
  if (more > 0) {
    if (!MakeRoom(more)) return Grow::kDefer;
    request.space = slots;
  }
  request.last_chunk_block = request.chunk_block;
  request.chunk_block = piece.begin / geometry_.block_tokens.value();
  return Grow::kDone;
}

void Hbm::CreateUnits(Request& request, std::int64_t blocks, std::uint32_t ticket, bool resident) {
  request.layers.resize(static_cast<std::size_t>(geometry_.num_layers));
  for (Layer& layer : request.layers) {
    for (std::int64_t i = request.blocks * geometry_.heads; i < blocks * geometry_.heads; ++i) {
      Unit unit;
      unit.resident = resident;
      unit.ticket = ticket;
      unit.last_use = unit.left = ++tick_;
      layer.units.push_back(unit);
    }
  }
  request.blocks = blocks;
}

void Hbm::FinishPrefill(Request& request, std::uint32_t ticket) {
  if (!offloads_) return;
  const std::int64_t blocks = BlocksOf(request.target);
  CreateUnits(request, blocks, 0, /*resident=*/chunked_);
  if (chunked_) {  // the saves of the last two chunks are under way
    for (Layer& layer : request.layers) {
      for (std::int64_t i = request.last_chunk_block * geometry_.heads;
           i < blocks * geometry_.heads; ++i)
        layer.units[static_cast<std::size_t>(i)].ticket = ticket;
    }
  }
  request.space = request.promised = 0;
}

Grow Hbm::GrowDecode(Request& request, std::uint32_t ticket) {
  const std::int64_t blocks = BlocksOf(request.context());
  if (!offloads_) {
    std::int64_t used = 0;
    for (const Request* other : live_) used += other->rows;
    if (used + blocks - request.rows > rows_) return Grow::kFull;
    request.rows = blocks;
    return Grow::kDone;
  }
  const std::int64_t floor = FloorSlots(blocks);
  const std::int64_t metadata = std::max<std::int64_t>(0, MetadataSlots(blocks) - request.metadata);
  if (!FitsBesideDecodes(metadata + floor)) {
    return decode_slots_ > 0 ? Grow::kDefer : Grow::kFull;
  }
  while (request.blocks < blocks) {
    std::int64_t dram = 0;
    for (const Request* other : live_) dram += other->dram_rows;
    const std::int64_t next = request.blocks + 1;
    if (next > request.dram_rows) {
      if (dram + next - request.dram_rows > dram_rows_) return Grow::kFull;
      request.dram_rows = next;
    }
    if (!ReserveMetadata(request, MetadataSlots(next))) return Grow::kDefer;
    if (!MakeRoom(geometry_.num_layers * geometry_.heads)) return Grow::kDefer;
    CreateUnits(request, next, kNotYetIssued, /*resident=*/true);
  }
  decode_slots_ += floor;
  for (Layer& layer : request.layers) {
    for (std::size_t i = 0; i < layer.units.size(); ++i) {
      const bool newest = static_cast<std::int64_t>(i) / geometry_.heads == request.blocks - 1;
      if (newest || layer.units[i].ticket == kNotYetIssued) layer.units[i].ticket = ticket;
    }
  }
  return Grow::kDone;
}

void Hbm::Release(Request& request) {
  std::erase(live_, &request);
  request.rows = request.dram_rows = request.space = request.metadata = request.promised = 0;
  request.blocks = 0;
  request.layers.clear();
}

void Hbm::BeginPlan() {
  decode_slots_ = 0;
  BeginLayer();
}

std::int64_t Hbm::WorkingSetRoom() const {
  std::int64_t metadata = 0;
  for (const Request* request : live_) metadata += request->metadata;
  return slots_ - metadata;
}

std::int64_t Hbm::HeldByPrefills() const {
  std::int64_t held = 0;
  for (const Request* request : live_) held += request->space;
  return held;
}

// The union of the last w steps' selections; at least what one step selects.
std::int64_t Hbm::DecodeNeed(const Request& request) const {
  std::int64_t working_set = 0;
  for (const Layer& layer : request.layers) {
    for (const Unit& unit : layer.units) {
      working_set +=
          unit.step > 0 && unit.step > layer.steps - config_.memory.working_set_window ? 1 : 0;
    }
  }
  const std::int64_t blocks = BlocksOf(request.context());
  std::int64_t one_step = 0;
  for (std::int64_t layer = 0; layer < geometry_.num_layers; ++layer) {
    const bool full = geometry_.budget_blocks == 0 || layer < geometry_.dense_layers;
    one_step += geometry_.heads * (full ? blocks : std::min(blocks, geometry_.budget_blocks));
  }
  return std::max(working_set, one_step);
}

std::int64_t Hbm::PrefillNeed(const Piece& piece) const {
  const std::int64_t need = chunked_ ? BlocksOf(piece.end) * geometry_.num_layers * geometry_.heads
                                     : PrefillSlots(piece.request->target);
  return std::max<std::int64_t>(0, need - piece.request->space);
}

void Hbm::BeginLayer() {
  for (Request* request : live_) {
    for (Layer& layer : request->layers) layer.in_use = false;
  }
}

void Hbm::Select(Request& request, std::int64_t layer_index,
                 const std::vector<std::uint32_t>& added,
                 const std::vector<std::uint32_t>& removed) {
  Layer& layer = request.layers[static_cast<std::size_t>(layer_index)];
  for (const std::uint32_t unit : removed) {
    layer.units[unit].selected = false;
    layer.units[unit].left = ++tick_;
  }
  for (const std::uint32_t unit : added) layer.units[unit].selected = true;
  layer.in_use = true;
  ++layer.steps;
  ++tick_;
  for (Unit& unit : layer.units) {
    if (!unit.selected) continue;
    unit.last_use = tick_;
    unit.step = layer.steps;
    ++touches_;
  }
}

bool Hbm::LoadMisses(std::int64_t layer_index, std::int64_t& loads) {
  std::vector<Unit*> missing;
  for (Request* request : live_) {
    if (request->layers.empty()) continue;
    Layer& layer = request->layers[static_cast<std::size_t>(layer_index)];
    for (Unit& unit : layer.units) {
      if (layer.in_use && unit.selected && !unit.resident) missing.push_back(&unit);
    }
  }
  const auto wanted = static_cast<std::int64_t>(missing.size());
  const std::int64_t possible = std::min(wanted, Free() + Evictable());
  while (Free() < possible) EvictOne();
  for (std::int64_t i = 0; i < possible; ++i) missing[static_cast<std::size_t>(i)]->resident = true;
  loads += possible;
  return possible == wanted;
}

std::int64_t Hbm::hbm_used() const {
  if (offloads_) return (Reserved() + Resident()) * geometry_.unit_bytes.value();
  std::int64_t used = 0;
  for (const Request* request : live_) used += request->rows;
  return used * row_bytes_;
}

std::int64_t Hbm::dram_used() const {
  std::int64_t rows = 0;
  for (const Request* request : live_) rows += request->dram_rows;
  return rows * geometry_.unit_bytes.value() * geometry_.num_layers * geometry_.heads;
}

}  // namespace sparseserve::reference
