// A KV cache of one layer and one head, so that a unit is a block, for tests of single facts.
#pragma once

#include <string>
#include <vector>

#include "sim/kvcache/kv_cache.h"

namespace sparseserve::kvcache {

class OneLayer {
 public:
  explicit OneLayer(std::int64_t hbm_slots, const std::string& eviction = "lru",
                    std::int64_t window = 12)
      : cache({.num_layers = 1,
               .heads = 1,
               .hbm_slots = hbm_slots,
               .dram_blocks = 100,
               .working_set_window = window,
               .eviction = eviction}) {}

  // A request whose blocks are all in DRAM only.
  void AddSaved(RequestIndex request, std::int64_t num_blocks) {
    cache.AddRequest(request);
    cache.ReserveDram(request, num_blocks);
    cache.AddSavedUnits(request, num_blocks);
  }
  // A request whose blocks are all in HBM, saved from block 0 on under `ticket`.
  void AddResident(RequestIndex request, std::int64_t num_blocks, SaveTicket ticket = 0) {
    cache.AddRequest(request);
    cache.ReserveDram(request, num_blocks);
    Reservation space;
    cache.Reserve(num_blocks, space);
    cache.AdoptPrefill(request, num_blocks, space, 0, ticket);
  }
  // One layer of one step in which only this request takes part. Returns the units loaded.
  std::vector<Unit> Step(RequestIndex request, std::vector<Unit> added,
                         std::vector<Unit> removed = {}) {
    cache.BeginLayer();
    cache.Select(request, 0, added, removed);
    std::vector<Load> loads;
    std::int64_t num_loads = 0;
    complete = cache.LoadMisses(num_loads, &loads);
    std::vector<Unit> units;
    for (const Load& load : loads) units.push_back(load.unit);
    cache.Audit();
    return units;
  }
  std::vector<Unit> Resident(RequestIndex request) const {
    std::vector<Unit> units;
    for (Unit unit = 0; unit < cache.num_blocks(request); ++unit) {
      if (cache.SlotOf(request, 0, unit) != kNoSlot) units.push_back(unit);
    }
    return units;
  }

  KvCache cache;
  bool complete = false;  // whether the last step got all its loads
};

}  // namespace sparseserve::kvcache
