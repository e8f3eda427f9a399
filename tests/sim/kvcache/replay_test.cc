// Belady's optimum: equal to an exhaustive search on tiny traces, and never above any policy.
#include "sim/kvcache/replay.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "sim/core/error.h"
#include "tests/sim/kvcache/random_stream.h"

namespace sparseserve::kvcache {
namespace {

struct Recorded {
  AccessTrace trace;
  std::int64_t loads = 0;
};

Recorded Record(const KvCacheConfig& config, const StreamShape& shape, int num_steps) {
  AccessRecorder recorder;
  KvCache cache(config);
  cache.set_recorder(&recorder);
  RandomStream stream(shape, config, cache, nullptr);
  for (int step = 0; step < num_steps; ++step) stream.Step();
  return {recorder.trace(), cache.stats().loads};
}

// The fewest loads by trying every choice of victims: all reachable sets of residents, each with
// the fewest loads that lead to it. Saves are instant.
class ExhaustiveSearch {
 public:
  explicit ExhaustiveSearch(const AccessTrace& trace) : trace_(trace) { reached_[{}] = 0; }

  std::int64_t MinimumLoads() {
    for (const Access& access : trace_.accesses) Apply(access);
    std::int64_t best = reached_.begin()->second;
    for (const auto& [residents, loads] : reached_) best = std::min(best, loads);
    return best;
  }

 private:
  using Set = std::set<Key>;

  void Apply(const Access& a) {
    const std::int64_t heads = trace_.config.heads;
    switch (a.kind) {
      case AccessKind::kRemoveRequest:
        return Remove(a.request);
      case AccessKind::kReserve:
        reserved_ += a.count;
        return Bring({}, 0);
      case AccessKind::kRelease:
        reserved_ -= a.count;
        return;
      case AccessKind::kAdoptPrefill:
        reserved_ -= a.count * trace_.config.num_layers * heads;
        num_blocks_[a.request] = a.count;
        return Bring(Units(a.request, 0, a.count), 0);
      case AccessKind::kAddSavedUnits:
        num_blocks_[a.request] = a.count;
        return;
      case AccessKind::kAppendBlock: {
        const std::int64_t block = num_blocks_[a.request]++;
        return Bring(Units(a.request, block, block + 1), 0);
      }
      case AccessKind::kBeginLayer:
        return in_use_.clear();
      case AccessKind::kSelect:
        return Select(a);
      case AccessKind::kLoadMisses:
        return Bring(in_use_, 1);
      default:
        return;
    }
  }
  Set Units(RequestIndex request, std::int64_t begin, std::int64_t end) const {
    Set units;
    for (std::int64_t layer = 0; layer < trace_.config.num_layers; ++layer) {
      for (auto u = begin * trace_.config.heads; u < end * trace_.config.heads; ++u) {
        units.insert({request, layer, static_cast<Unit>(u)});
      }
    }
    return units;
  }
  void Select(const Access& a) {
    Set& selected = selected_[{a.request, a.layer}];
    for (std::int64_t i = 0; i < a.count + a.from; ++i) {
      const Key key{a.request, a.layer, trace_.units[next_unit_++]};
      if (i < a.count) {
        selected.insert(key);
      } else {
        selected.erase(key);
      }
    }
    in_use_.insert(selected.begin(), selected.end());
  }
  void Remove(RequestIndex request) {
    std::erase_if(in_use_, [&](const Key& key) { return key.request == request; });
    std::erase_if(selected_, [&](const auto& entry) { return entry.first.first == request; });
    std::map<Set, std::int64_t> next;
    for (const auto& [residents, loads] : reached_) {
      Set others = residents;
      std::erase_if(others, [&](const Key& key) { return key.request == request; });
      Keep(next, others, loads);
    }
    reached_.swap(next);
  }
  // Makes `units` resident in every reached state, in every way; each costs `cost` if it was not.
  void Bring(const Set& units, std::int64_t cost) {
    std::map<Set, std::int64_t> next;
    for (const auto& [residents, loads] : reached_) {
      Set all = residents;
      all.insert(units.begin(), units.end());
      const auto paid = loads + cost * static_cast<std::int64_t>(all.size() - residents.size());
      Shrink(all, units, all.begin(), paid, next);
    }
    reached_.swap(next);
  }
  // Tries all subsets of victims from `from` on, of the size that is needed.
  void Shrink(const Set& all, const Set& keep, Set::const_iterator from, std::int64_t loads,
              std::map<Set, std::int64_t>& next) {
    if (static_cast<std::int64_t>(all.size()) <= trace_.config.hbm_slots - reserved_) {
      return Keep(next, all, loads);
    }
    for (auto it = from; it != all.end(); ++it) {
      if (keep.contains(*it) || in_use_.contains(*it)) continue;
      Set fewer = all;
      fewer.erase(*it);
      Shrink(fewer, keep, fewer.upper_bound(*it), loads, next);
    }
  }
  static void Keep(std::map<Set, std::int64_t>& states, const Set& residents, std::int64_t loads) {
    const auto [it, is_new] = states.try_emplace(residents, loads);
    if (!is_new) it->second = std::min(it->second, loads);
  }

