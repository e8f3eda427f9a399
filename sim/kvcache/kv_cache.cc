// Requests, memory and the life of units; selection and loading stand in kv_cache_layer.cc.
#include "sim/kvcache/kv_cache.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "sim/core/check.h"
#include "sim/core/error.h"
#include "sim/kvcache/access_trace.h"
#include "sim/kvcache/kv_cache_impl.h"

namespace sparseserve::kvcache {
namespace {

void CheckRange(std::int64_t value, std::int64_t lo, std::int64_t hi, const char* key) {
  if (value >= lo && value <= hi) return;
  throw InputError({.where = {},
                    .key = key,
                    .what = "found " + std::to_string(value),
                    .expected = "a number from " + std::to_string(lo) + " to " + std::to_string(hi),
                    .hint = ""});
}

const KvCacheConfig& Checked(const KvCacheConfig& config) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max() / 2;
  CheckRange(config.num_layers, 1, kMax, "num_layers");
  CheckRange(config.heads, 1, kMax, "heads");
  CheckRange(config.hbm_slots, 0, kMax, "hbm_slots");
  CheckRange(config.dram_blocks, 0, kMax, "dram_blocks");
  CheckRange(config.working_set_window, 1, WindowUnion::kMaxWindow, "working_set_window");
  return config;
}

}  // namespace

KvCache::Impl::Impl(const KvCacheConfig& c, const EvictionPolicyFactory& make_policy)
    : config(Checked(c)), slots(c.hbm_slots), rows(c.dram_blocks) {
  state.num_slots = c.hbm_slots;
  policy = make_policy(state);
}

Request& KvCache::Impl::active(RequestIndex request) {
  return const_cast<Request&>(std::as_const(*this).active(request));
}

const Request& KvCache::Impl::active(RequestIndex request) const {
  SPARSESERVE_CHECK(request >= 0 && static_cast<std::size_t>(request) < requests.size() &&
                        requests[request].active,
                    "no such request");
  return requests[request];
}

std::int64_t KvCache::Impl::CountEvictable() const {
  std::int64_t num_pinned = num_dirty_resident;
  for (const GroupIndex index : in_use) {
    const Group& group = state.groups[index];
    num_pinned += group.num_held;
    ScanUnits(group, group.first_dirty, group.num_units(), kHeldWord, [&](Unit) {
      --num_pinned;  // dirty as well: counted above
      return true;
    });
  }
  return state.num_resident - num_pinned;
}

void KvCache::Impl::Evict(std::int64_t count) {
  victims.clear();
  policy->Evict(count, victims);
  SPARSESERVE_CHECK(static_cast<std::int64_t>(victims.size()) == count, "policy miscounts");
  for (std::size_t i = 0; i < victims.size(); ++i) {
    constexpr std::size_t kAhead = 32;
    if (i + kAhead < victims.size()) {
      const Victim& ahead = victims[i + kAhead];
      const Group& owner = state.groups[ahead.group];
      if (ahead.slot == kNoSlot) __builtin_prefetch(&owner.slot_of[ahead.unit]);
      __builtin_prefetch(&owner.bits[ahead.unit >> 6], 1);
    }
    const Victim victim = victims[i];
    Group& group = state.groups[victim.group];
    UnitBits& bits = group.bits[victim.unit >> 6];
    const std::uint64_t bit = std::uint64_t{1} << (victim.unit & 63);
    bits.resident &= ~bit;
    group.num_held -= (bits.selected & bit) != 0;
    slots.Return(victim.slot == kNoSlot ? group.slot_of[victim.unit] : victim.slot);
  }
  state.num_resident -= count;
  stats.evictions += count;
}

bool KvCache::Impl::MakeRoom(std::int64_t count) {
  const std::int64_t needed = count - slots.num_free();
  if (needed <= 0) return true;
  if (needed > CountEvictable()) return false;
  Evict(needed);
  return true;
}

void KvCache::Impl::NotePeak() {
  stats.hbm_peak_slots = std::max(stats.hbm_peak_slots, num_reserved + state.num_resident);
}

void KvCache::Impl::AddUnits(Request& request, RequestIndex index, std::int64_t num_blocks,
                             SaveTicket ticket) {
  request.num_blocks += num_blocks;
  SPARSESERVE_CHECK(static_cast<std::size_t>(request.num_blocks) <= request.dram_rows.size(),
                    "every block needs a home in DRAM: ReserveDram first");
  SPARSESERVE_CHECK(request.num_blocks * config.heads < std::int64_t{kNoUnit}, "too many units");
  request.tickets.resize(static_cast<std::size_t>(request.num_blocks), ticket);
  const std::size_t num_units = static_cast<std::size_t>(request.num_blocks * config.heads);
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    Group& group = state.groups[GroupOf(index, layer)];
    group.bits.resize((num_units + 63) / 64);
    group.slot_of.resize(num_units, kNoSlot);
  }
}

