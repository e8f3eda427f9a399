// Layer-cyclic: made for decoding, where the layers of a batch are visited in a cycle and a unit
// that was selected is likely to be selected again one cycle later. On a cycle larger than the
// cache LRU misses on everything; like MRU on a loop (Chou and DeWitt, "An Evaluation of Buffer
// Management Strategies for Relational Database Systems", VLDB 1985) this policy keeps a part.
//
// First go units that are not selected, in the order in which they ceased to be (or were created;
// unselected_log.h);
// then the selected units of the group that was used last and is not in use, whose next use is
// furthest away, in unit order. Selected units are never touched one by one: a marker per group
// stands for them, as in lru.cc. O(1) per change and eviction.
#include "sim/core/check.h"
#include "sim/kvcache/policies.h"
#include "sim/kvcache/unselected_log.h"

namespace sparseserve::kvcache {
namespace {

class LayerCyclic final : public EvictionPolicy {
 public:
  explicit LayerCyclic(const CacheState& state)
      : state_(state),
        log_(state),
        lists_(log_.list()),
        unselected_(log_.MakeNode(-1)),
        groups_(log_.MakeNode(-1)) {
    lists_.MakeSentinel(unselected_);
    lists_.MakeSentinel(groups_);
  }

  void OnSelect(GroupIndex group, std::span<const Unit>, std::span<const Unit> removed) override {
    if (static_cast<std::size_t>(group) >= marks_.size()) marks_.resize(group + 1);
    OnCreate(group, removed);
    Mark& mark = marks_[group];
    if (mark.node < 0) mark.node = log_.MakeNode(group);
    if (lists_.linked(mark.node)) lists_.Unlink(mark.node);
    lists_.InsertBefore(mark.node, groups_);
    mark.cursor = 0;
  }
  void OnLoad(GroupIndex, std::span<const Unit>) override {}
  void OnCreate(GroupIndex group, std::span<const Unit> units) override {
    log_.Enter(group, units, unselected_);
  }
  void OnEnd(GroupIndex group) override {
    log_.End(group);
    if (static_cast<std::size_t>(group) >= marks_.size()) return;
    if (marks_[group].node >= 0) log_.FreeNode(marks_[group].node);
    marks_[group] = {};
  }

  void Evict(std::int64_t count, std::vector<Victim>& victims) override {
    for (Node before = unselected_; count > 0;) {
      const Node node = lists_.next(before);
      if (node == unselected_) break;
      count -= log_.EvictNext(before, count, victims);
      if (lists_.next(before) == node) before = node;
    }
    for (Node node = lists_.prev(groups_), older; count > 0; node = older) {
      SPARSESERVE_CHECK(node != groups_, "too little is evictable");
      older = lists_.prev(node);
      const GroupIndex index = log_.group_of(node);
      const Group& group = state_.groups[index];
      if (group.in_use) continue;
      Mark& mark = marks_[index];
      count -= EvictHeld(state_, index, count, mark.cursor, victims);
      if (mark.cursor >= group.num_units()) lists_.Unlink(node);  // holds no unit now
    }
  }

  void Audit() const override { log_.Audit(); }

 private:
  using Node = UnselectedLog::Node;
  struct Mark {
    Node node = -1;
    Unit cursor = 0;
  };

  const CacheState& state_;
  UnselectedLog log_;
  NodeRing& lists_;                 // of log_: its units; groups by use
  const Node unselected_, groups_;  // sentinels
  std::vector<Mark> marks_;         // per group
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLayerCyclic(const CacheState& state) {
  return std::make_unique<LayerCyclic>(state);
}

}  // namespace sparseserve::kvcache
