// How fast the KV cache follows a decode batch in exact mode: 16.8 million units (16 requests x 32
// layers x 32 heads x 1,024 blocks), 64 blocks selected per (request, layer, head), 80 % of them
// kept from step to step. One iteration is one step of the whole batch: 1.05 million touches.
//
// steady: what is ever selected fits, so there are changes and no loads. drift: every unit that
// joins is a new one. thrash: the selection is larger than HBM, so that under LRU every touch
// loads. touches_per_second counts logical touches, as a plain implementation would have to carry
// out; the plain LRU beside it does, and the first steps' loads of both must agree.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/core/rng.h"
#include "sim/kvcache/kv_cache.h"

namespace sparseserve::kvcache {
namespace {

constexpr std::int32_t kRequests = 16;
constexpr std::int64_t kLayers = 32, kHeads = 32, kBlocks = 1024, kSelected = 64, kChanged = 13;
constexpr std::int64_t kGroups = kRequests * kLayers;
constexpr int kForwardSteps = 20;  // then backwards through the same changes, and so on
constexpr int kCheckedSteps = 6;   // compared with the plain LRU

struct Changes {
  std::vector<Unit> joined, left;  // each sorted
};

// What changes at step s of group g: at(s, g). Step 0 selects from nothing.
class Stream {
 public:
  // Each lane selects among `num_candidates` of its blocks.
  explicit Stream(std::int64_t num_candidates) {
    start_.resize(kGroups);
    forward_.assign(kForwardSteps, std::vector<Changes>(kGroups));
    for (std::int64_t lane = 0; lane < kGroups * kHeads; ++lane) AddLane(lane, num_candidates);
    for (Changes& changes : start_) Sort(changes);
    for (auto& step : forward_) {
      for (Changes& changes : step) Sort(changes);
    }
  }

  void Apply(KvCache& cache, std::int64_t step, std::int64_t& num_loads) const {
    static const std::vector<Unit> kNothing;
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      cache.BeginLayer();
      for (std::int32_t request = 0; request < kRequests; ++request) {
        const auto [joined, left] = At(step, request * kLayers + layer);
        cache.Select(request, layer, joined, left);
      }
      if (!cache.LoadMisses(num_loads)) std::abort();
    }
  }
  std::pair<std::span<const Unit>, std::span<const Unit>> At(std::int64_t step,
                                                             std::int64_t group) const {
    if (step == 0) return {start_[group].joined, {}};
    const std::int64_t phase = (step - 1) % (2 * kForwardSteps);
    if (phase < kForwardSteps) {
      const Changes& c = forward_[phase][group];
      return {c.joined, c.left};
    }
    const Changes& c = forward_[2 * kForwardSteps - 1 - phase][group];
    return {c.left, c.joined};
  }

 private:
  static void Sort(Changes& changes) {
    std::sort(changes.joined.begin(), changes.joined.end());
    std::sort(changes.left.begin(), changes.left.end());
  }
  void AddLane(std::int64_t lane, std::int64_t num_candidates) {
    CounterRng rng(static_cast<std::uint64_t>(lane));
    const std::int64_t group = lane / kHeads;
    // A random order of the blocks: the first 64 are selected, the next are the other candidates.
    std::vector<Unit> blocks(kBlocks);
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<Unit>(i);
    const auto swap_in = [&](std::int64_t i, std::int64_t end) {
      const auto j = i + rng.Below(static_cast<std::uint32_t>(end - i));
      std::swap(blocks[i], blocks[j]);
    };
    const auto unit = [&](std::int64_t i) {
      return static_cast<Unit>(blocks[i] * kHeads + lane % kHeads);
    };
    for (std::int64_t i = 0; i < num_candidates; ++i) swap_in(i, kBlocks);
    for (std::int64_t i = 0; i < kSelected; ++i) start_[group].joined.push_back(unit(i));
    for (auto& step : forward_) {
      // 13 of the selected go to the front and are exchanged for 13 of the other candidates.
      for (std::int64_t i = 0; i < kChanged; ++i) swap_in(i, kSelected);
      for (std::int64_t i = 0; i < kChanged; ++i) {
        const std::int64_t other = kSelected + i;
        swap_in(other, num_candidates);
        step[group].left.push_back(unit(i));
        step[group].joined.push_back(unit(other));
        std::swap(blocks[i], blocks[other]);
      }
    }
  }

  std::vector<Changes> start_;                 // per group
  std::vector<std::vector<Changes>> forward_;  // per step and group
};

// LRU as in a textbook: one list over all units, every touch moves its unit to the young end.
// Touches of a layer come before its evictions, as in the cache.
class PlainLru {
 public:
  explicit PlainLru(std::int64_t capacity)
      : capacity_(capacity),
        links_(static_cast<std::size_t>(kGroups * kHeads * kBlocks + 1), {-1, -1}),
        selected_(kGroups) {
    links_[sentinel_] = {sentinel_, sentinel_};
  }
  std::int64_t Step(const Stream& stream, std::int64_t step) {
    std::int64_t num_loads = 0;
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      missing_.clear();
      for (std::int64_t request = 0; request < kRequests; ++request) {
        Touch(request * kLayers + layer, stream, step);
      }
      for (const std::int32_t node : missing_) {
        if (num_resident_ == capacity_) {
          Unlink(links_[sentinel_].next);
        } else {
          ++num_resident_;
        }
        PushBack(node);
      }
      num_loads += static_cast<std::int64_t>(missing_.size());
    }
    return num_loads;
  }