template <typename Take>
void KvCache::Impl::CreateResident(RequestIndex index, Unit begin, Unit end, Take take) {
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    const GroupIndex group_index = GroupOf(index, layer);
    Group& group = state.groups[group_index];
    placed.clear();
    for (Unit unit = begin; unit < end; ++unit) {
      group.bits[unit >> 6].resident |= std::uint64_t{1} << (unit & 63);
      group.slot_of[unit] = take(layer, unit);
      placed.push_back(unit);
    }
    state.num_resident += end - begin;
    policy->OnCreate(group_index, placed);
  }
  NotePeak();
}

void KvCache::Impl::UpdateDirty(RequestIndex index, Request& request) {
  std::int64_t& first = request.first_dirty_block;
  while (first > 0 && request.tickets[first - 1] > saved_up_to) --first;
  while (first < request.num_blocks && request.tickets[first] <= saved_up_to) ++first;
  const bool any = first < request.num_blocks;
  const Unit first_unit = any ? static_cast<Unit>(first * config.heads) : kNoUnit;
  num_dirty_resident -= request.num_dirty_resident;
  request.num_dirty_resident = 0;
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    Group& group = state.groups[GroupOf(index, layer)];
    group.first_dirty = first_unit;
    request.num_dirty_resident += CountResident(group, first_unit);
  }
  num_dirty_resident += request.num_dirty_resident;
}

KvCache::KvCache(const KvCacheConfig& config)
    : KvCache(config, FindEvictionPolicy(config.eviction)) {}
KvCache::KvCache(const KvCacheConfig& config, const EvictionPolicyFactory& make_policy)
    : impl_(std::make_unique<Impl>(config, make_policy)) {}
KvCache::~KvCache() = default;

void KvCache::AddRequest(RequestIndex request) {
  Impl& c = *impl_;
  SPARSESERVE_CHECK(request >= 0, "negative request");
  if (static_cast<std::size_t>(request) >= c.requests.size()) {
    c.requests.resize(static_cast<std::size_t>(request) + 1);
    c.state.groups.resize(c.requests.size() * static_cast<std::size_t>(c.config.num_layers));
  }
  SPARSESERVE_CHECK(!c.requests[request].active, "the request exists");
  c.requests[request].active = true;
  for (std::int64_t layer = 0; layer < c.config.num_layers; ++layer) {
    c.state.groups[c.GroupOf(request, layer)].window.Reset(c.config.working_set_window);
  }
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kAddRequest, request});
}

void KvCache::RemoveRequest(RequestIndex request) {
  Impl& c = *impl_;
  Request& r = c.active(request);
  for (std::int64_t layer = 0; layer < c.config.num_layers; ++layer) {
    const GroupIndex index = c.GroupOf(request, layer);
    Group& group = c.state.groups[index];
    c.policy->OnEnd(index);
    ForEachSlot(group, [&](Slot slot) {
      c.slots.Return(slot);
      --c.state.num_resident;
    });
    if (group.in_use) std::erase(c.in_use, index);
    group = Group{};
  }
  for (const std::int32_t row : r.dram_rows) c.rows.Return(row);
  c.num_dirty_resident -= r.num_dirty_resident;
  r = Request{};
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kRemoveRequest, request});
}

bool KvCache::ReserveDram(RequestIndex request, std::int64_t num_blocks) {
  Impl& c = *impl_;
  std::vector<std::int32_t>& rows = c.active(request).dram_rows;
  const std::int64_t missing = num_blocks - static_cast<std::int64_t>(rows.size());
  if (missing > c.rows.num_free()) return false;
  for (std::int64_t i = 0; i < missing; ++i) rows.push_back(c.rows.Take());
  c.stats.dram_peak_blocks =
      std::max(c.stats.dram_peak_blocks, c.rows.capacity() - c.rows.num_free());
  return true;
}

bool KvCache::Reserve(std::int64_t num_slots, Reservation& space) {
  Impl& c = *impl_;
  if (!c.MakeRoom(num_slots)) return false;
  for (std::int64_t i = 0; i < num_slots; ++i) space.slots.push_back(c.slots.Take());
  c.num_reserved += num_slots;
  c.NotePeak();
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kReserve, -1, 0, num_slots});
  return true;
}

void KvCache::Release(Reservation& space, std::int64_t num_slots) {
  Impl& c = *impl_;
  SPARSESERVE_CHECK(num_slots <= space.size(), "more than was reserved");
  for (std::int64_t i = 0; i < num_slots; ++i) {
    c.slots.Return(space.slots.back());
    space.slots.pop_back();
  }
  c.num_reserved -= num_slots;
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kRelease, -1, 0, num_slots});
}

