// Private to the KV cache: its state and the steps its operations share.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sim/kvcache/cache_state.h"
#include "sim/kvcache/eviction_policy.h"
#include "sim/kvcache/free_list.h"
#include "sim/kvcache/kv_cache.h"

namespace sparseserve::kvcache {

struct Request {
  bool active = false;
  std::int64_t num_blocks = 0;
  std::int64_t working_set = 0;
  // Blocks are written in order, so those not saved yet are the last ones and their tickets do not
  // fall. Tickets are kept from the first dirty block on.
  std::int64_t first_dirty_block = 0;
  std::vector<SaveTicket> tickets;      // per block
  std::int64_t num_dirty_resident = 0;  // units
  std::vector<std::int32_t> dram_rows;  // per block
};

struct KvCache::Impl {
  Impl(const KvCacheConfig& config, const EvictionPolicyFactory& make_policy);

  Request& active(RequestIndex request);
  const Request& active(RequestIndex request) const;
  GroupIndex GroupOf(RequestIndex request, std::int64_t layer) const {
    return static_cast<GroupIndex>(request * config.num_layers + layer);
  }
  std::int64_t units_per_block() const { return config.num_layers * config.heads; }

  // Resident units that no layer uses and no save waits for.
  std::int64_t CountEvictable() const;
  // Evicts exactly `count`. REQUIRES: that many are evictable.
  void Evict(std::int64_t count);
  // Makes `count` slots free; false, and nothing changed, when too little is evictable.
  bool MakeRoom(std::int64_t count);
  void NotePeak();

  // Adds `num_blocks` blocks that exist in DRAM only.
  void AddUnits(Request& request, RequestIndex index, std::int64_t num_blocks, SaveTicket ticket);
  // Puts the units [begin, end) of every layer of the request into slots given by take().
  template <typename Take>
  void CreateResident(RequestIndex index, Unit begin, Unit end, Take take);
  // Finds the first dirty block again and recounts the dirty resident units.
  void UpdateDirty(RequestIndex index, Request& request);
  void LoadGroup(GroupIndex index, std::int64_t limit, std::vector<Load>* loads);

  const KvCacheConfig config;
  CacheState state;
  std::vector<Request> requests;
  FreeList slots;
  FreeList rows;
  std::int64_t num_reserved = 0;
  std::int64_t num_dirty_resident = 0;
  SaveTicket saved_up_to = 0;
  std::vector<GroupIndex> in_use;  // groups selected since BeginLayer
  GroupIndex last_selected = -1;
  std::unique_ptr<EvictionPolicy> policy;
  AccessRecorder* recorder = nullptr;
  KvCacheStats stats;
  // Buffers of one operation, kept for their capacity.
  std::vector<Victim> victims;
  std::vector<Unit> placed;
};

// Not saved and not given a ticket yet: what a block appended since the last mark carries.
constexpr SaveTicket kUnmarked = ~SaveTicket{0};

}  // namespace sparseserve::kvcache
