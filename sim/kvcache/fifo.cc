// First in, first out: the unit that has been in HBM longest leaves, however often it is used.
// Touches change nothing, so the lazy form is the plain one. O(1) per load and eviction, plus the
// pinned units that a batch of evictions passes over.
#include "sim/core/check.h"
#include "sim/kvcache/node_ring.h"
#include "sim/kvcache/policies.h"

namespace sparseserve::kvcache {
namespace {

class Fifo final : public EvictionPolicy {
 public:
  explicit Fifo(const CacheState& state)
      : state_(state),
        sentinel_(static_cast<NodeRing::Node>(state.num_slots)),
        owners_(static_cast<std::size_t>(state.num_slots)) {
    queue_.Resize(sentinel_ + 1);
    queue_.MakeSentinel(sentinel_);
  }

  void OnSelect(GroupIndex, std::span<const Unit>, std::span<const Unit>) override {}
  void OnLoad(GroupIndex index, std::span<const Unit> units) override {
    const Group& group = state_.groups[index];
    for (const Unit unit : units) {
      const Slot slot = group.slot_of[unit];
      owners_[slot] = {index, unit};
      queue_.InsertBefore(slot, sentinel_);
    }
  }
  void OnCreate(GroupIndex group, std::span<const Unit> units) override { OnLoad(group, units); }
  void OnEnd(GroupIndex group) override {
    ForEachSlot(state_.groups[group], [&](Slot slot) { queue_.Unlink(slot); });
  }

  void Evict(std::int64_t count, std::vector<Victim>& victims) override {
    for (NodeRing::Node node = queue_.next(sentinel_), next; count > 0; node = next) {
      SPARSESERVE_CHECK(node != sentinel_, "too little is evictable");
      next = queue_.next(node);
      if (state_.pinned(owners_[node])) continue;
      queue_.Unlink(node);
      victims.push_back({owners_[node].group, owners_[node].unit, node});
      --count;
    }
  }

 private:
  const CacheState& state_;
  const NodeRing::Node sentinel_;
  std::vector<UnitId> owners_;  // per slot
  NodeRing queue_;              // slots, from the first to the last that came in
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeFifo(const CacheState& state) {
  return std::make_unique<Fifo>(state);
}

}  // namespace sparseserve::kvcache