void KvCache::AdoptPrefill(RequestIndex request, std::int64_t num_blocks, Reservation& space,
                           std::int64_t dirty_from, SaveTicket ticket) {
  Impl& c = *impl_;
  Request& r = c.active(request);
  const std::int64_t num_slots = num_blocks * c.units_per_block();
  SPARSESERVE_CHECK(r.num_blocks == 0, "the prompt comes first");
  SPARSESERVE_CHECK(num_slots <= space.size(), "the prompt does not fit into its space");
  c.num_reserved -= num_slots;
  c.AddUnits(r, request, num_blocks, 0);
  for (std::int64_t block = std::max<std::int64_t>(dirty_from, 0); block < num_blocks; ++block) {
    r.tickets[block] = ticket;
  }
  const auto heads = static_cast<Unit>(c.config.heads);
  c.CreateResident(request, 0, static_cast<Unit>(num_blocks) * heads,
                   [&](std::int64_t layer, Unit unit) {
                     const std::int64_t row = unit / heads * c.config.num_layers + layer;
                     return space.slots[static_cast<std::size_t>(row * heads + unit % heads)];
                   });
  space.slots.erase(space.slots.begin(), space.slots.begin() + num_slots);
  c.UpdateDirty(request, r);
  if (c.recorder != nullptr) {
    c.recorder->Record({AccessKind::kAdoptPrefill, request, 0, num_blocks,
                        std::min(dirty_from, num_blocks), ticket});
  }
}

void KvCache::AddSavedUnits(RequestIndex request, std::int64_t num_blocks) {
  Impl& c = *impl_;
  Request& r = c.active(request);
  SPARSESERVE_CHECK(r.num_blocks == 0, "the prompt comes first");
  c.AddUnits(r, request, num_blocks, 0);
  c.UpdateDirty(request, r);
  if (c.recorder != nullptr) {
    c.recorder->Record({AccessKind::kAddSavedUnits, request, 0, num_blocks});
  }
}

bool KvCache::AppendBlock(RequestIndex request) {
  Impl& c = *impl_;
  Request& r = c.active(request);
  if (!c.MakeRoom(c.units_per_block())) return false;
  const Unit begin = static_cast<Unit>(r.num_blocks * c.config.heads);
  c.AddUnits(r, request, 1, kUnmarked);
  c.CreateResident(request, begin, begin + static_cast<Unit>(c.config.heads),
                   [&](std::int64_t, Unit) { return c.slots.Take(); });
  c.UpdateDirty(request, r);
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kAppendBlock, request});
  return true;
}

void KvCache::MarkTailDirty(RequestIndex request, SaveTicket ticket) {
  Impl& c = *impl_;
  Request& r = c.active(request);
  SPARSESERVE_CHECK(r.num_blocks > 0, "no block yet");
  r.tickets.back() = kUnmarked;
  std::int64_t block = r.num_blocks;
  while (block > 0 && r.tickets[block - 1] == kUnmarked) r.tickets[--block] = ticket;
  SPARSESERVE_CHECK(block == 0 || r.tickets[block - 1] <= ticket, "tickets fall");
  c.UpdateDirty(request, r);
  if (c.recorder != nullptr) {
    c.recorder->Record({AccessKind::kMarkTailDirty, request, 0, 0, 0, ticket});
  }
}

void KvCache::CompleteSaves(SaveTicket up_to) {
  Impl& c = *impl_;
  c.saved_up_to = std::max(c.saved_up_to, up_to);
  for (std::size_t i = 0; i < c.requests.size(); ++i) {
    Request& r = c.requests[i];
    if (r.active && r.first_dirty_block < r.num_blocks &&
        r.tickets[r.first_dirty_block] <= c.saved_up_to) {
      c.UpdateDirty(static_cast<RequestIndex>(i), r);
    }
  }
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kCompleteSaves, -1, 0, 0, 0, up_to});
}

std::int64_t KvCache::reserved_slots() const { return impl_->num_reserved; }
std::int64_t KvCache::resident_slots() const { return impl_->state.num_resident; }
std::int64_t KvCache::capacity_slots() const { return impl_->config.hbm_slots; }
std::int64_t KvCache::WorkingSet(RequestIndex request) const {
  return impl_->active(request).working_set;
}
std::int64_t KvCache::num_blocks(RequestIndex request) const {
  return impl_->active(request).num_blocks;
}
Slot KvCache::SlotOf(RequestIndex request, std::int64_t layer, Unit unit) const {
  const Group& group = impl_->state.groups[impl_->GroupOf(request, layer)];
  return group.resident(unit) ? group.slot_of[unit] : kNoSlot;
}
std::int32_t KvCache::DramRow(RequestIndex request, std::int64_t block) const {
  return impl_->active(request).dram_rows[block];
}
std::int64_t KvCache::free_dram_blocks() const { return impl_->rows.num_free(); }
const KvCacheStats& KvCache::stats() const { return impl_->stats; }

void KvCache::set_recorder(AccessRecorder* recorder) {
  const bool fresh = std::none_of(impl_->requests.begin(), impl_->requests.end(),
                                  [](const Request& r) { return r.active; });
  SPARSESERVE_CHECK(recorder == nullptr || (fresh && impl_->num_reserved == 0),
                    "recording starts with an empty cache");
  impl_->recorder = recorder;
  if (recorder != nullptr) recorder->Begin(impl_->config);
}

}  // namespace sparseserve::kvcache
