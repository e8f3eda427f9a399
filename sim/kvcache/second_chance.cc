// CLOCK (Corbato, "A Paging Experiment with the Multics System", 1968) and SIEVE (Zhang et al.,
// "SIEVE is Simpler than LRU", NSDI '24). Both move a hand over a queue from old to new, spare and
// unmark the units touched since the hand last came by, and evict the first that was not. They
// differ in where a new unit goes: CLOCK puts it right behind the hand, where the hand comes last;
// SIEVE puts it at the young end, so that the hand sifts the old ones while new ones queue behind.
//
// The reference bit is a TouchCounter's count that is not zero. A unit that is loaded starts
// unmarked: the touch that caused the load is not a second use. The hand passes over pinned units
// without clearing. Amortised O(1) per touch that marks (the hand clears at most what was marked)
// and per eviction.
//
// In an array (unit_queue.h) CLOCK's ring starts at the hand: what is spared or passed by goes from
// the front to the back. SIEVE's hand moves, and what it passes by stays.
#include "sim/core/check.h"
#include "sim/kvcache/policies.h"
#include "sim/kvcache/touch_counter.h"
#include "sim/kvcache/unit_queue.h"

namespace sparseserve::kvcache {
namespace {

enum class NewUnits : std::uint8_t { kBehindHand, kAtYoungEnd };

class SecondChance final : public EvictionPolicy {
 public:
  SecondChance(const CacheState& state, NewUnits new_units)
      : state_(state),
        is_ring_(new_units == NewUnits::kBehindHand),
        queue_(lives_, state.num_slots),
        touched_(state) {}

  void OnSelect(GroupIndex group, std::span<const Unit>, std::span<const Unit>) override {
    touched_.OnSelect(group);
  }
  void OnLoad(GroupIndex group, std::span<const Unit> units) override {
    touched_.Resize(group);
    const std::uint32_t life = lives_.Of(group);
    const std::vector<Slot>& slot_of = state_.groups[group].slot_of;
    TouchCounter::Row touched = touched_.Of(group);
    for (const Unit unit : units) {
      queue_.PushBack({{group, unit}, slot_of[unit], life});
      touched.Set(unit, 0);
    }
  }
  void OnCreate(GroupIndex group, std::span<const Unit> units) override { OnLoad(group, units); }
  void OnEnd(GroupIndex group) override {
    lives_.End(group);
    touched_.End(group);
    LeaveGaps();
  }

  void Evict(std::int64_t count, std::vector<Victim>& victims) override {
    SPARSESERVE_CHECK(count <= state_.num_resident, "too little is evictable");
    while (count > 0) {
      if (queue_.AtEnd()) queue_.StartOver();
      if (const UnitId ahead = queue_[queue_.hand() + kAhead].id; ahead.group >= 0) {
        touched_.Prefetch(ahead);
      }
      const QueuedUnit entry = queue_[queue_.hand()];
      if (lives_.IsGap(entry)) {
        queue_.TakeOut();
        continue;
      }
      if (!state_.pinned(entry.id)) {
        TouchCounter::Row touched = touched_.Of(entry.id.group);
        if (touched.Get(entry.id.unit) == 0) {
          queue_.TakeOut();
          victims.push_back({entry.id.group, entry.id.unit, entry.slot});
          --count;
          continue;
        }
        touched.Set(entry.id.unit, 0);
      }
      if (is_ring_) {
        queue_.TakeOut();
        queue_.PushBack(entry);
      } else {
        queue_.PassBy();
      }
    }
    LeaveGaps();
  }

  void Audit() const override {
    SPARSESERVE_CHECK(queue_.CountUnits() == state_.num_resident, "a unit is not in the queue");
  }

 private:
  static constexpr std::size_t kAhead = 24;  // entries between a fetch and the look at what it got

  // At the end of the queue the hand is where it starts over: what comes now lies behind it.
  void LeaveGaps() {
    while (!queue_.AtEnd() && lives_.IsGap(queue_[queue_.hand()])) {
      queue_.TakeOut();
    }
    if (queue_.AtEnd() && !is_ring_) queue_.StartOver();
  }

  const CacheState& state_;
  const bool is_ring_;
  GroupLives lives_;
  UnitQueue queue_;  // the next to look at is under its hand
  TouchCounter touched_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeClock(const CacheState& state) {
  return std::make_unique<SecondChance>(state, NewUnits::kBehindHand);
}

std::unique_ptr<EvictionPolicy> MakeSieve(const CacheState& state) {
  return std::make_unique<SecondChance>(state, NewUnits::kAtYoungEnd);
}

}  // namespace sparseserve::kvcache
