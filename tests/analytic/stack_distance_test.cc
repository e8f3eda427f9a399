// LRU by theory: stack distances give its loads at every capacity from one pass over the accesses,
// and Che's approximation its hit rate for independent random accesses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <list>

#include "sim/core/rng.h"
#include "sim/kvcache/kv_cache.h"

namespace sparseserve::kvcache {
namespace {

using Step = std::vector<Unit>;  // what one step selects, sorted

// Selects the steps one after the other, of one request with one layer, and returns the loads.
std::int64_t LoadsOfCache(const std::vector<Step>& steps, std::int64_t num_units,
                          std::int64_t slots) {
  KvCache cache({.num_layers = 1, .heads = 1, .hbm_slots = slots, .dram_blocks = num_units});
  cache.AddRequest(0);
  EXPECT_TRUE(cache.ReserveDram(0, num_units));
  cache.AddSavedUnits(0, num_units);
  std::int64_t loads = 0;
  Step before;
  for (const Step& step : steps) {
    Step added, removed;
    std::set_difference(step.begin(), step.end(), before.begin(), before.end(),
                        std::back_inserter(added));
    std::set_difference(before.begin(), before.end(), step.begin(), step.end(),
                        std::back_inserter(removed));
    cache.BeginLayer();
    cache.Select(0, 0, added, removed);
    EXPECT_TRUE(cache.LoadMisses(loads));
    before = step;
  }
  cache.Audit();
  return loads;
}

// Mattson et al. (1970): LRU keeps the first C units of one list, whatever C is. A unit found at
// position d (from 0) is a miss for every capacity up to d. The list orders units by last use;
// those that left together lie in reverse order of leaving, because the first to leave goes first.
std::vector<std::int64_t> LoadsByStackDistance(const std::vector<Step>& steps,
                                               std::int64_t num_units) {
  std::vector<std::int64_t> misses(static_cast<std::size_t>(num_units) + 1);  // by capacity
  std::vector<Unit> stack;                                                    // most recent first
  Step before;
  for (const Step& step : steps) {
    for (const Unit unit : step) {
      const auto at = std::find(stack.begin(), stack.end(), unit) - stack.begin();
      const bool never = at == static_cast<std::ptrdiff_t>(stack.size());
      for (std::size_t c = 0; c < misses.size(); ++c)
        misses[c] += never || static_cast<std::size_t>(at) >= c ? 1 : 0;
    }
    // Those that leave were last used at the step before: they lie above all others but below what
    // is selected now.
    std::vector<Unit> next(step.rbegin(), step.rend());
    Step left;
    std::set_difference(before.begin(), before.end(), step.begin(), step.end(),
                        std::back_inserter(left));
    next.insert(next.end(), left.rbegin(), left.rend());
    for (const Unit unit : stack) {
      if (std::find(next.begin(), next.end(), unit) == next.end()) next.push_back(unit);
    }
    stack = next;
    before = step;
  }
  return misses;
}

// `size` distinct units, the lower ones more often.
Step DrawStep(RandomStream& random, std::int64_t num_units, std::size_t size, double skew) {
  Step step;
  while (step.size() < size) {
    const double u = std::pow(random.Uniform(), 1 + skew);
    const auto unit = static_cast<Unit>(u * static_cast<double>(num_units));
    if (std::find(step.begin(), step.end(), unit) == step.end()) step.push_back(unit);
  }
  std::sort(step.begin(), step.end());
  return step;
}

TEST(StackDistanceTest, LruLoadsAreExactlyThoseOfTheStackDistancesAtEveryCapacity) {
  std::int64_t capacities = 0;
  for (const double skew : {0.0, 1.0, 3.0}) {
    for (const std::size_t size : {1u, 4u, 9u}) {
      RandomStream random(5, "stack distance", size);
      constexpr std::int64_t kUnits = 40;
      std::vector<Step> steps;
      for (int i = 0; i < 400; ++i) steps.push_back(DrawStep(random, kUnits, size, skew));
      const std::vector<std::int64_t> expected = LoadsByStackDistance(steps, kUnits);
      for (auto slots = static_cast<std::int64_t>(size); slots <= kUnits; ++slots, ++capacities) {
        ASSERT_EQ(LoadsOfCache(steps, kUnits, slots), expected[static_cast<std::size_t>(slots)])
            << "skew " << skew << ", " << size << " a step, " << slots << " slots";
      }
      EXPECT_TRUE(std::is_sorted(expected.rbegin(), expected.rend()));  // inclusion
    }
  }
  RecordProperty("capacities", std::to_string(capacities));
}

// Che, Tung and Wang (2002): a unit stays for a time T that is nearly the same for all, where
// sum over units of (1 - exp(-p_i T)) = capacity; it is hit with probability 1 - exp(-p_i T).
TEST(StackDistanceTest, IndependentAccessesHitAsOftenAsChesApproximationSays) {
  constexpr std::size_t kUnits = 400;
  std::vector<double> share(kUnits), cumulative(kUnits);
  double sum = 0;
  for (std::size_t i = 0; i < kUnits; ++i)
    sum += share[i] = 1 / std::pow(static_cast<double>(i + 1), 0.8);
  for (std::size_t i = 0; i < kUnits; ++i)
    cumulative[i] = (share[i] /= sum) + (i > 0 ? cumulative[i - 1] : 0);
  RandomStream random(6, "che");
  std::vector<Step> steps;
  for (int i = 0; i < 60'000; ++i) {
    const auto at = std::lower_bound(cumulative.begin(), cumulative.end() - 1, random.Uniform());
    steps.push_back({static_cast<Unit>(at - cumulative.begin())});
  }
  double worst = 0;
  for (const std::int64_t slots : {20, 80, 200}) {
    const auto occupied = [&](double t) {
      double units = 0;
      for (const double p : share) units += 1 - std::exp(-p * t);
      return units;
    };
    double low = 0, high = 1e7;
    for (int i = 0; i < 100; ++i) {
      const double middle = (low + high) / 2;
      (occupied(middle) < static_cast<double>(slots) ? low : high) = middle;
    }
    double hit = 0;
    for (const double p : share) hit += p * (1 - std::exp(-p * low));
    const double found =
        1 - static_cast<double>(LoadsOfCache(steps, kUnits, slots)) / static_cast<double>(60'000);
    EXPECT_NEAR(found, hit, 0.01) << slots << " slots";
    worst = std::max(worst, std::abs(found - hit));
  }
  RecordProperty("che_max_difference", std::to_string(worst));
}

}  // namespace
}  // namespace sparseserve::kvcache