 private:
  struct Links {
    std::int32_t prev, next;
  };
  void Touch(std::int64_t group, const Stream& stream, std::int64_t step) {
    const auto [joined, left] = stream.At(step, group);
    std::vector<Unit>& selected = selected_[group];
    scratch_.clear();
    std::set_difference(selected.begin(), selected.end(), left.begin(), left.end(),
                        std::back_inserter(scratch_));
    selected.clear();
    std::merge(scratch_.begin(), scratch_.end(), joined.begin(), joined.end(),
               std::back_inserter(selected));
    for (const Unit unit : selected) {
      const auto node = static_cast<std::int32_t>(1 + group * kHeads * kBlocks + unit);
      if (links_[node].next < 0) {
        missing_.push_back(node);
      } else {
        Unlink(node);
        PushBack(node);
      }
    }
  }
  void Unlink(std::int32_t node) {
    const Links links = links_[node];
    links_[links.prev].next = links.next;
    links_[links.next].prev = links.prev;
    links_[node] = {-1, -1};
  }
  void PushBack(std::int32_t node) {
    links_[node] = {links_[sentinel_].prev, sentinel_};
    links_[links_[node].prev].next = node;
    links_[sentinel_].prev = node;
  }

  static constexpr std::int32_t sentinel_ = 0;
  const std::int64_t capacity_;
  std::int64_t num_resident_ = 0;
  std::vector<Links> links_;  // per unit, after the sentinel
  std::vector<std::vector<Unit>> selected_;
  std::vector<Unit> scratch_;
  std::vector<std::int32_t> missing_;
};

struct Regime {
  std::int64_t num_candidates, capacity;
};
constexpr Regime kSteady{80, 1'310'720};
constexpr Regime kDrift{kBlocks, 1'310'720};
constexpr Regime kThrash{80, 917'504};

const Stream& StreamOf(const Regime& regime) {
  static std::unique_ptr<Stream> stream;
  static std::int64_t num_candidates = 0;
  if (num_candidates != regime.num_candidates) {
    num_candidates = regime.num_candidates;
    stream = std::make_unique<Stream>(num_candidates);
  }
  return *stream;
}

void CountTouches(benchmark::State& state) {
  state.counters["touches_per_second"] =
      benchmark::Counter(static_cast<double>(kGroups * kHeads * kSelected),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void BM_KvCache(benchmark::State& state, const std::string& policy, const Regime& regime) {
  const Stream& stream = StreamOf(regime);
  KvCache cache({.num_layers = kLayers,
                 .heads = kHeads,
                 .hbm_slots = regime.capacity,
                 .dram_blocks = kRequests * kBlocks,
                 .eviction = policy});
  for (std::int32_t request = 0; request < kRequests; ++request) {
    cache.AddRequest(request);
    if (!cache.ReserveDram(request, kBlocks)) return state.SkipWithError("DRAM is too small");
    cache.AddSavedUnits(request, kBlocks);
  }
  PlainLru plain(regime.capacity);
  std::int64_t step = 0, num_loads = 0, plain_loads = 0;
  for (; step < kCheckedSteps; ++step) {
    stream.Apply(cache, step, num_loads);
    if (policy == "lru") plain_loads += plain.Step(stream, step);
  }
  if (policy == "lru" && num_loads != plain_loads) {
    return state.SkipWithError("loads differ from those of the plain LRU");
  }
  // All that changes is walked once, so that the steady regime has nothing left to load.
  for (; step <= kForwardSteps; ++step) stream.Apply(cache, step, num_loads);
  num_loads = 0;
  for (auto _ : state) stream.Apply(cache, step++, num_loads);

  CountTouches(state);
  state.counters["loads_per_step"] =
      benchmark::Counter(static_cast<double>(num_loads), benchmark::Counter::kAvgIterations);
  const std::int64_t touches = state.iterations() * kGroups * kHeads * kSelected;
  const bool fits = regime.capacity >= kGroups * kHeads * regime.num_candidates;
  const bool cycle_too_long = regime.capacity < kGroups * kHeads * kSelected;
  if (fits && num_loads != 0) state.SkipWithError("loads although everything fits");
  if (policy == "lru" && cycle_too_long && num_loads != touches) {
    state.SkipWithError("LRU has hits on a cycle larger than HBM");
  }
}

void BM_PlainLru(benchmark::State& state, const Regime& regime) {
  const Stream& stream = StreamOf(regime);
  PlainLru plain(regime.capacity);
  std::int64_t step = 0;
  for (; step <= kForwardSteps; ++step) plain.Step(stream, step);
  for (auto _ : state) benchmark::DoNotOptimize(plain.Step(stream, step++));
  CountTouches(state);
}

}  // namespace
}  // namespace sparseserve::kvcache

int main(int argc, char** argv) {
  using namespace sparseserve::kvcache;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::pair<const char*, const Regime*> regimes[] = {
      {"steady", &kSteady}, {"thrash", &kThrash}, {"drift", &kDrift}};
  for (const auto& [name, regime] : regimes) {
    const std::string suffix = std::string("/") + name;
    for (const std::string& policy : EvictionPolicyNames()) {
      benchmark::RegisterBenchmark((policy + suffix).c_str(), BM_KvCache, policy, *regime)
          ->Unit(benchmark::kMillisecond);
    }
    benchmark::RegisterBenchmark(("plain-lru" + suffix).c_str(), BM_PlainLru, *regime)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
}