  const AccessTrace& trace_;
  std::map<Set, std::int64_t> reached_;
  std::map<std::pair<RequestIndex, std::int64_t>, Set> selected_;
  std::map<RequestIndex, std::int64_t> num_blocks_;
  Set in_use_;
  std::int64_t reserved_ = 0;
  std::size_t next_unit_ = 0;
};

TEST(OptTest, LoadsTheMinimumOverAllChoicesOfVictims) {
  std::int64_t total = 0, lru_total = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CounterRng rng(seed);
    const KvCacheConfig config{.num_layers = 1 + rng.Below(2),
                               .heads = 1,
                               .hbm_slots = 5 + rng.Below(2),
                               .dram_blocks = 50,
                               .working_set_window = 2};
    // At most 2 x 2 units are in use, and a fourth of HBM is reserved.
    const Recorded recorded = Record(config,
                                     {.seed = seed,
                                      .max_requests = 2,
                                      .max_prompt_blocks = 3,
                                      .max_selected = 2,
                                      .saves_lag = false},
                                     40);
    const std::int64_t minimum = ExhaustiveSearch(recorded.trace).MinimumLoads();
    ASSERT_EQ(ReplayLoads(recorded.trace, "opt"), minimum);
    total += minimum;
    lru_total += recorded.loads;
  }
  EXPECT_GT(lru_total, total + total / 10) << "the traces leave nothing to choose";
}

TEST(OptTest, NeverLoadsMoreThanAnyPolicy) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CounterRng rng(seed);
    const std::vector<std::string> names = EvictionPolicyNames();
    const KvCacheConfig config{
        .num_layers = 1 + rng.Below(3),
        .heads = 1 + rng.Below(3),
        .hbm_slots = 70 + rng.Below(60),
        .dram_blocks = 200,
        .eviction = names[rng.Below(static_cast<std::uint32_t>(names.size()))]};
    const StreamShape shape{
        .seed = seed, .max_selected = 1 + rng.Below(10), .saves_lag = rng.Below(2) == 0};
    const Recorded recorded = Record(config, shape, 120);
    const std::int64_t optimum = ReplayLoads(recorded.trace, "opt");
    EXPECT_LE(optimum, recorded.loads) << "seed " << seed;
    for (const std::string& name : names) {
      EXPECT_LE(optimum, ReplayLoads(recorded.trace, name)) << name << ", seed " << seed;
    }
  }
}

TEST(ReplayTest, UnderTheRecordedPolicyLoadsWhatTheRunLoaded) {
  for (const std::string& name : EvictionPolicyNames()) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const KvCacheConfig config{
          .num_layers = 2, .heads = 2, .hbm_slots = 90, .dram_blocks = 200, .eviction = name};
      const Recorded recorded = Record(config, {.seed = seed}, 100);
      EXPECT_EQ(ReplayLoads(recorded.trace, name), recorded.loads) << name << ", seed " << seed;
    }
  }
}

// Inclusion (Mattson et al., IBM Systems Journal 1970): what LRU holds in a small HBM it holds in a
// larger one.
TEST(ReplayTest, LruAndOptNeverLoadMoreWithMoreHbm) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const KvCacheConfig config{.num_layers = 2, .heads = 2, .hbm_slots = 60, .dram_blocks = 200};
    Recorded recorded = Record(config, {.seed = seed, .saves_lag = false, .reserves = false}, 200);
    for (const std::string name : {"lru", "opt"}) {
      recorded.trace.config.hbm_slots = config.hbm_slots;
      std::int64_t before = ReplayLoads(recorded.trace, name);
      const std::int64_t smallest = before;
      for (std::int64_t slots = 70; slots <= 200; slots += 10) {
        recorded.trace.config.hbm_slots = slots;
        const std::int64_t loads = ReplayLoads(recorded.trace, name);
        EXPECT_LE(loads, before) << name << ", seed " << seed << ", slots " << slots;
        before = loads;
      }
      EXPECT_LT(before, smallest) << name << ", seed " << seed;
    }
  }
}

TEST(ReplayTest, AnUnknownPolicyIsAnInputError) {
  AccessTrace empty;
  empty.config = {.num_layers = 1, .heads = 1};
  EXPECT_EQ(ReplayLoads(empty, "opt"), 0);
  EXPECT_THROW(ReplayLoads(empty, "belady"), InputError);
}

}  // namespace
}  // namespace sparseserve::kvcache
