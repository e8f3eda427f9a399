// Layer-cyclic: made for decoding, where the layers of a batch are visited in a cycle and a unit
// that was selected is likely to be selected again one cycle later. On a cycle larger than the
// cache LRU misses on everything; like MRU on a loop (Chou and DeWitt, "An Evaluation of Buffer
// Management Strategies for Relational Database Systems", VLDB 1985) this policy keeps a part.
//
// First go units that are not selected, in the order in which they ceased to be (or were created);
// then the selected units of the group that was used last and is not in use, whose next use is
// furthest away, in unit order. Selected units are never touched one by one: a marker per group
// stands for them, as in lru.cc. O(1) per change and eviction.
#include "sim/core/check.h"
#include "sim/kvcache/node_ring.h"
#include "sim/kvcache/policies.h"

namespace sparseserve::kvcache {
namespace {

class LayerCyclic final : public EvictionPolicy {
 public:
  explicit LayerCyclic(const CacheState& state)
      : state_(state),
        unselected_(static_cast<Node>(state.owners.size())),
        groups_(unselected_ + 1) {
    lists_.Resize(groups_ + 1);
    lists_.MakeSentinel(unselected_);
    lists_.MakeSentinel(groups_);
  }

  void OnSelect(GroupIndex group, std::span<const Slot> joined,
                std::span<const Slot> left) override {
    if (static_cast<std::size_t>(group) >= cursors_.size()) {
      cursors_.resize(static_cast<std::size_t>(group) + 1, 0);
      lists_.Resize(Marker(group) + 1);
    }
    for (const Slot slot : joined) lists_.Unlink(slot);
    OnCreate(group, left);
    if (lists_.linked(Marker(group))) lists_.Unlink(Marker(group));
    lists_.InsertBefore(Marker(group), groups_);
    cursors_[group] = 0;
  }
  void OnLoad(GroupIndex, std::span<const Slot>) override {}
  void OnCreate(GroupIndex, std::span<const Slot> slots) override {
    for (const Slot slot : slots) lists_.InsertBefore(slot, unselected_);
  }
  void OnEnd(GroupIndex group, std::span<const Slot> slots) override {
    for (const Slot slot : slots) {
      if (!state_.selected(slot)) lists_.Unlink(slot);
    }
    if (static_cast<std::size_t>(group) < cursors_.size() && lists_.linked(Marker(group))) {
      lists_.Unlink(Marker(group));
    }
  }

  void Evict(std::int64_t count, std::vector<Slot>& victims) override {
    for (Node node = lists_.next(unselected_), next; count > 0 && node != unselected_;
         node = next) {
      next = lists_.next(node);
      if (state_.pinned(node)) continue;
      lists_.Unlink(node);
      victims.push_back(node);
      --count;
    }
    for (Node marker = lists_.prev(groups_), before; count > 0; marker = before) {
      SPARSESERVE_CHECK(marker != groups_, "too little is evictable");
      before = lists_.prev(marker);
      const GroupIndex index = marker - groups_ - 1;
      const Group& group = state_.groups[index];
      if (group.in_use) continue;
      count -= EvictHeld(group, count, cursors_[index], victims);
      if (cursors_[index] >= group.num_units()) lists_.Unlink(marker);  // holds no unit now
    }
  }

 private:
  using Node = NodeRing::Node;
  Node Marker(GroupIndex group) const { return groups_ + 1 + group; }

  const CacheState& state_;
  const Node unselected_, groups_;  // sentinels; nodes are the slots, these two, the markers
  NodeRing lists_;                  // units by when they ceased to be selected; groups by use
  std::vector<Unit> cursors_;       // per group
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLayerCyclic(const CacheState& state) {
  return std::make_unique<LayerCyclic>(state);
}

}  // namespace sparseserve::kvcache
