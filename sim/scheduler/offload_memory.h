// KV at home in DRAM, HBM as a cache of selected blocks.
//
// HBM is shared by three things, all taken from the same slots: metadata (as long as a request
// lives), prefill space, and the cache. What prefill needs depends on its mode:
// (1) chunked: the KV of all layers of everything prefilled so far. The whole prompt is promised at
//     admission, so that two prefills in progress can always both finish, and taken chunk by chunk;
//     at the end the blocks stay as cached units.
// (2) layer-segmented: one layer of KV, and the activations (hidden state and queries) kept between
//     segments. At the end all blocks are in DRAM and none in HBM.
// A decode can run when one layer's selection of the whole batch fits beside what is reserved.
//
// All counts here are units of all lanes. The cache tracks those of the sampled lanes in an equal
// share of the slots (lane_sampling.h), so decisions do not depend on the sampling, but for what
// the cache estimates (working sets) and one reserve: with layers left out, the requests that have
// the same layer tracked take more than their part of the cache at once.
#pragma once

#include <vector>

#include "sim/kvcache/kv_cache.h"
#include "sim/scheduler/kv_memory.h"

namespace sparseserve::scheduler {

struct OffloadMemoryConfig {
  PrefillMode prefill = PrefillMode::kChunked;
  Bytes hbm_for_kv;
  Bytes dram_for_kv;
  std::int64_t working_set_window = 12;
  std::string eviction = "lru";
};

class OffloadMemory : public KvMemory {
 public:
  OffloadMemory(const KvGeometry& geometry, const OffloadMemoryConfig& config);

  std::string WhyNever(Tokens prompt) const override;
  bool Admit(RequestIndex index, const RequestState& request) override;
  Grow GrowPrefill(const PrefillPiece& piece, const RequestState& request) override;
  void FinishPrefill(RequestIndex index, const RequestState& request, SaveTicket ticket) override;
  Grow GrowDecode(RequestIndex index, const RequestState& request, SaveTicket ticket) override;
  void Release(RequestIndex index) override;

  void BeginPlan() override;
  bool RefusedByDram() const override { return refused_by_dram_; }

  std::int64_t AvailableUnits() const override;
  std::int64_t HeldUnits() const override { return space_units_; }
  std::int64_t DecodeNeed(RequestIndex index, const RequestState& request) const override;
  std::int64_t PrefillNeed(const PrefillPiece& piece, const RequestState& request) const override;

  Bytes hbm_used() const override;
  Bytes dram_used() const override;
  std::int64_t capacity_blocks() const override { return capacity_units_; }
  std::int64_t hbm_peak_blocks() const override {
    return geometry_.sampling.scale() * cache_.stats().hbm_peak_slots;
  }
  Bytes dram_peak() const override {
    return geometry_.block_row_bytes() * cache_.stats().dram_peak_blocks;
  }

  // The slots that a prefill in progress computes its KV in: chunked, as KvCache::AdoptPrefill
  // takes them; layer-segmented, one layer's, of block b and head h at b * heads + h.
  // REQUIRES: all lanes are tracked.
  const kvcache::Reservation& PrefillSpace(RequestIndex index) const {
    return At(index).space.slots;
  }
  kvcache::KvCache& cache() { return cache_; }
  const kvcache::KvCache& cache() const { return cache_; }

 private:
  // HBM outside the cache, and the slots of the sampled lanes for it.
  struct Reserved {
    std::int64_t units = 0;
    kvcache::Reservation slots;
  };
  struct Holding {
    Reserved space;  // of a prefill in progress
    Reserved metadata;
    std::int64_t promised = 0;  // units that the prefill in progress may come to hold; 0 otherwise
    std::int64_t last_chunk_block =
        0;  // chunked: first block of the newest but one chunk, for dirty blocks
    std::int64_t chunk_block = 0;  // chunked: first block of the newest chunk
    bool live = false;
  };

  std::int64_t BlocksOf(Tokens tokens) const {
    return BlocksFor(tokens, geometry_.block_tokens).value();
  }
  std::int64_t MetadataUnits(std::int64_t blocks) const;
  std::int64_t PrefillUnits(Tokens prompt) const;      // at its largest
  std::int64_t LayerUnits(std::int64_t blocks) const;  // one layer's selection of a decode
  std::int64_t FloorUnits(std::int64_t blocks) const;  // one decode of that context, alone
  // Whether that much can be reserved and leave the decodes planned so far their layer's selection.
  bool FitsBesideDecodes(std::int64_t units) const;
  // Raises what is reserved to `units`, and `total` with it; false (and nothing changed) when too
  // little is evictable.
  bool ReserveUpTo(std::int64_t units, Reserved& reserved, std::int64_t& total);
  void ReleaseAll(Reserved& reserved, std::int64_t& total);
  void ReleaseSpace(Holding& holding);
  bool ReserveDram(RequestIndex index, std::int64_t blocks);
  Holding& At(RequestIndex index);
  const Holding& At(RequestIndex index) const { return holdings_[static_cast<std::size_t>(index)]; }

  KvGeometry geometry_;
  OffloadMemoryConfig config_;
  std::int64_t capacity_units_;
  kvcache::KvCache cache_;           // of the sampled lanes
  std::vector<Holding> holdings_;    // by request
  std::int64_t promised_units_ = 0;  // of all prefills in progress
  std::int64_t space_units_ = 0;     // what they hold
  std::int64_t metadata_units_ = 0;
  bool refused_by_dram_ = false;
  // Of the decodes planned so far: one layer's selection, by the layer that a request has tracked,
  // the largest of these, and the newest blocks.
  std::vector<std::int64_t> layer_units_;
  std::int64_t widest_layer_units_ = 0;
  std::int64_t tail_units_ = 0;
};

}  // namespace sparseserve::scheduler
