// The size of the union of the sets that one group selected in its last `window` steps, exact, at a
// cost that follows the changes of the set.
//
// A unit is in the union when it is selected now or left within the window. Departures stand in a
// queue in step order; per unit a byte counts its entries there. A departure that falls out of the
// window takes its unit along when it was the last entry and the unit is not selected.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/kvcache/types.h"

namespace sparseserve::kvcache {

class WindowUnion {
 public:
  static constexpr std::int64_t kMaxWindow = 255;  // a unit leaves at most once a step: one byte

  // Forgets everything. REQUIRES: 1 <= window <= kMaxWindow.
  void Reset(std::int64_t window) {
    left_.clear();
    left_in_step_.assign(static_cast<std::size_t>(window), 0);
    step_ = head_ = tail_ = 0;
  }
  void Resize(std::int64_t num_units) { left_.resize(static_cast<std::size_t>(num_units), 0); }

  // Opens a step in which `num_leaving` units leave, and makes room for them.
  void BeginStep(std::size_t num_leaving) {
    if (++step_ == left_in_step_.size()) step_ = 0;
    left_in_step_[step_] = static_cast<std::uint32_t>(num_leaving);
    if (tail_ - head_ + num_leaving > queue_.size()) GrowQueue(tail_ - head_ + num_leaving);
  }
  void Leave(Unit unit) {
    ++left_[unit];
    queue_[tail_++ & (queue_.size() - 1)] = unit;
  }
  // True when the unit was outside the union. REQUIRES: it is not selected.
  bool IsNew(Unit unit) const { return left_[unit] == 0; }
  void Prefetch(Unit unit) const { __builtin_prefetch(&left_[unit], 1); }

  // Closes the step: returns how many units fall out of the union.
  template <typename IsSelected>
  std::int64_t EndStep(IsSelected is_selected) {
    const std::size_t oldest = step_ + 1 == left_in_step_.size() ? 0 : step_ + 1;
    const std::size_t mask = queue_.size() - 1;
    const std::size_t end = head_ + left_in_step_[oldest];
    std::int64_t num_expired = 0;
    for (; head_ != end; ++head_) {
      if (head_ + kAhead < end) Prefetch(queue_[(head_ + kAhead) & mask]);
      const Unit unit = queue_[head_ & mask];
      num_expired += --left_[unit] == 0 && !is_selected(unit);
    }
    left_in_step_[oldest] = 0;
    return num_expired;
  }

  // Recounts everything, for audits. O(units).
  bool Consistent() const {
    std::vector<std::uint8_t> left(left_.size(), 0);
    for (std::size_t i = head_; i != tail_; ++i) ++left[queue_[i & (queue_.size() - 1)]];
    std::size_t num_left = 0;
    for (const std::uint32_t in_step : left_in_step_) num_left += in_step;
    return left == left_ && num_left == tail_ - head_;
  }

 private:
  static constexpr std::size_t kAhead = 16;

  void GrowQueue(std::size_t needed) {
    std::size_t size = queue_.empty() ? 16 : queue_.size();
    while (size < needed) size *= 2;
    std::vector<Unit> grown(size);
    for (std::size_t i = head_; i != tail_; ++i) {
      grown[i - head_] = queue_[i & (queue_.size() - 1)];
    }
    tail_ -= head_;
    head_ = 0;
    queue_.swap(grown);
  }

  std::vector<std::uint8_t> left_;           // per unit: its entries in the queue
  std::vector<std::uint32_t> left_in_step_;  // ring over the window: entries of each step
  std::vector<Unit> queue_;                  // circular, its size a power of two
  std::size_t step_ = 0, head_ = 0, tail_ = 0;
};

}  // namespace sparseserve::kvcache
