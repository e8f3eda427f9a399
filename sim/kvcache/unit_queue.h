// Resident units in the order of their coming, for policies whose hand looks at one after the
// other.
//
// One ring, from the oldest to the youngest, so that what the hand needs can be fetched well ahead
// of it; a linked list tells only the next, and each look would wait for memory. A unit that leaves
// from within leaves a gap. When a request ends its units are not searched: a group's entries carry
// the life of the group in which they entered, and those of an earlier life are gaps.
//
// Cost: O(1) amortised: gaps are closed when the array is full, and then a fifth of it is gaps.
// Memory: 16 bytes for the slots and a quarter more, rounded up to a power of two.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/kvcache/cache_state.h"

namespace sparseserve::kvcache {

struct QueuedUnit {
  UnitId id;               // a gap when the group is -1
  Slot slot = kNoSlot;     // where it is: what leaves is not looked up
  std::uint32_t life = 0;  // of the group
};

// How often each group has ended.
class GroupLives {
 public:
  void End(GroupIndex group) {
    Grow(group);
    ++lives_[group];
  }
  std::uint32_t Of(GroupIndex group) {
    Grow(group);
    return lives_[group];
  }
  bool IsGap(const QueuedUnit& entry) const {
    return entry.id.group < 0 || lives_[entry.id.group] != entry.life;
  }

 private:
  void Grow(GroupIndex group) {
    if (static_cast<std::size_t>(group) >= lives_.size()) lives_.resize(group + 1, 0);
  }
  std::vector<std::uint32_t> lives_;
};

class UnitQueue {
 public:
  using Position = std::uint64_t;  // grows from the oldest to the youngest

  UnitQueue(const GroupLives& lives, std::int64_t num_slots)
      : lives_(lives),
        entries_(std::bit_ceil(static_cast<std::size_t>(num_slots) * 5 / 4 + 64)),
        mask_(entries_.size() - 1) {}

  QueuedUnit& operator[](Position at) { return entries_[at & mask_]; }
  const QueuedUnit& operator[](Position at) const { return entries_[at & mask_]; }

  // The next to look at: entries before it are older. Closing gaps moves it with its entry.
  Position hand() const { return hand_; }
  bool AtEnd() const { return hand_ == end_; }
  void PassBy() { ++hand_; }
  void StartOver() { hand_ = front_; }

  void PushBack(const QueuedUnit& entry) {
    if (end_ - front_ == entries_.size()) CloseGaps();
    (*this)[end_++] = entry;
  }
  // Takes out the entry under the hand; the hand is at the next.
  void TakeOut() {
    (*this)[hand_].id.group = -1;
    front_ += front_ == hand_;
    ++hand_;
  }
  // As TakeOut, until Return puts all that was laid aside back, in order, right before the hand,
  // and moves the hand to the first of it. REQUIRES of Return: nothing else is before the hand.
  void LayAside() {
    aside_.push_back((*this)[hand_]);
    TakeOut();
  }
  void Return() {
    if (end_ - hand_ + aside_.size() > entries_.size()) CloseGaps();
    for (; !aside_.empty(); aside_.pop_back()) (*this)[--hand_] = aside_.back();
    front_ = hand_;
  }

  // Counts the units, for audits.
  std::int64_t CountUnits() const {
    std::int64_t count = 0;
    for (Position at = front_; at != end_; ++at) count += !lives_.IsGap((*this)[at]);
    return count;
  }

 private:
  void CloseGaps() {
    Position end = front_, hand = front_;
    for (Position at = front_; at != end_; ++at) {
      if (at == hand_) hand = end;
      const QueuedUnit entry = (*this)[at];
      (*this)[end] = entry;
      end += !lives_.IsGap(entry);
    }
    hand_ = hand_ == end_ ? end : hand;
    end_ = end;
  }

  const GroupLives& lives_;
  std::vector<QueuedUnit> entries_;  // a ring
  const Position mask_;
  Position front_ = 0, hand_ = 0, end_ = 0;  // all entries are in [front_, end_)
  std::vector<QueuedUnit> aside_;
};

}  // namespace sparseserve::kvcache
