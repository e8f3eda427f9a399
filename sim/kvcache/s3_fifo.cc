// S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP '23).
//
// New units enter a small queue, or the main queue when the ghost queue remembers them. While the
// small queue holds a tenth of what is resident or more, its oldest goes: to the main queue if it
// was touched more than once, else out, leaving a ghost. Otherwise the main queue's oldest goes: to
// its young end with one touch less if it has any, else out. Touches count up to three.
//
// Touches are those of a TouchCounter. The ghost queue (ghost_queue.h) has nine tenths as many
// places as HBM has slots; a ghost that was hit still takes up its place, as in the paper's own
// form. Pinned units are passed over and stay where they are. When one queue holds nothing
// evictable the other gives. Amortised O(1) per load, counted touch and eviction.
#include "sim/core/check.h"
#include "sim/kvcache/ghost_queue.h"
#include "sim/kvcache/policies.h"
#include "sim/kvcache/touch_counter.h"
#include "sim/kvcache/unit_queue.h"

namespace sparseserve::kvcache {
namespace {

class S3Fifo final : public EvictionPolicy {
 public:
  explicit S3Fifo(const CacheState& state)
      : state_(state),
        small_(lives_, state.num_slots),
        main_(lives_, state.num_slots),
        ghosts_(state, lives_, state.num_slots * 9 / 10),
        touches_(state) {}

  void OnSelect(GroupIndex group, std::span<const Unit>, std::span<const Unit>) override {
    touches_.OnSelect(group);
  }
  void OnLoad(GroupIndex index, std::span<const Unit> units) override {
    if (static_cast<std::size_t>(index) >= members_.size()) members_.resize(index + 1);
    Members& members = members_[index];
    touches_.Resize(index);
    ghosts_.Resize(index);
    const std::uint32_t life = lives_.Of(index);
    const std::vector<Slot>& slot_of = state_.groups[index].slot_of;
    TouchCounter::Row touches = touches_.Of(index);
    for (const Unit unit : units) {
      const bool to_main = ghosts_.Take({index, unit});
      ++(to_main ? members.num_main : members.num_small);
      ++(to_main ? num_main_ : num_small_);
      (to_main ? main_ : small_).PushBack({{index, unit}, slot_of[unit], life});
      touches.Set(unit, 0);
    }
  }
  void OnCreate(GroupIndex group, std::span<const Unit> units) override { OnLoad(group, units); }
  void OnEnd(GroupIndex group) override {
    lives_.End(group);
    touches_.End(group);
    ghosts_.End(group);
    if (static_cast<std::size_t>(group) >= members_.size()) return;
    num_small_ -= members_[group].num_small;
    num_main_ -= members_[group].num_main;
    members_[group] = {};
  }

  void Evict(std::int64_t count, std::vector<Victim>& victims) override {
    new_ghosts_.clear();
    for (; count > 0; --count) {
      const bool small_first = num_small_ * 10 >= num_small_ + num_main_;
      // Emptying the small queue may fill the main one: hence main is asked again.
      const bool done = (!small_first && EvictFromMain(victims)) || EvictFromSmall(victims) ||
                        EvictFromMain(victims);
      SPARSESERVE_CHECK(done, "too little is evictable");
    }
    small_.Return();
    main_.Return();
    LeaveGhosts();
  }

  void Audit() const override {
    SPARSESERVE_CHECK(small_.CountUnits() == num_small_ && main_.CountUnits() == num_main_ &&
                          num_small_ + num_main_ == state_.num_resident,
                      "the queues and their counts disagree");
  }

 private:
  static constexpr std::size_t kAhead = 32;  // units between a fetch and the use of what it got
  struct Members {
    std::int64_t num_small = 0, num_main = 0;  // units of the group in either queue
  };

  // Moves the hand to the oldest unit that is not pinned; those before it are laid aside, so that a
  // batch of evictions passes over each of them once. False when there is none.
  bool FindNext(UnitQueue& queue) {
    while (!queue.AtEnd()) {
      if (const UnitId ahead = queue[queue.hand() + kAhead].id; ahead.group >= 0) {
        touches_.Prefetch(ahead);
      }
      const QueuedUnit& entry = queue[queue.hand()];
      if (lives_.IsGap(entry)) {
        queue.TakeOut();
      } else if (state_.pinned(entry.id)) {
        queue.LayAside();
      } else {
        return true;
      }
    }
    return false;
  }
  bool EvictFromSmall(std::vector<Victim>& victims) {
    while (FindNext(small_)) {
      const QueuedUnit entry = small_[small_.hand()];
      Members& members = members_[entry.id.group];
      small_.TakeOut();
      --num_small_;
      --members.num_small;
      TouchCounter::Row touches = touches_.Of(entry.id.group);
      if (touches.Get(entry.id.unit) <= 1) {
        victims.push_back({entry.id.group, entry.id.unit, entry.slot});
        new_ghosts_.push_back(entry.id);
        return true;
      }
      ++num_main_;
      ++members.num_main;
      main_.PushBack(entry);
      touches.Set(entry.id.unit, 0);
    }
    return false;
  }
  // False when the main queue holds nothing but pinned units.
  bool EvictFromMain(std::vector<Victim>& victims) {
    while (FindNext(main_)) {
      const QueuedUnit entry = main_[main_.hand()];
      main_.TakeOut();
      TouchCounter::Row row = touches_.Of(entry.id.group);
      const std::uint32_t touches = row.Get(entry.id.unit);
      if (touches == 0) {
        --num_main_;
        --members_[entry.id.group].num_main;
        victims.push_back({entry.id.group, entry.id.unit, entry.slot});
        return true;
      }
      main_.PushBack(entry);
      row.Set(entry.id.unit, touches - 1);
    }
    return false;
  }

  // What left the small queue in this batch becomes ghosts, in that order.
  void LeaveGhosts() {
    for (std::size_t i = 0; i < new_ghosts_.size(); ++i) {
      if (i + kAhead < new_ghosts_.size()) ghosts_.Prefetch(new_ghosts_[i + kAhead], kAhead);
      ghosts_.Push(new_ghosts_[i]);
    }
  }

  const CacheState& state_;
  GroupLives lives_;
  UnitQueue small_, main_;
  std::int64_t num_small_ = 0, num_main_ = 0;  // units
  std::vector<Members> members_;               // per group
  GhostQueue ghosts_;
  std::vector<UnitId> new_ghosts_;  // of a batch of evictions
  TouchCounter touches_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeS3Fifo(const CacheState& state) {
  return std::make_unique<S3Fifo>(state);
}

}  // namespace sparseserve::kvcache
