#include "sim/kvcache/opt.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <queue>
#include <tuple>

#include "sim/core/check.h"

namespace sparseserve::kvcache {
namespace {

using Time = std::uint32_t;  // ordinal of a Select call
constexpr Time kNever = std::numeric_limits<Time>::max();

struct Leaving {
  Unit unit;
  Time next_use;  // after it has left
};

// The future, read backwards out of the trace.
struct Future {
  struct Use {
    Time next = kNever;                              // of the same group
    std::size_t first_leaving = 0, num_leaving = 0;  // the units that leave at this use
  };
  std::vector<Use> uses;               // per Select
  std::vector<Leaving> leaving;        // of all uses
  std::vector<Time> use_after_create;  // per unit created, in the order of creation
};

class FutureReader {
 public:
  explicit FutureReader(const AccessTrace& trace) : trace_(trace), unit_end_(trace.units.size()) {}

  Future Read() {
    std::size_t num_selects = 0;
    for (const Access& a : trace_.accesses) num_selects += a.kind == AccessKind::kSelect;
    SPARSESERVE_CHECK(num_selects < kNever, "too many Select calls");
    future_.uses.resize(num_selects);
    now_ = static_cast<Time>(num_selects);
    CountBlocks();
    for (std::size_t i = trace_.accesses.size(); i-- > 0;) Visit(trace_.accesses[i], blocks_[i]);
    std::reverse(future_.use_after_create.begin(), future_.use_after_create.end());
    return std::move(future_);
  }

 private:
  struct GroupFuture {
    Time next_use = kNever;
    std::vector<Time> next_join;  // per unit
  };

  // blocks_[i]: blocks of the request before access i.
  void CountBlocks() {
    std::vector<std::int64_t> num_blocks;
    for (const Access& a : trace_.accesses) {
      if (static_cast<std::size_t>(a.request) + 1 > num_blocks.size()) {
        num_blocks.resize(static_cast<std::size_t>(a.request) + 1, 0);
      }
      blocks_.push_back(a.request < 0 ? 0 : num_blocks[a.request]);
      if (a.kind == AccessKind::kAddRequest) num_blocks[a.request] = 0;
      if (a.kind == AccessKind::kAppendBlock) ++num_blocks[a.request];
      if (a.kind == AccessKind::kAdoptPrefill || a.kind == AccessKind::kAddSavedUnits) {
        num_blocks[a.request] = a.count;
      }
    }
    groups_.resize(num_blocks.size() * static_cast<std::size_t>(trace_.config.num_layers));
  }

  GroupFuture& group(RequestIndex request, std::int64_t layer) {
    return groups_[request * trace_.config.num_layers + layer];
  }
  static Time& JoinOf(GroupFuture& group, Unit unit) {
    if (unit >= group.next_join.size()) group.next_join.resize(unit + 1, kNever);
    return group.next_join[unit];
  }

  void Visit(const Access& a, std::int64_t blocks_before) {
    if (a.kind == AccessKind::kSelect) return VisitSelect(a);
    if (a.kind == AccessKind::kAdoptPrefill) return VisitCreate(a, 0, a.count);
    if (a.kind == AccessKind::kAppendBlock) {
      return VisitCreate(a, blocks_before, blocks_before + 1);
    }
    if (a.kind != AccessKind::kAddRequest) return;
    for (std::int64_t l = 0; l < trace_.config.num_layers; ++l) group(a.request, l) = {};
  }
  void VisitSelect(const Access& a) {
    GroupFuture& g = group(a.request, a.layer);
    const std::size_t begin = unit_end_ - static_cast<std::size_t>(a.count + a.from);
    const std::size_t removed = begin + static_cast<std::size_t>(a.count);
    --now_;
    future_.uses[now_] = {g.next_use, future_.leaving.size(), unit_end_ - removed};
    for (std::size_t i = removed; i < unit_end_; ++i) {
      future_.leaving.push_back({trace_.units[i], JoinOf(g, trace_.units[i])});
    }
    for (std::size_t i = begin; i < removed; ++i) JoinOf(g, trace_.units[i]) = now_;
    g.next_use = now_;
    unit_end_ = begin;
  }
  // Backwards through the order of creation, which is by layer, then unit.
  void VisitCreate(const Access& a, std::int64_t begin_block, std::int64_t end_block) {
    const std::int64_t heads = trace_.config.heads;
    for (std::int64_t layer = trace_.config.num_layers; layer-- > 0;) {
      for (std::int64_t unit = end_block * heads; unit-- > begin_block * heads;) {
        future_.use_after_create.push_back(
            JoinOf(group(a.request, layer), static_cast<Unit>(unit)));
      }
    }
  }

  const AccessTrace& trace_;
  Future future_;
  std::vector<std::int64_t> blocks_;
  std::vector<GroupFuture> groups_;
  std::size_t unit_end_;
  Time now_ = 0;
};

class Opt final : public EvictionPolicy {
 public:
  Opt(const CacheState& state, Future future) : state_(state), future_(std::move(future)) {}

