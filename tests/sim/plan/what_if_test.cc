#include "sim/plan/what_if.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/core/error.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::plan {
namespace {

using serving::Shipped;
using serving::SystemConfig;
using ::testing::Contains;
using ::testing::HasSubstr;

std::vector<Change> ChangesOf(const SystemConfig& base, Extent extent) {
  std::vector<std::string> left_out;
  return WhatIfs(base, extent, left_out);
}

SystemConfig Apply(const SystemConfig& base, const std::string& name) {
  for (const Change& change : ChangesOf(base, Extent::kFull)) {
    if (!change.name.starts_with(name)) continue;
    SystemConfig changed = base;
    change.apply(changed);
    return changed;
  }
  ADD_FAILURE() << "no change is called " << name;
  return base;
}

TEST(WhatIfsTest, AGigabyteOfHbmIsOneOfKvWhetherThePoolIsSetOrNot) {
  SystemConfig base = Shipped("sparseserve");
  for (const std::int64_t pool : {std::int64_t{0}, std::int64_t{4'000'000'000}}) {
    base.memory.kv_pool = Bytes(pool);
    const auto before = static_cast<double>(ComputeHbmBudget(base).kv.value());
    const auto kv = [&](const std::string& name) {
      return static_cast<double>(ComputeHbmBudget(Apply(base, name)).kv.value());
    };
    EXPECT_NEAR(kv("+1 GB of HBM"), before + 1e9, 2);
    EXPECT_NEAR(kv("+25 % of HBM"), before * 1.25, 2);
  }
}

TEST(WhatIfsTest, StepsAreThoseOfTheirNames) {
  const SystemConfig base = Shipped("sparseserve");
  const double rate = base.machine.link.h2d_bandwidth.value();
  EXPECT_NEAR(Apply(base, "+1 GB/s of host link").link_scale * rate, rate + 1e9, 1);
  EXPECT_DOUBLE_EQ(Apply(base, "+25 % of host link").link_scale, 1.25);
  EXPECT_EQ(Apply(base, "w = 13").memory.working_set_window, 13);
  EXPECT_EQ(Apply(base, "w = 15").memory.working_set_window, 15);
  EXPECT_DOUBLE_EQ(Apply(base, "-1.0 ms of host").host_overhead.value(), 0.003);
  EXPECT_EQ(Apply(base, "T_max = 4096").scheduling.max_batch_tokens, Tokens(4096));
  EXPECT_EQ(Apply(base, "R_max = 128").scheduling.max_requests, 128);
  EXPECT_EQ(Apply(base, "eviction fifo").memory.eviction, "fifo");
}

TEST(WhatIfsTest, QuestionsThatMeanNothingAreLeftOutAndSaidSo) {
  std::vector<std::string> left_out;
  const std::vector<Change> changes = WhatIfs(Shipped("vllm"), Extent::kFull, left_out);
  EXPECT_EQ(left_out.size(), 3u);
  EXPECT_THAT(left_out, Contains(HasSubstr("host link")));
  for (const Change& change : changes) EXPECT_THAT(change.name, Not(HasSubstr("eviction")));
  EXPECT_TRUE(ChangesOf(Shipped("sparseserve"), Extent::kNone).empty());
  EXPECT_LT(ChangesOf(Shipped("sparseserve"), Extent::kQuick).size(),
            ChangesOf(Shipped("sparseserve"), Extent::kFull).size());
}

// A "simulation" by hand: TTFT is 100 ms x (seed + 1), less 1 ms a GB/s of link.
metrics::Summary Fake(const SystemConfig& system, std::size_t seed) {
  if (system.scheduling.max_requests == 7) throw InputError({{}, "", "does not fit", "", ""});
  metrics::Summary s;
  s.completed = 1;
  s.ttft_ms.mean = 100 * (static_cast<double>(seed) + 1) - 10 * (system.link_scale - 1);
  s.output_throughput = 5;
  s.saturated = system.link_scale > 1 && seed == 1;
  return s;
}

TEST(RunWhatIfsTest, EffectsArePairedBySeedAndDoNotDependOnThreads) {
  const std::vector<SystemConfig> bases(3, Shipped("sparseserve"));
  const std::vector<Change> changes = {
      {"link x 2", [](SystemConfig& c) { c.link_scale = 2; }},
      {"nothing", [](SystemConfig&) {}},
      {"impossible", [](SystemConfig& c) { c.scheduling.max_requests = 7; }}};
  for (const std::int64_t threads : {1, 4}) {
    const WhatIfResult result = RunWhatIfs(bases, changes, Fake, threads);
    const auto ttft = static_cast<std::size_t>(Figure::kMeanTtft);
    EXPECT_DOUBLE_EQ(result.base[ttft]->mean, 200);
    EXPECT_FALSE(result.base_saturated);
    EXPECT_TRUE(result.seeds_differ);
    ASSERT_EQ(result.effects.size(), 3u);
    const WhatIfEffect& faster = result.effects[0];
    EXPECT_EQ(faster.name, "link x 2");
    EXPECT_NEAR(faster.changes[ttft]->mean, -10, 1e-12);
    EXPECT_NEAR(faster.changes[ttft]->high, -10, 1e-9) << "the seeds' own differences cancel";
    EXPECT_TRUE(faster.saturated);
    EXPECT_EQ(result.effects[1].changes[ttft]->high, 0);
    EXPECT_FALSE(result.effects[1].saturated);
    EXPECT_THAT(result.effects[2].failure, HasSubstr("does not fit"));
    EXPECT_FALSE(result.effects[2].changes[ttft]);
    EXPECT_FALSE(faster.changes[static_cast<std::size_t>(Figure::kMeanItl)]) << "no gaps";
    EXPECT_FALSE(faster.changes[static_cast<std::size_t>(Figure::kGoodput)]) << "no limits";
  }
}

// Three equal runs know no more than one.
TEST(RunWhatIfsTest, SeedsThatDrawNothingGiveNoInterval) {
  const std::vector<SystemConfig> bases(3, Shipped("sparseserve"));
  const RunFunction run = [](const SystemConfig& system, std::size_t) { return Fake(system, 0); };
  const WhatIfResult result =
      RunWhatIfs(bases, {{"link x 2", [](SystemConfig& c) { c.link_scale = 2; }}}, run, 2);
  EXPECT_FALSE(result.seeds_differ);
  const auto& change = result.effects[0].changes[static_cast<std::size_t>(Figure::kMeanTtft)];
  EXPECT_NEAR(change->mean, -10, 1e-12);
  EXPECT_FALSE(change->ExcludesZero());
}

TEST(RunWhatIfsTest, ABaseThatCannotRunIsAnError) {
  std::vector<SystemConfig> bases(1, Shipped("sparseserve"));
  bases[0].scheduling.max_requests = 7;
  EXPECT_THROW(RunWhatIfs(bases, {}, Fake, 2), InputError);
}

// The whole way: more of what is short helps, in simulations.
TEST(RunWhatIfsTest, AFasterLinkShortensTheGapsOfASystemThatLoads) {
  SystemConfig base = Shipped("vllm-so-ft");
  base.memory.kv_pool = Bytes(1'300'000'000);
  const std::vector<Change> changes = ChangesOf(base, Extent::kQuick);
  const auto larger = std::find_if(changes.begin(), changes.end(), [](const Change& change) {
    return change.name.starts_with("+25 % of host link");
  });
  ASSERT_NE(larger, changes.end());
  const RunFunction run = [](const SystemConfig& system, std::size_t seed) {
    SystemConfig seeded = system;
    seeded.seed += seed;
    return serving::Simulate(seeded, serving::Equal(5, 50, 6000, 16)).result.summary;
  };
  const WhatIfResult result = RunWhatIfs({base, base}, {*larger}, run, 2);
  EXPECT_LT(result.effects[0].changes[static_cast<std::size_t>(Figure::kMeanItl)]->mean, 0);
}

}  // namespace
}  // namespace sparseserve::plan
