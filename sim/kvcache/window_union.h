// The size of the union of the sets that one group selected in its last `window` steps, exact, at a
// cost that follows the changes of the set.
//
// A unit is in the union when it is selected now or left within the window, and only its last
// departure counts. Steps are taken in periods of `window`. Departures of the running period are
// appended as they come; at its end they become those of the last period, of which each later step
// lets one step expire. Two bits per unit say whether it has a departure in either period: so that,
// going backwards at the end of a period, a unit's last departure is told from the earlier ones,
// which are dropped, as are those of units that are selected again.
//
// Cost: O(1) per departure. Memory: the departures of two windows at most, two bits per unit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/kvcache/types.h"

namespace sparseserve::kvcache {

class WindowUnion {
 public:
  static constexpr std::int64_t kMaxWindow = 255;  // steps; bounds what is remembered

  // Forgets everything. REQUIRES: 1 <= window <= kMaxWindow.
  void Reset(std::int64_t window) {
    bits_.clear();
    running_.clear();
    last_.clear();
    running_end_.assign(static_cast<std::size_t>(window), 0);
    last_begin_.assign(static_cast<std::size_t>(window), 0);
    step_ = 0;
  }
  void Resize(std::int64_t num_units) {
    bits_.resize((static_cast<std::size_t>(num_units) + 63) / 64);
  }

  // True when the unit is outside the union. REQUIRES: it is not selected.
  bool IsNew(Unit unit) const {
    const Bits& bits = bits_[unit >> 6];
    return !((bits.running | bits.last) >> (unit & 63) & 1);
  }
  // The units that leave in this step.
  void Leave(std::span<const Unit> units) {
    running_.insert(running_.end(), units.begin(), units.end());
    for (const Unit unit : units) bits_[unit >> 6].running |= Bit(unit);
  }
  // Closes the step: returns how many units fall out of the union.
  template <typename IsSelected>
  std::int64_t EndStep(IsSelected is_selected) {
    running_end_[step_] = running_.size();
    if (++step_ == running_end_.size()) EndPeriod(is_selected);
    std::int64_t num_expired = 0;
    for (; last_.size() > last_begin_[step_]; last_.pop_back()) {
      const Unit unit = last_.back();
      Bits& bits = bits_[unit >> 6];
      bits.last &= ~Bit(unit);
      num_expired += (bits.running & Bit(unit)) == 0 && !is_selected(unit);
    }
    return num_expired;
  }

  // Recounts everything, for audits. O(units).
  bool Consistent() const {
    std::vector<Bits> bits(bits_.size());
    for (const Unit unit : running_) bits[unit >> 6].running |= Bit(unit);
    for (const Unit unit : last_) {
      if (bits[unit >> 6].last & Bit(unit)) return false;  // twice
      bits[unit >> 6].last |= Bit(unit);
    }
    return bits == bits_;
  }

 private:
  struct Bits {
    std::uint64_t running = 0, last = 0;  // has a departure in this period
    bool operator==(const Bits&) const = default;
  };
  static std::uint64_t Bit(Unit unit) { return std::uint64_t{1} << (unit & 63); }

  template <typename IsSelected>
  void EndPeriod(IsSelected is_selected) {
    // Backwards, so that the step that expires first stands at the end.
    last_.resize(running_.size());
    Unit* const begin = last_.data();
    Unit* out = begin;
    for (std::size_t i = running_.size(); step_-- > 0;) {
      last_begin_[step_] = static_cast<std::size_t>(out - begin);
      for (const std::size_t first = step_ == 0 ? 0 : running_end_[step_ - 1]; i > first;) {
        const Unit unit = running_[--i];
        Bits& bits = bits_[unit >> 6];
        const std::uint64_t kept = is_selected(unit) ? 0 : bits.running & Bit(unit);
        bits.running &= ~Bit(unit);
        bits.last |= kept;
        *out = unit;  // without a branch: which departures are kept is hard to predict
        out += kept != 0;
      }
    }
    last_.resize(static_cast<std::size_t>(out - begin));
    step_ = 0;
    running_.clear();
  }

  std::vector<Bits> bits_;                // of 64 units each
  std::vector<Unit> running_;             // departures of the running period, as they came
  std::vector<Unit> last_;                // what has not expired of the last period, backwards
  std::vector<std::size_t> running_end_;  // per step of the period: where its departures end
  std::vector<std::size_t> last_begin_;   // per step of the period: where its departures begin
  std::size_t step_ = 0;                  // of the period
};

}  // namespace sparseserve::kvcache
