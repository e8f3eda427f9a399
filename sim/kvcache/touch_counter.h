// How often a resident unit was touched since its policy last set the count, up to three.
//
// A use of a group touches each of its selected units. Counts have two bits, and those of 64 units
// lie side by side, so that a use adds one to all that are selected and resident 64 at a time.
// Cost: 1/64 per unit of the group that is used. Memory: two bits per unit.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/kvcache/cache_state.h"

namespace sparseserve::kvcache {

class TouchCounter {
  struct Counts {
    std::uint64_t ones = 0, twos = 0;  // the bits of 64 counts
  };

 public:
  static constexpr std::uint32_t kMax = 3;  // where counts saturate

  explicit TouchCounter(const CacheState& state) : state_(state) {}

  // The group was used.
  void OnSelect(GroupIndex index) {
    Resize(index);
    const std::vector<UnitBits>& bits = state_.groups[index].bits;
    std::vector<Counts>& counts = counts_[index];
    for (std::size_t i = 0; i < bits.size(); ++i) {
      const std::uint64_t touched = bits[i].selected & bits[i].resident;
      const Counts old = counts[i];
      counts[i].ones = (old.ones ^ touched) | (old.ones & old.twos);
      counts[i].twos = old.twos | (old.ones & touched);
    }
  }
  // Makes room for the counts of all units of the group. Called before Set of new ones.
  void Resize(GroupIndex index) {
    if (static_cast<std::size_t>(index) >= counts_.size()) counts_.resize(index + 1);
    counts_[index].resize(state_.groups[index].bits.size());
  }
  void End(GroupIndex index) {
    if (static_cast<std::size_t>(index) < counts_.size()) counts_[index] = {};
  }

  // The counts of one group, for who looks at many: valid until the next Resize or End.
  class Row {
   public:
    // REQUIRES: the unit is resident and its count was set when it became so.
    std::uint32_t Get(Unit unit) const {
      const Counts& counts = counts_[unit >> 6];
      const std::uint32_t shift = unit & 63;
      const std::uint64_t count = (counts.ones >> shift & 1) | (counts.twos >> shift & 1) << 1;
      return static_cast<std::uint32_t>(count);
    }
    void Set(Unit unit, std::uint32_t count) {
      Counts& counts = counts_[unit >> 6];
      const std::uint32_t shift = unit & 63;
      const std::uint64_t bit = std::uint64_t{1} << shift;
      counts.ones = (counts.ones & ~bit) | std::uint64_t{count & 1} << shift;
      counts.twos = (counts.twos & ~bit) | std::uint64_t{count >> 1} << shift;
    }

   private:
    friend class TouchCounter;
    explicit Row(Counts* counts) : counts_(counts) {}
    Counts* counts_;
  };
  Row Of(GroupIndex group) { return Row(counts_[group].data()); }
  // Fetches what Get and Set need, unless the unit has ceased to exist.
  void Prefetch(UnitId id) const {
    const std::vector<Counts>& counts = counts_[id.group];
    if (id.unit >> 6 < counts.size()) __builtin_prefetch(&counts[id.unit >> 6], 1);
  }

 private:
  const CacheState& state_;
  std::vector<std::vector<Counts>> counts_;  // per group and 64 units
};

}  // namespace sparseserve::kvcache
