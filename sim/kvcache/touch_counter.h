// How often a resident unit was touched since it was last looked at, up to a small limit, without a
// call per touch.
//
// Plain: every touch adds one to a saturating counter. Lazy: while a unit is selected, its touches
// are the uses of its group since a stamp; when it leaves they are written down. Saturating sums of
// ones may be grouped at will, so both forms agree whenever a policy looks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/kvcache/cache_state.h"

namespace sparseserve::kvcache {

class TouchCounter {
 public:
  TouchCounter(const CacheState& state, std::uint32_t limit)
      : state_(state), limit_(limit), records_(static_cast<std::size_t>(state.num_slots)) {}

  // The group's use that has just been counted in the state touched `added`, and not `removed`.
  void OnSelect(GroupIndex index, std::span<const Unit> added, std::span<const Unit> removed) {
    const Group& group = state_.groups[index];
    const std::uint32_t now = group.num_uses;
    for (std::size_t i = 0; i < added.size(); ++i) {
      Prefetch(group, added, i);
      const Unit unit = added[i];
      if (!group.resident(unit)) continue;
      Record& record = records_[group.slot_of[unit]];
      record = {Saturate(record.count + 1), now};
    }
    for (std::size_t i = 0; i < removed.size(); ++i) {
      Prefetch(group, removed, i);
      const Unit unit = removed[i];
      if (!group.resident(unit)) continue;
      Record& record = records_[group.slot_of[unit]];
      record.count = Saturate(std::uint64_t{record.count} + (now - 1 - record.stamp));
    }
  }
  std::uint32_t Get(UnitId id) const {
    const Group& group = state_.groups[id.group];
    const Record record = records_[group.slot_of[id.unit]];
    if (!group.selected(id.unit)) return record.count;
    return Saturate(std::uint64_t{record.count} + (group.num_uses - record.stamp));
  }
  void Set(UnitId id, std::uint32_t count) {
    const Group& group = state_.groups[id.group];
    records_[group.slot_of[id.unit]] = {count, group.num_uses};
  }

 private:
  static constexpr std::size_t kFar = 48;
  static constexpr std::size_t kNear = 12;
  struct Record {
    std::uint32_t count = 0;
    std::uint32_t stamp = 0;  // num_uses of the group at which `count` was right, while selected
  };
  // Fetches the slot of a unit well ahead, and the record in it a little ahead of its use.
  void Prefetch(const Group& group, std::span<const Unit> units, std::size_t i) const {
    if (i + kFar < units.size()) __builtin_prefetch(&group.slot_of[units[i + kFar]]);
    if (i + kNear >= units.size()) return;
    const Unit unit = units[i + kNear];
    if (group.resident(unit)) __builtin_prefetch(&records_[group.slot_of[unit]], 1);
  }
  std::uint32_t Saturate(std::uint64_t count) const {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(count, limit_));
  }

  const CacheState& state_;
  const std::uint32_t limit_;
  std::vector<Record> records_;  // per slot
};

}  // namespace sparseserve::kvcache
