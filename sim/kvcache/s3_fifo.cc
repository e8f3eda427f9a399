// S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP '23).
//
// New units enter a small queue, or the main queue when the ghost queue remembers them. While the
// small queue holds a tenth of what is resident or more, its oldest goes: to the main queue if it
// was touched more than once, else out, leaving a ghost. Otherwise the main queue's oldest goes: to
// its young end with one touch less if it has any, else out. Touches count up to three.
//
// Lazy: a TouchCounter with limit 3. The ghost queue is a number per unit, the running count of
// ghosts when it became one; it is remembered while fewer ghosts than nine tenths of HBM's slots
// came after it (the paper's own form of the queue; a ghost that was hit still takes up its place).
// Pinned units are passed over and stay where they are. When one queue holds nothing evictable the
// other gives. Amortised O(1) per load, counted touch and eviction.
#include "sim/core/check.h"
#include "sim/kvcache/node_ring.h"
#include "sim/kvcache/policies.h"
#include "sim/kvcache/touch_counter.h"

namespace sparseserve::kvcache {
namespace {

class S3Fifo final : public EvictionPolicy {
 public:
  explicit S3Fifo(const CacheState& state)
      : state_(state),
        small_(static_cast<Node>(state.num_slots)),
        main_(small_ + 1),
        ghost_capacity_(static_cast<std::uint64_t>(state.num_slots) * 9 / 10),
        touches_(state, 3),
        owners_(static_cast<std::size_t>(state.num_slots)),
        in_main_(static_cast<std::size_t>(state.num_slots), 0) {
    queues_.Resize(main_ + 1);
    queues_.MakeSentinel(small_);
    queues_.MakeSentinel(main_);
  }

  void OnSelect(GroupIndex group, std::span<const Unit> added,
                std::span<const Unit> removed) override {
    touches_.OnSelect(group, added, removed);
  }
  void OnLoad(GroupIndex group, std::span<const Unit> units) override {
    for (const Unit unit : units) {
      const Slot slot = state_.groups[group].slot_of[unit];
      owners_[slot] = {group, unit};
      Enter(slot, TakeGhost(owners_[slot]));
      touches_.Set(owners_[slot], 0);
    }
  }
  void OnCreate(GroupIndex group, std::span<const Unit> units) override { OnLoad(group, units); }
  void OnEnd(GroupIndex group) override {
    ForEachSlot(state_.groups[group], [&](Slot slot) { Leave(slot); });
    if (static_cast<std::size_t>(group) < ghosts_.size()) ghosts_[group].clear();
  }

  void Evict(std::int64_t count, std::vector<UnitId>& victims) override {
    // Behind these two stand only pinned units: a batch passes over each of them once.
    Node next_small = queues_.next(small_);
    Node next_main = queues_.next(main_);
    for (; count > 0; --count) {
      const bool small_first = num_small_ * 10 >= num_small_ + num_main_;
      // Emptying the small queue may fill the main one: hence main is asked again.
      const bool done = (!small_first && EvictFromMain(next_main, victims)) ||
                        EvictFromSmall(next_small, victims) || EvictFromMain(next_main, victims);
      SPARSESERVE_CHECK(done, "too little is evictable");
    }
  }

 private:
  using Node = NodeRing::Node;

  void Enter(Slot slot, bool to_main) {
    in_main_[slot] = to_main;
    queues_.InsertBefore(slot, to_main ? main_ : small_);
    ++(to_main ? num_main_ : num_small_);
  }
  void Leave(Slot slot) {
    queues_.Unlink(slot);
    --(in_main_[slot] ? num_main_ : num_small_);
  }
  bool EvictFromSmall(Node& node, std::vector<UnitId>& victims) {
    while (node != small_) {
      const Slot slot = node;
      node = queues_.next(node);
      if (state_.pinned(owners_[slot])) continue;
      const bool keep = touches_.Get(owners_[slot]) > 1;
      Leave(slot);
      if (keep) {
        Enter(slot, true);
        touches_.Set(owners_[slot], 0);
        continue;
      }
      LeaveGhost(owners_[slot]);
      victims.push_back(owners_[slot]);
      return true;
    }
    return false;
  }
  // False when the main queue holds nothing but pinned units.
  bool EvictFromMain(Node& node, std::vector<UnitId>& victims) {
    if (node == main_) node = queues_.next(main_);  // units may have come from the small queue
    while (node != main_) {
      const Slot slot = node;
      node = queues_.next(node);
      if (state_.pinned(owners_[slot])) continue;
      const std::uint32_t touches = touches_.Get(owners_[slot]);
      Leave(slot);
      if (touches == 0) {
        victims.push_back(owners_[slot]);
        return true;
      }
      Enter(slot, true);
      touches_.Set(owners_[slot], touches - 1);
      if (node == main_) node = slot;  // only pinned units stand before it: it is the oldest again
    }
    return false;
  }

  void LeaveGhost(UnitId owner) {
    if (static_cast<std::size_t>(owner.group) >= ghosts_.size()) ghosts_.resize(owner.group + 1);
    std::vector<std::uint64_t>& ghosts = ghosts_[owner.group];
    if (owner.unit >= ghosts.size()) ghosts.resize(state_.groups[owner.group].num_units(), 0);
    ghosts[owner.unit] = ++num_ghosts_;
  }
  // Whether the unit is remembered; it is forgotten by that.
  bool TakeGhost(UnitId owner) {
    if (static_cast<std::size_t>(owner.group) >= ghosts_.size()) return false;
    std::vector<std::uint64_t>& ghosts = ghosts_[owner.group];
    if (owner.unit >= ghosts.size() || ghosts[owner.unit] == 0) return false;
    const bool remembered = num_ghosts_ - ghosts[owner.unit] < ghost_capacity_;
    ghosts[owner.unit] = 0;
    return remembered;
  }

  const CacheState& state_;
  const Node small_, main_;  // sentinels
  NodeRing queues_;          // each from the oldest to the youngest
  std::int64_t num_small_ = 0, num_main_ = 0;
  const std::uint64_t ghost_capacity_;
  std::uint64_t num_ghosts_ = 0;                    // ever
  std::vector<std::vector<std::uint64_t>> ghosts_;  // per group and unit; 0: no ghost
  TouchCounter touches_;
  std::vector<UnitId> owners_;         // per slot
  std::vector<std::uint8_t> in_main_;  // per slot
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeS3Fifo(const CacheState& state) {
  return std::make_unique<S3Fifo>(state);
}

}  // namespace sparseserve::kvcache
