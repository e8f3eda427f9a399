// CLOCK (Corbato, "A Paging Experiment with the Multics System", 1968) and SIEVE (Zhang et al.,
// "SIEVE is Simpler than LRU", NSDI '24). Both move a hand over a queue from old to new, spare and
// unmark the units touched since the hand last came by, and evict the first that was not. They
// differ in where a new unit goes: CLOCK puts it right behind the hand, where the hand comes last;
// SIEVE puts it at the young end, so that the hand sifts the old ones while new ones queue behind.
//
// The reference bit is a TouchCounter with limit 1: a unit that stays selected has its bit set when
// its group was used since the hand cleared it. A unit that is loaded starts unmarked: the touch
// that caused the load is not a second use. The hand passes over pinned units without clearing.
// Amortised O(1) per touch that marks (the hand clears at most what was marked) and per eviction.
#include "sim/core/check.h"
#include "sim/kvcache/node_ring.h"
#include "sim/kvcache/policies.h"
#include "sim/kvcache/touch_counter.h"

namespace sparseserve::kvcache {
namespace {

enum class NewUnits : std::uint8_t { kBehindHand, kAtYoungEnd };

class SecondChance final : public EvictionPolicy {
 public:
  SecondChance(const CacheState& state, NewUnits new_units)
      : state_(state),
        new_units_(new_units),
        sentinel_(static_cast<NodeRing::Node>(state.num_slots)),
        hand_(sentinel_),
        owners_(static_cast<std::size_t>(state.num_slots)),
        touched_(state, 1) {
    queue_.Resize(sentinel_ + 1);
    queue_.MakeSentinel(sentinel_);
  }

  void OnSelect(GroupIndex group, std::span<const Unit> added,
                std::span<const Unit> removed) override {
    touched_.OnSelect(group, added, removed);
  }
  void OnLoad(GroupIndex index, std::span<const Unit> units) override {
    const Group& group = state_.groups[index];
    for (const Unit unit : units) {
      const Slot slot = group.slot_of[unit];
      owners_[slot] = {index, unit};
      queue_.InsertBefore(slot, new_units_ == NewUnits::kBehindHand ? hand_ : sentinel_);
      touched_.Set(owners_[slot], 0);
    }
  }
  void OnCreate(GroupIndex group, std::span<const Unit> units) override { OnLoad(group, units); }
  void OnEnd(GroupIndex group) override {
    ForEachSlot(state_.groups[group], [&](Slot slot) { Remove(slot); });
  }

  void Evict(std::int64_t count, std::vector<UnitId>& victims) override {
    SPARSESERVE_CHECK(count <= state_.num_resident, "too little is evictable");
    while (count > 0) {
      const NodeRing::Node node = hand_;
      if (node == sentinel_ || state_.pinned(owners_[node])) {
        hand_ = queue_.next(node);
      } else if (touched_.Get(owners_[node]) > 0) {
        touched_.Set(owners_[node], 0);
        hand_ = queue_.next(node);
      } else {
        Remove(node);
        victims.push_back(owners_[node]);
        --count;
      }
    }
  }

 private:
  void Remove(NodeRing::Node node) {
    if (hand_ == node) hand_ = queue_.next(node);
    queue_.Unlink(node);
  }

  const CacheState& state_;
  const NewUnits new_units_;
  const NodeRing::Node sentinel_;  // between the youngest and the oldest
  NodeRing::Node hand_;            // the next to look at; at the sentinel: the oldest
  std::vector<UnitId> owners_;     // per slot
  NodeRing queue_;                 // slots, from the oldest to the youngest
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
