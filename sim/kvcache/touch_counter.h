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
      : state_(state), limit_(limit), records_(state.owners.size()) {}

  // The group's use that has just been counted in the state touched `joined`, and not `left`.
  void OnSelect(GroupIndex group, std::span<const Slot> joined, std::span<const Slot> left) {
    const std::uint32_t now = state_.groups[group].num_uses;
    for (const Slot slot : joined) records_[slot] = {Saturate(records_[slot].count + 1), now};
    for (const Slot slot : left) {
      Record& record = records_[slot];
      record.count = Saturate(std::uint64_t{record.count} + (now - 1 - record.stamp));
    }
  }
  std::uint32_t Get(Slot slot) const {
    const SlotOwner owner = state_.owners[slot];
    const Group& group = state_.groups[owner.group];
    const Record record = records_[slot];
    if (!group.selected(owner.unit)) return record.count;
    return Saturate(std::uint64_t{record.count} + (group.num_uses - record.stamp));
  }
  void Set(Slot slot, std::uint32_t count) {
    records_[slot] = {count, state_.group_of(slot).num_uses};
  }

 private:
  struct Record {
    std::uint32_t count = 0;
    std::uint32_t stamp = 0;  // num_uses of the group at which `count` was right, while selected
  };
  std::uint32_t Saturate(std::uint64_t count) const {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(count, limit_));
  }

  const CacheState& state_;
  const std::uint32_t limit_;
  std::vector<Record> records_;  // per slot
};

}  // namespace sparseserve::kvcache
