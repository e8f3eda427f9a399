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
        sentinel_(static_cast<NodeRing::Node>(state.owners.size())),
        hand_(sentinel_),
        touched_(state, 1) {
    queue_.Resize(sentinel_ + 1);
    queue_.MakeSentinel(sentinel_);
  }

  void OnSelect(GroupIndex group, std::span<const Slot> joined,
                std::span<const Slot> left) override {
    touched_.OnSelect(group, joined, left);
  }
  void OnLoad(GroupIndex, std::span<const Slot> slots) override {
    for (const Slot slot : slots) {
      queue_.InsertBefore(slot, new_units_ == NewUnits::kBehindHand ? hand_ : sentinel_);
      touched_.Set(slot, 0);
    }
  }
  void OnCreate(GroupIndex group, std::span<const Slot> slots) override { OnLoad(group, slots); }
  void OnEnd(GroupIndex, std::span<const Slot> slots) override {
    for (const Slot slot : slots) Remove(slot);
  }

  void Evict(std::int64_t count, std::vector<Slot>& victims) override {
    SPARSESERVE_CHECK(count <= state_.num_resident, "too little is evictable");
    while (count > 0) {
      const NodeRing::Node node = hand_;
      if (node == sentinel_ || state_.pinned(node)) {
        hand_ = queue_.next(node);
      } else if (touched_.Get(node) > 0) {
        touched_.Set(node, 0);
        hand_ = queue_.next(node);
      } else {
        Remove(node);
        victims.push_back(node);
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
  NodeRing queue_;                 // from the oldest to the youngest
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
