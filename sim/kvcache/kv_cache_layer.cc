// One layer of one step: what changes in the selection, and the loads that follow. The hot path.
#include <algorithm>

#include "sim/core/check.h"
#include "sim/kvcache/access_trace.h"
#include "sim/kvcache/kv_cache_impl.h"
#include "sim/kvcache/line_fetcher.h"

namespace sparseserve::kvcache {
namespace {

// Deselects `removed`. Counts stay in registers: the compiler cannot know that no word is one.
void RemoveUnits(Group& group, std::span<const Unit> removed, LineFetcher& ahead) {
  UnitBits* const all_bits = group.bits.data();
  const Unit num_units = group.num_units();
  std::uint64_t num_resident = 0;
  for (const Unit unit : removed) {
    ahead.FetchOne();
    SPARSESERVE_CHECK(unit < num_units && (all_bits[unit >> 6].selected & BitOf(unit)) != 0,
                      "removed: not selected");
    UnitBits& bits = all_bits[unit >> 6];
    bits.selected &= ~BitOf(unit);
    bits.left_running |= BitOf(unit);
    num_resident += bits.resident >> (unit & 63) & 1;
  }
  group.num_held -= static_cast<std::int64_t>(num_resident);
  group.window.Leave(removed);
}

// Selects `added`. Returns how many are new to the window.
std::int64_t AddUnits(Group& group, std::span<const Unit> added, LineFetcher& ahead) {
  UnitBits* const all_bits = group.bits.data();
  const Unit num_units = group.num_units();
  std::uint64_t num_resident = 0, num_known = 0;
  for (const Unit unit : added) {
    ahead.FetchOne();
    SPARSESERVE_CHECK(unit < num_units && (all_bits[unit >> 6].selected & BitOf(unit)) == 0,
                      "added: selected or absent");
    UnitBits& bits = all_bits[unit >> 6];
    bits.selected |= BitOf(unit);
    num_resident += bits.resident >> (unit & 63) & 1;
    num_known += (bits.left_running | bits.left_last) >> (unit & 63) & 1;
  }
  group.num_held += static_cast<std::int64_t>(num_resident);
  return static_cast<std::int64_t>(added.size() - num_known);
}

}  // namespace

void KvCache::BeginLayer() {
  Impl& c = *impl_;
  for (const GroupIndex index : c.in_use) c.state.groups[index].in_use = false;
  c.in_use.clear();
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kBeginLayer});
}

void KvCache::Select(RequestIndex request, std::int64_t layer, std::span<const Unit> added,
                     std::span<const Unit> removed) {
  Impl& c = *impl_;
  Request& r = c.active(request);
  SPARSESERVE_CHECK(layer >= 0 && layer < c.config.num_layers, "no such layer");
  const GroupIndex index = c.GroupOf(request, layer);
  Group& group = c.state.groups[index];
  SPARSESERVE_CHECK(!group.in_use, "selected twice since BeginLayer");
  group.in_use = true;
  c.in_use.push_back(index);

  if (c.last_selected >= 0) c.state.groups[c.last_selected].successor = index;
  c.last_selected = index;
  LineFetcher ahead(c.state.groups[std::max(group.successor, 0)].bits);
  RemoveUnits(group, removed, ahead);
  r.working_set += AddUnits(group, added, ahead);
  r.working_set -= group.window.EndStep(group.bits);

  const auto size = [](const auto& range) { return static_cast<std::int64_t>(range.size()); };
  group.num_selected += size(added) - size(removed);
  c.stats.touches += group.num_selected;
  c.policy->OnSelect(index, added, removed);
  if (c.recorder != nullptr) {
    c.recorder->RecordSelect(request, static_cast<std::int32_t>(layer), added, removed);
  }
}

void KvCache::Impl::LoadGroup(GroupIndex index, std::int64_t limit, std::vector<Load>* loads) {
  Group& group = state.groups[index];
  const auto request = static_cast<RequestIndex>(index / config.num_layers);
  const auto layer = static_cast<std::int32_t>(index % config.num_layers);
  placed.clear();
  ScanUnits(group, 0, group.num_units(), kMissingWord, [&](Unit unit) {
    placed.push_back(unit);
    __builtin_prefetch(&group.slot_of[unit], 1, 2);  // while bits are looked at
    return --limit > 0;
  });
  UnitBits* const all_bits = group.bits.data();  // the compiler cannot know that no store moves it
  Slot* const slot_of = group.slot_of.data();
  const Unit first_dirty = group.first_dirty;
  std::int64_t num_dirty = 0, num_reloads = 0;
  for (const Unit unit : placed) {
    const Slot slot = slots.Take();
    all_bits[unit >> 6].resident |= BitOf(unit);
    num_reloads += slot_of[unit] != kNoSlot;
    slot_of[unit] = slot;
    num_dirty += unit >= first_dirty;
    if (loads != nullptr) loads->push_back({request, layer, unit, slot});
  }
  const auto num_loaded = static_cast<std::int64_t>(placed.size());
  stats.reloads += num_reloads;
  group.num_held += num_loaded;
  state.num_resident += num_loaded;
  requests[request].num_dirty_resident += num_dirty;
  num_dirty_resident += num_dirty;
  policy->OnLoad(index, placed);
}

bool KvCache::LoadMisses(std::int64_t& num_loads, std::vector<Load>* loads) {
  Impl& c = *impl_;
  std::int64_t num_missing = 0;
  for (const GroupIndex index : c.in_use) {
    num_missing += c.state.groups[index].num_selected - c.state.groups[index].num_held;
  }
  std::int64_t todo = num_missing;
  if (const std::int64_t needed = num_missing - c.slots.num_free(); needed > 0) {
    const std::int64_t evicted = std::min(needed, c.CountEvictable());
    c.Evict(evicted);
    todo -= needed - evicted;
  }
  num_loads += todo;
  c.stats.loads += todo;
  const bool complete = todo == num_missing;
  for (const GroupIndex index : c.in_use) {
    const Group& group = c.state.groups[index];
    const std::int64_t share = std::min(todo, group.num_selected - group.num_held);
    if (share == 0) continue;
    c.LoadGroup(index, share, loads);
    todo -= share;
  }
  c.NotePeak();
  if (c.recorder != nullptr) c.recorder->Record({AccessKind::kLoadMisses, -1, 0, complete});
  return complete;
}

}  // namespace sparseserve::kvcache
