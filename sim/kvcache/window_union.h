// The size of the union of the sets that one group selected in its last `window` steps, exact, at a
// cost that follows the changes of the set.
//
// A unit is in the union when it is selected now or left within the window, and only its last
// departure counts. Steps are taken in periods of `window`. Departures of the running period are
// appended as they come; at its end they become those of the last period, of which each later step
// lets one step expire. Two bits per unit say whether it has a departure in either period: so that,
// going backwards at the end of a period, a unit's last departure is told from the earlier ones,
// which are dropped, as are those of units that are selected again. These bits stand beside the bit
// of the selection, which each look needs too.
//
// Cost: O(1) per departure. Memory: the departures of two windows at most, two bits per unit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/kvcache/types.h"
#include "sim/kvcache/unit_bits.h"

namespace sparseserve::kvcache {

// The bits of the group's units are the caller's, the same in every call.
class WindowUnion {
 public:
  static constexpr std::int64_t kMaxWindow = 255;  // steps; bounds what is remembered

  // Forgets everything. REQUIRES: 1 <= window <= kMaxWindow, and no unit has a departure.
  void Reset(std::int64_t window) {
    running_.clear();
    last_.clear();
    next_ = 0;
    running_end_.assign(static_cast<std::size_t>(window), 0);
    last_end_.assign(static_cast<std::size_t>(window), 0);
    step_ = 0;
  }

  // The units that leave in this step. REQUIRES: the caller has set their left_running.
  void Leave(std::span<const Unit> units) {
    running_.insert(running_.end(), units.begin(), units.end());
  }
  // Closes the step: returns how many units fall out of the union.
  std::int64_t EndStep(std::vector<UnitBits>& unit_bits) {
    running_end_[step_] = running_.size();
    if (++step_ == running_end_.size()) EndPeriod(unit_bits);
    const std::size_t end = last_end_[step_];
    UnitBits* const all_bits = unit_bits.data();
    std::uint64_t num_expired = 0;
    for (std::size_t i = next_; i < end; ++i) {
      const Unit unit = last_[i];
      UnitBits& bits = all_bits[unit >> 6];
      bits.left_last &= ~BitOf(unit);
      num_expired += ~(bits.left_running | bits.selected) >> (unit & 63) & 1;
    }
    next_ = end;
    return static_cast<std::int64_t>(num_expired);
  }

  // Recounts everything, for audits. O(units).
  bool Consistent(const std::vector<UnitBits>& unit_bits) const {
    std::vector<UnitBits> bits = unit_bits;
    for (UnitBits& word : bits) word.left_running = word.left_last = 0;
    for (const Unit unit : running_) bits[unit >> 6].left_running |= BitOf(unit);
    for (std::size_t i = next_; i < last_.size(); ++i) {
      const Unit unit = last_[i];
      if (bits[unit >> 6].left_last & BitOf(unit)) return false;  // twice
      bits[unit >> 6].left_last |= BitOf(unit);
    }
    return bits == unit_bits;
  }

 private:
  void EndPeriod(std::vector<UnitBits>& unit_bits) {
    // Backwards and in place: what is kept moves to the end, the step that expires first in front.
    UnitBits* const all_bits = unit_bits.data();
    Unit* const begin = running_.data();
    std::size_t i = running_.size();
    std::size_t out = i;  // what is kept begins behind begin[out - 1]
    while (step_-- > 0) {
      last_end_[step_] = out;
      for (const std::size_t first = step_ == 0 ? 0 : running_end_[step_ - 1]; i > first;) {
        const Unit unit = begin[--i];
        UnitBits& bits = all_bits[unit >> 6];
        const std::uint64_t kept = bits.left_running & ~bits.selected & BitOf(unit);
        bits.left_running &= ~BitOf(unit);
        bits.left_last |= kept;
        begin[out - 1] = unit;  // without a branch: which departures are kept is hard to predict
        out -= kept != 0;
      }
    }
    running_.swap(last_);
    running_.clear();
    next_ = out;
    step_ = 0;
  }

  std::vector<Unit> running_;  // departures of the running period, as they came
  std::vector<Unit> last_;     // of the last period; what has not expired is from next_ on
  std::size_t next_ = 0;       // to expire
  std::vector<std::size_t> running_end_;  // per step of the period: where its departures end
  std::vector<std::size_t> last_end_;     // the same of the last period
  std::size_t step_ = 0;                  // of the period
};

}  // namespace sparseserve::kvcache
