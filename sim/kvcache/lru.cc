// Least recently used, exact.
//
// The order of eviction: by time of last use, where a unit is used whenever its group is and it is
// selected; among units last used at the same time those that are no longer selected first, in the
// order in which they were reported to have left, then those still selected, in unit order. A unit
// created in HBM counts as used then.
//
// Plain LRU moves every touched unit to the young end. Here the list holds batches of units that
// are not selected (unselected_log.h), and one marker per group that stands for all units the group
// still holds: their time of last use is the group's. Units that leave go before the marker (they
// were last used when the group was, before the present use), then the marker moves to the young
// end. Units that join are not looked at. A marker met by the search gives up its group's units by
// a cursor, which the next use of the group resets.
// Cost: O(1) per unit that leaves and per eviction, plus 1/64 per unit of a group whose held units
// are evicted.
#include "sim/core/check.h"
#include "sim/kvcache/policies.h"
#include "sim/kvcache/unselected_log.h"

namespace sparseserve::kvcache {
namespace {

class Lru final : public EvictionPolicy {
 public:
  explicit Lru(const CacheState& state)
      : state_(state), log_(state), list_(log_.list()), sentinel_(log_.MakeNode(-1)) {
    list_.MakeSentinel(sentinel_);
  }

  void OnSelect(GroupIndex group, std::span<const Unit>, std::span<const Unit> removed) override {
    if (static_cast<std::size_t>(group) >= marks_.size()) marks_.resize(group + 1);
    Mark& mark = marks_[group];
    if (mark.node < 0) mark.node = log_.MakeNode(group);
    // The marker is in the list whenever its group holds a unit, so also when one has left.
    if (list_.linked(mark.node)) {
      log_.Enter(group, removed, mark.node);
      list_.Unlink(mark.node);
    }
    list_.InsertBefore(mark.node, sentinel_);
    mark.cursor = 0;
  }

  void OnLoad(GroupIndex, std::span<const Unit>) override {}  // the marker stands for them

  void OnCreate(GroupIndex group, std::span<const Unit> units) override {
    log_.Enter(group, units, sentinel_);
  }

  void OnEnd(GroupIndex group) override {
    log_.End(group);
    if (static_cast<std::size_t>(group) >= marks_.size()) return;
    if (marks_[group].node >= 0) log_.FreeNode(marks_[group].node);
    marks_[group] = {};
  }

  void Evict(std::int64_t count, std::vector<Victim>& victims) override {
    for (Node before = sentinel_; count > 0;) {
      const Node node = list_.next(before);
      SPARSESERVE_CHECK(node != sentinel_, "too little is evictable");
      count -= IsMarker(node) ? EvictGroup(log_.group_of(node), count, victims)
                              : log_.EvictNext(before, count, victims);
      if (list_.next(before) == node) before = node;
    }
  }

  void Audit() const override { log_.Audit(); }

 private:
  using Node = UnselectedLog::Node;
  struct Mark {
    Node node = -1;
    Unit cursor = 0;
  };

  bool IsMarker(Node node) const {
    const auto group = static_cast<std::size_t>(log_.group_of(node));
    return group < marks_.size() && marks_[group].node == node;
  }
  std::int64_t EvictGroup(GroupIndex index, std::int64_t count, std::vector<Victim>& victims) {
    const Group& group = state_.groups[index];
    if (group.in_use) return 0;
    Mark& mark = marks_[index];
    const std::int64_t num_taken = EvictHeld(state_, index, count, mark.cursor, victims);
    if (mark.cursor >= group.num_units()) list_.Unlink(mark.node);  // holds no unit now
    return num_taken;
  }

  const CacheState& state_;
  UnselectedLog log_;
  NodeRing& list_;  // of log_: from the least to the most recently used
  const Node sentinel_;
  std::vector<Mark> marks_;  // per group
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLru(const CacheState& state) {
  return std::make_unique<Lru>(state);
}

}  // namespace sparseserve::kvcache
