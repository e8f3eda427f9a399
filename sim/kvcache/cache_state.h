// What the cache and its eviction policy both look at: which units exist, which are selected, which
// are resident and where. The cache alone writes it.
//
// Per unit: one int32 (slot) and four bits. Everything is an array indexed by a dense integer. The
// bits of 64 units stand together (unit_bits.h), so "selected and not resident" (the misses of a
// group) and "selected and resident" (what it holds) are found 64 units at a time.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "sim/kvcache/types.h"
#include "sim/kvcache/unit_bits.h"
#include "sim/kvcache/window_union.h"

namespace sparseserve::kvcache {

struct Group {
  std::vector<UnitBits> bits;  // of 64 units each
  std::vector<Slot> slot_of;   // per unit: where it is, or was before its eviction; else kNoSlot
  Unit first_dirty = kNoUnit;  // units from here on are not saved and may not be evicted
  bool in_use = false;         // selected since BeginLayer: its selected units may not be evicted
  GroupIndex successor = -1;   // the group used after this one the last time: a guess
  std::int64_t num_selected = 0;
  std::int64_t num_held = 0;  // selected and resident
  WindowUnion window;         // units selected in the last steps

  Unit num_units() const { return static_cast<Unit>(slot_of.size()); }
  bool selected(Unit unit) const { return bits[unit >> 6].selected >> (unit & 63) & 1; }
  // Whether it was selected within the window.
  bool in_window(Unit unit) const {
    const UnitBits& b = bits[unit >> 6];
    return (b.selected | b.left_running | b.left_last) >> (unit & 63) & 1;
  }
  bool resident(Unit unit) const { return bits[unit >> 6].resident >> (unit & 63) & 1; }
};

struct UnitId {
  GroupIndex group = -1;
  Unit unit = 0;
};

// What a policy evicts.
struct Victim {
  GroupIndex group = -1;
  Unit unit = 0;
  Slot slot = kNoSlot;  // where it is, if the policy knows: else the cache waits for memory to tell
};

struct CacheState {
  std::vector<Group> groups;
  std::int64_t num_slots = 0;  // of HBM
  std::int64_t num_resident = 0;

  // Not saved yet, or in use by the running layer: may not be evicted.
  bool pinned(UnitId id) const {
    const Group& group = groups[id.group];
    return id.unit >= group.first_dirty || (group.in_use && group.selected(id.unit));
  }
};

// Calls visit(unit) for every unit of [begin, end) whose bit is set in word(bits), in unit order,
// until visit returns false. Returns the unit after the last one visited, or end.
template <typename Word, typename Visit>
Unit ScanUnits(const Group& group, Unit begin, Unit end, Word word, Visit visit) {
  if (end > group.num_units()) end = group.num_units();
  for (Unit base = begin & ~Unit{63}; base < end; base += 64) {
    std::uint64_t set = word(group.bits[base >> 6]);
    if (base < begin) set &= ~std::uint64_t{0} << (begin - base);
    if (end - base < 64) set &= (std::uint64_t{1} << (end - base)) - 1;
    for (; set != 0; set &= set - 1) {
      const Unit unit = base + static_cast<Unit>(std::countr_zero(set));
      if (!visit(unit)) return unit + 1;
    }
  }
  return begin > end ? begin : end;
}

// Number of resident units from `begin` on.
inline std::int64_t CountResident(const Group& group, Unit begin) {
  std::int64_t count = 0;
  for (std::size_t word = begin >> 6; word < group.bits.size(); ++word) {
    std::uint64_t set = group.bits[word].resident;
    if (word == begin >> 6) set &= ~std::uint64_t{0} << (begin & 63);
    count += std::popcount(set);
  }
  return count;
}

constexpr auto kHeldWord = [](const UnitBits& b) { return b.selected & b.resident; };
constexpr auto kMissingWord = [](const UnitBits& b) { return b.selected & ~b.resident; };
constexpr auto kResidentWord = [](const UnitBits& b) { return b.resident; };

// Calls visit(slot) for every resident unit of the group, in unit order.
template <typename Visit>
void ForEachSlot(const Group& group, Visit visit) {
  ScanUnits(group, 0, group.num_units(), kResidentWord,
            [&](Unit unit) { return visit(group.slot_of[unit]), true; });
}

}  // namespace sparseserve::kvcache