  void OnSelect(GroupIndex index, std::span<const Unit>, std::span<const Unit>) override {
    if (static_cast<std::size_t>(index) >= groups_.size()) groups_.resize(index + 1);
    GroupView& group = groups_[index];
    group.is_leaving.assign(state_.groups[index].bits.size(), 0);
    group.next_use.resize(state_.groups[index].num_units(), 0);
    group.cursor = 0;
    group.next = future_.uses[now_++].next;
    heap_.push({group.next, index, kNoUnit});
    if (group.next == kNever) return;
    const Future::Use& use = future_.uses[group.next];
    for (std::size_t i = 0; i < use.num_leaving; ++i) {
      const Leaving& leaving = future_.leaving[use.first_leaving + i];
      group.is_leaving[leaving.unit >> 6] |= std::uint64_t{1} << (leaving.unit & 63);
      SetNextUse(index, leaving.unit, leaving.next_use);
    }
  }
  void OnLoad(GroupIndex, std::span<const Unit>) override {}  // entered when it was selected
  void OnCreate(GroupIndex index, std::span<const Unit> units) override {
    if (static_cast<std::size_t>(index) >= groups_.size()) groups_.resize(index + 1);
    groups_[index].next_use.resize(state_.groups[index].num_units(), 0);
    for (const Unit unit : units) {
      SetNextUse(index, unit, future_.use_after_create[num_created_++]);
    }
  }
  void OnEnd(GroupIndex index) override {
    if (static_cast<std::size_t>(index) < groups_.size()) groups_[index] = {};
  }

  void Evict(std::int64_t count, std::vector<Victim>& victims) override {
    while (count > 0) {
      SPARSESERVE_CHECK(!heap_.empty(), "too little is evictable");
      const Entry top = heap_.top();
      if (top.unit == kNoUnit) {
        count -= EvictKept(top, count, victims);
        if (count == 0) break;  // the group may have more to give
      }
      heap_.pop();
      if (top.unit != kNoUnit) count -= EvictUnit(top, victims);
    }
    for (const Entry& entry : passed_over_) heap_.push(entry);
    passed_over_.clear();
  }

 private:
  struct Entry {
    Time next_use;
    GroupIndex group;
    Unit unit;  // kNoUnit: all units that the group holds and keeps at its next use
    bool operator<(const Entry& other) const {
      return std::tie(next_use, group, unit) < std::tie(other.next_use, other.group, other.unit);
    }
  };
  struct GroupView {
    Time next = 0;                          // the group's next use; 0 before the first
    Unit cursor = 0;                        // kept units before it have been evicted
    std::vector<std::uint64_t> is_leaving;  // bits: selected now, not at the next use
    std::vector<Time> next_use;             // of units with an entry of their own
  };

  void SetNextUse(GroupIndex group, Unit unit, Time time) {
    groups_[group].next_use[unit] = time;
    heap_.push({time, group, unit});
  }
  // Evicts the unit of an entry that is still true. Returns how many were evicted.
  std::int64_t EvictUnit(const Entry& entry, std::vector<Victim>& victims) {
    const Group& group = state_.groups[entry.group];
    GroupView& view = groups_[entry.group];
    if (entry.unit >= view.next_use.size() || view.next_use[entry.unit] != entry.next_use) return 0;
    if (group.selected(entry.unit)) {
      if ((view.is_leaving[entry.unit >> 6] >> (entry.unit & 63) & 1) == 0) return 0;
      if (group.in_use) return passed_over_.push_back(entry), 0;
    }
    if (!group.resident(entry.unit)) return 0;
    if (entry.unit >= group.first_dirty) return passed_over_.push_back(entry), 0;
    view.next_use[entry.unit] = 0;  // evicted: no other entry is true
    victims.push_back({entry.group, entry.unit});
    return 1;
  }
  std::int64_t EvictKept(const Entry& entry, std::int64_t count, std::vector<Victim>& victims) {
    const Group& group = state_.groups[entry.group];
    GroupView& view = groups_[entry.group];
    if (view.next != entry.next_use) return 0;
    if (group.in_use) return passed_over_.push_back(entry), 0;
    std::int64_t num_taken = 0;
    view.cursor = ScanUnits(group, view.cursor, group.first_dirty, kHeldWord, [&](Unit unit) {
      if (view.is_leaving[unit >> 6] >> (unit & 63) & 1) return true;
      victims.push_back({entry.group, unit});
      return ++num_taken < count;
    });
    return num_taken;
  }

  const CacheState& state_;
  const Future future_;
  Time now_ = 0;
  std::size_t num_created_ = 0;
  std::vector<GroupView> groups_;
  std::priority_queue<Entry> heap_;  // the furthest next use first
  std::vector<Entry> passed_over_;   // in use: not in this batch
};

}  // namespace

EvictionPolicyFactory MakeOpt(const AccessTrace& trace) {
  return [&trace](const CacheState& state) -> std::unique_ptr<EvictionPolicy> {
    return std::make_unique<Opt>(state, FutureReader(trace).Read());
  };
}

}  // namespace sparseserve::kvcache
