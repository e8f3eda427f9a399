// The KV cache of one replica: HBM as a cache of blocks whose home is host DRAM.
//
// A *unit* is (request, layer, head, block): what one transfer moves and what is evicted. Within
// the *group* (request, layer) units are numbered block * heads + head, so that a growing context
// appends. A *slot* is one unit's place in HBM.
//
// The cache is told what *changes*: a step passes the units that joined and that left the selected
// set of each group. A unit that stays selected costs nothing; its time of last use is that of its
// group, and only when it leaves is it written down. Cost follows the changes and the loads, not
// the selection.
//
// One layer of one step, for all requests of the batch:
//     cache.BeginLayer();
//     for each request: cache.Select(request, layer, added, removed);
//     while (!cache.LoadMisses(n, &loads)) { wait for saves; cache.CompleteSaves(ticket); }
//     ... transfer `loads`, attend ...
// Units selected since BeginLayer are in use: they are never evicted before the next BeginLayer.
//
// Invariants, checked by Audit(): every unit is in at most one slot and every slot has at most one
// owner; free + reserved + resident = capacity; a dirty unit (its save is not complete) that is
// resident stays so; in-use units are resident after LoadMisses; the working set of a request
// counts exactly the units it selected in its last `window` steps (a step of a group is one
// Select).
//
// Within a layer room is made for all misses first, then they take their slots: a miss never evicts
// another. Cost: O(1) per unit that joins, leaves, is loaded or evicted; per Select and LoadMisses
// one pass over the group's bits when it misses anything (64 units a word).
//
// Single-threaded. It knows neither clock nor executor: the same object drives simulation and live
// mode.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/kvcache/eviction_policy.h"
#include "sim/kvcache/types.h"

namespace sparseserve::kvcache {

struct KvCacheConfig {
  std::int64_t num_layers = 0;
  std::int64_t heads = 0;      // units of one block in one layer, on this GPU
  std::int64_t hbm_slots = 0;  // capacity of HBM for KV, in units
  std::int64_t dram_blocks =
      0;  // capacity of DRAM in rows; a row is one block of all layers and heads
  std::int64_t working_set_window = 12;  // steps
  std::string eviction = "lru";          // see EvictionPolicyNames()
};

// HBM slots taken out of the cache: prefill space, metadata. Held by the caller, returned by
// Release.
struct Reservation {
  std::vector<Slot> slots;
  std::int64_t size() const { return static_cast<std::int64_t>(slots.size()); }
};

struct Load {
  RequestIndex request;
  std::int32_t layer;
  Unit unit;
  Slot slot;
};

struct KvCacheStats {
  std::int64_t touches =
      0;  // units selected, summed over all steps: logical, most of them cost nothing
  std::int64_t loads = 0;    // units copied from DRAM because they were selected and not resident
  std::int64_t reloads = 0;  // loads of units that had been resident and were evicted
  std::int64_t evictions = 0;
  std::int64_t hbm_peak_slots = 0;    // reserved + resident
  std::int64_t dram_peak_blocks = 0;  // rows
};

class AccessRecorder;

class KvCache {
 public:
  // Throws InputError when config.eviction is unknown or a number is out of range.
  explicit KvCache(const KvCacheConfig& config);
  // With a policy of the caller's; config.eviction is not looked at.
  KvCache(const KvCacheConfig& config, const EvictionPolicyFactory& make_policy);
  ~KvCache();

  // --- Requests and their home in DRAM ---
  void AddRequest(RequestIndex request);
  // Frees every slot and row of the request. Reservations are the caller's to release.
  void RemoveRequest(RequestIndex request);
  // Makes DRAM room for the first `num_blocks` blocks of the request; false (and nothing changed)
  // when DRAM is full.
  bool ReserveDram(RequestIndex request, std::int64_t num_blocks);

  // --- HBM outside the cache ---
  // Moves `num_slots` more slots into `space`, evicting as needed; false (and nothing reserved)
  // when too little is evictable.
  bool Reserve(std::int64_t num_slots, Reservation& space);
  void Release(Reservation& space, std::int64_t num_slots);
  std::int64_t reserved_slots() const;
  std::int64_t resident_slots() const;
  std::int64_t capacity_slots() const;

  // --- Units come into being ---
  // The prompt's first `num_blocks` blocks have been computed in `space` (all layers) and stay
  // resident: takes the first num_blocks * layers * heads slots out of it, those of block b, layer
  // l and head h at (b * layers + l) * heads + h. Blocks from `dirty_from` on are saved under
  // `ticket`.
  void AdoptPrefill(RequestIndex request, std::int64_t num_blocks, Reservation& space,
                    std::int64_t dirty_from, SaveTicket ticket);
  // The prompt's first `num_blocks` blocks have been computed and saved layer by layer: none is
  // resident.
  void AddSavedUnits(RequestIndex request, std::int64_t num_blocks);
  // The context grows by one block, created in HBM in every layer and head and dirty from birth.
  // False (and nothing changed) when too little is evictable. REQUIRES: DRAM reserved.
  bool AppendBlock(RequestIndex request);
  // The newest block of the request is written in the iteration whose saves carry `ticket`: it is
  // dirty until then, and so are blocks appended since the last mark. Called before the layers of
  // that iteration run, so that no layer evicts what another is about to save. REQUIRES: tickets of
  // a request never fall.
  void MarkTailDirty(RequestIndex request, SaveTicket ticket);
  void CompleteSaves(SaveTicket up_to);

  // --- One layer of one step ---
  void BeginLayer();
  // REQUIRES: `removed` units are selected, `added` are not; units exist; the group was not
  // selected since BeginLayer. Order inside the spans is irrelevant to the result except for the
  // order among equals at eviction.
  void Select(RequestIndex request, std::int64_t layer, std::span<const Unit> added,
              std::span<const Unit> removed);
  // Gives every selected unit of this layer that is not resident a slot, evicting as needed, and
  // appends it to `loads` (which may be null when only counts matter). Returns false when too
  // little is evictable: what could be done is done, and a later call goes on. `num_loads` grows by
  // the number of units loaded.
  bool LoadMisses(std::int64_t& num_loads, std::vector<Load>* loads = nullptr);

  // --- What the scheduler asks ---
  // Units that the request selected in its last `window` steps, all layers. O(1).
  std::int64_t WorkingSet(RequestIndex request) const;
  std::int64_t num_blocks(RequestIndex request) const;
  Slot SlotOf(RequestIndex request, std::int64_t layer, Unit unit) const;  // kNoSlot: not in HBM
  // The DRAM row that is the block's home. REQUIRES: reserved.
  std::int32_t DramRow(RequestIndex request, std::int64_t block) const;
  std::int64_t free_dram_blocks() const;
  const KvCacheStats& stats() const;

  // Records every access from here on (access_trace.h); null stops. REQUIRES: no request yet.
  void set_recorder(AccessRecorder* recorder);
  // Checks all invariants by brute force; aborts on a violation. O(units).
  void Audit() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sparseserve::kvcache
