// Least recently used, exact.
//
// The order of eviction: by time of last use, where a unit is used whenever its group is and it is
// selected; among units last used at the same time those that are no longer selected first, in the
// order in which they were reported to have left, then those still selected, in unit order. A unit
// created in HBM counts as used then.
//
// Plain LRU moves every touched unit to the young end. Here the list holds the units that are not
// selected, and one marker per group that stands for all units the group still holds: their time of
// last use is the group's. A unit that leaves goes before the marker (it was last used when the
// group was, before the present use), then the marker moves to the young end. A marker met by the
// search gives up its group's units by a cursor, which the next use of the group resets.
// Cost: O(1) per change and per eviction, plus 1/64 per unit of a group whose held units are
// evicted.
#include "sim/core/check.h"
#include "sim/kvcache/node_ring.h"
#include "sim/kvcache/policies.h"

namespace sparseserve::kvcache {
namespace {

class Lru final : public EvictionPolicy {
 public:
  explicit Lru(const CacheState& state)
      : state_(state), sentinel_(static_cast<Node>(state.owners.size())) {
    list_.Resize(sentinel_ + 1);
    list_.MakeSentinel(sentinel_);
  }

  void OnSelect(GroupIndex group, std::span<const Slot> joined,
                std::span<const Slot> left) override {
    if (static_cast<std::size_t>(group) >= cursors_.size()) AddGroups(group + 1);
    const Node marker = Marker(group);
    // The marker is in the list whenever its group holds a unit, so also when one has left.
    for (const Slot slot : left) list_.InsertBefore(slot, marker);
    for (std::size_t i = 0; i < joined.size(); ++i) {
      if (i + kAhead < joined.size()) list_.Prefetch(joined[i + kAhead]);
      list_.Unlink(joined[i]);
    }
    if (list_.linked(marker)) list_.Unlink(marker);
    list_.InsertBefore(marker, sentinel_);
    cursors_[group] = 0;
  }

  void OnLoad(GroupIndex, std::span<const Slot>) override {}  // the marker stands for them

  void OnCreate(GroupIndex, std::span<const Slot> slots) override {
    for (const Slot slot : slots) list_.InsertBefore(slot, sentinel_);
  }

  void OnEnd(GroupIndex group, std::span<const Slot> slots) override {
    for (const Slot slot : slots) {
      if (!state_.selected(slot)) list_.Unlink(slot);
    }
    if (static_cast<std::size_t>(group) < cursors_.size() && list_.linked(Marker(group))) {
      list_.Unlink(Marker(group));
    }
  }

  void Evict(std::int64_t count, std::vector<Slot>& victims) override {
    for (Node node = list_.next(sentinel_), next; count > 0; node = next) {
      SPARSESERVE_CHECK(node != sentinel_, "too little is evictable");
      next = list_.next(node);
      if (node > sentinel_) {
        count -= EvictGroup(node - sentinel_ - 1, count, victims);
      } else if (!state_.pinned(node)) {
        list_.Unlink(node);
        victims.push_back(node);
        --count;
      }
    }
  }

 private:
  using Node = NodeRing::Node;
  static constexpr std::size_t kAhead = 12;

  Node Marker(GroupIndex group) const { return sentinel_ + 1 + group; }
  void AddGroups(std::int64_t num_groups) {
    cursors_.resize(static_cast<std::size_t>(num_groups), 0);
    list_.Resize(sentinel_ + 1 + num_groups);
  }
  std::int64_t EvictGroup(GroupIndex index, std::int64_t count, std::vector<Slot>& victims) {
    const Group& group = state_.groups[index];
    if (group.in_use) return 0;
    const std::int64_t num_taken = EvictHeld(group, count, cursors_[index], victims);
    if (cursors_[index] >= group.num_units()) list_.Unlink(Marker(index));  // holds no unit now
    return num_taken;
  }

  const CacheState& state_;
  const Node sentinel_;        // nodes: the slots, the sentinel, one marker per group
  NodeRing list_;              // from the least to the most recently used
  std::vector<Unit> cursors_;  // per group
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLru(const CacheState& state) {
  return std::make_unique<Lru>(state);
}

}  // namespace sparseserve::kvcache
