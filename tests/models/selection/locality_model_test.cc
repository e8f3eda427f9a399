#include "models/selection/locality_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "sim/core/error.h"
#include "sim/core/hash.h"

namespace sparseserve::selection {
namespace {

constexpr std::int64_t kLayers = 3;
constexpr std::int64_t kHeads = 4;

SelectionPolicy SmallPolicy() {
  SelectionPolicy policy;
  policy.budget_tokens = Tokens(32 * 16);  // 16 blocks: 2 sinks, 2 recent, 12 dynamic
  return policy;
}

// Steps a request and keeps its selection as sets; fails when a delta contradicts them.
class Follower {
 public:
  Follower(LocalityModel& model, RequestIndex request, std::uint64_t key, std::int64_t prompt)
      : model_(model), request_(request), selected_(kLayers) {
    model.BeginRequest(request, key, prompt);
  }

  void Step(std::int64_t context, std::int64_t layer) {
    SelectionDelta delta;
    model_.Step(request_, layer, context, delta);
    for (const Unit unit : delta.removed)
      ASSERT_EQ(selected_[layer].erase(unit), 1U) << "left but was not selected: " << unit;
    for (const Unit unit : delta.added) {
      ASSERT_TRUE(selected_[layer].insert(unit).second) << "joined twice: " << unit;
      ASSERT_LT(unit, context * kHeads);
    }
    history_ = HashCombine(history_, HashCombine(delta.added.size(), delta.removed.size()));
    for (const Unit unit : delta.added) history_ = HashCombine(history_, unit);
  }
  void StepAll(std::int64_t context) {
    for (std::int64_t layer = 0; layer < kLayers; ++layer) Step(context, layer);
  }

  std::set<std::int64_t> BlocksOf(std::int64_t layer, std::int64_t head) const {
    std::set<std::int64_t> blocks;
    for (const Unit unit : selected_[layer])
      if (unit % kHeads == head) blocks.insert(unit / kHeads);
    return blocks;
  }
  std::uint64_t history() const { return history_; }

 private:
  LocalityModel& model_;
  RequestIndex request_;
  std::vector<std::set<Unit>> selected_;
  std::uint64_t history_ = 0;
};

void ExpectInvariants(const Follower& follower, const SelectionPolicy& policy,
                      std::int64_t context) {
  for (std::int64_t layer = 0; layer < kLayers; ++layer)
    for (std::int64_t head = 0; head < kHeads; ++head) {
      const std::set<std::int64_t> blocks = follower.BlocksOf(layer, head);
      const bool dense = layer < policy.dense_layers;
      ASSERT_EQ(std::ssize(blocks), dense ? context : SelectedBlocks(policy, context));
      for (std::int64_t i = 0; i < std::min(policy.sink_blocks, context); ++i)
        ASSERT_TRUE(blocks.contains(i)) << "sink " << i;
      for (std::int64_t i = std::max<std::int64_t>(0, context - policy.recent_blocks); i < context;
           ++i)
        ASSERT_TRUE(blocks.contains(i)) << "recent " << i << " of " << context;
    }
}

// Property: any growth, from any prompt, under any policy.
TEST(LocalityModelTest, SelectsTheBudgetWithSinksAndRecentBlocksAtEveryStep) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CounterRng rng(seed);
    SelectionPolicy policy = SmallPolicy();
    policy.sink_blocks = rng.Below(4);
    policy.recent_blocks = 1 + rng.Below(3);
    policy.dense_layers = rng.Below(3);
    policy.reuse_interval = 1 + rng.Below(3);
    LocalityConfig config = LocalityPreset(seed % 2 ? "flat-tail" : "shadowkv-60");
    config.skew = 0.1 * rng.Below(10);
    config.per_layer_variation = 0.1 * rng.Below(6);
    config.seed = seed;
    LocalityModel model(policy, config, kLayers, kHeads);
    std::int64_t context = 1 + rng.Below(40);
    const std::uint32_t largest_jump = 1 + rng.Below(5);
    Follower follower(model, 0, seed, context);
    for (int step = 0; step < 200; ++step) {
      follower.StepAll(context);
      ASSERT_NO_FATAL_FAILURE(ExpectInvariants(follower, policy, context));
      if (rng.Below(3) == 0) context += 1 + rng.Below(largest_jump);
    }
  }
}

TEST(LocalityModelTest, WithinTheBudgetOnlyNewBlocksJoin) {
  LocalityModel model(SmallPolicy(), {}, kLayers, kHeads);
  model.BeginRequest(0, 1, 10);
  SelectionDelta delta;
  model.Step(0, 0, 10, delta);
  EXPECT_EQ(delta.added.size(), 10U * kHeads);
  delta.Clear();
  model.Step(0, 0, 11, delta);
  EXPECT_THAT(delta.added, testing::ElementsAre(40, 41, 42, 43));
  EXPECT_TRUE(delta.removed.empty());
}

TEST(LocalityModelTest, CrossingTheBudgetDropsTheBlockThatLeavesTheRecentWindow) {
  LocalityModel model(SmallPolicy(), {}, kLayers, 1);
  model.BeginRequest(0, 1, 16);
  SelectionDelta delta;
  model.Step(0, 0, 16, delta);
  delta.Clear();
  model.Step(0, 0, 17, delta);
  EXPECT_THAT(delta.added, testing::ElementsAre(16));
  EXPECT_THAT(delta.removed, testing::ElementsAre(14));
}

TEST(LocalityModelTest, AppendsToTheDelta) {
  LocalityModel model(SmallPolicy(), {}, kLayers, kHeads);
  model.BeginRequest(0, 1, 100);
  SelectionDelta delta;
  delta.added = {7};
  delta.removed = {8};
  model.Step(0, 0, 100, delta);
  EXPECT_EQ(delta.added.front(), 7U);
  EXPECT_EQ(delta.added.size(), 1 + 16U * kHeads);
  EXPECT_THAT(delta.removed, testing::ElementsAre(8));
}

TEST(LocalityModelTest, ReuseIntervalKeepsTheChoice) {
  SelectionPolicy policy = SmallPolicy();
  policy.reuse_interval = 4;
  LocalityModel model(policy, {}, kLayers, kHeads);
  model.BeginRequest(0, 1, 100);
  SelectionDelta delta;
  model.Step(0, 0, 100, delta);
  for (int step = 1; step < 40; ++step) {
    delta.Clear();
    model.Step(0, 0, 100, delta);
    EXPECT_EQ(delta.added.empty(), step % 4 != 0) << step;
  }
}

// A request's selection is a function of its key and its own steps: neither index, nor other
// requests, nor the order of layers matter.
TEST(LocalityModelTest, IsPure) {
  const auto run = [](RequestIndex index, std::uint64_t key, std::uint64_t seed, bool crowd) {
    LocalityConfig config;
    config.seed = seed;
    LocalityModel model(SmallPolicy(), config, kLayers, kHeads);
    Follower subject(model, index, key, 90);
    Follower other(model, index + 1, 999, 50);
    for (int step = 0; step < 50; ++step) {
      if (crowd) other.StepAll(50 + step);
      subject.StepAll(90 + step / 5);
    }
    return subject.history();
  };
  const std::uint64_t reference = run(0, 42, 1, false);
  EXPECT_EQ(run(5, 42, 1, true), reference);
  EXPECT_NE(run(0, 43, 1, false), reference);
  EXPECT_NE(run(0, 42, 2, false), reference);
}

TEST(LocalityModelTest, LayersAreIndependentOfTheOrderInWhichTheyAreAsked) {
  LocalityModel model(SmallPolicy(), {}, kLayers, kHeads);
  Follower forward(model, 0, 42, 90), backward(model, 1, 42, 90);
  for (int step = 0; step < 30; ++step) {
    forward.StepAll(90 + step);
    for (std::int64_t layer = kLayers; layer-- > 0;) backward.Step(90 + step, layer);
  }
  for (std::int64_t layer = 0; layer < kLayers; ++layer)
    for (std::int64_t head = 0; head < kHeads; ++head)
      EXPECT_EQ(forward.BlocksOf(layer, head), backward.BlocksOf(layer, head));
  EXPECT_NE(forward.BlocksOf(0, 0), forward.BlocksOf(0, 1));
  EXPECT_NE(forward.BlocksOf(0, 0), forward.BlocksOf(1, 0));
}

TEST(LocalityModelTest, AnIndexIsReusedWithoutATrace) {
  LocalityModel model(SmallPolicy(), {}, kLayers, kHeads);
  std::uint64_t history[2];
  for (std::uint64_t& h : history) {
    Follower follower(model, 0, 42, 90);
    for (int step = 0; step < 20; ++step) follower.StepAll(90 + step);
    h = follower.history();
    model.EndRequest(0);
  }
  EXPECT_EQ(history[0], history[1]);
}

// Fingerprint: equal on every compiler and libm, since drawing is integer arithmetic and the tables
// use products, square roots and logarithms cut off to some twenty bits. Changes with the
// algorithm, and only with it.
TEST(LocalityModelTest, FingerprintOfASkewedVariedRun) {
  LocalityConfig config;
  config.skew = 0.37;
  config.per_layer_variation = 0.3;
  LocalityModel model(SmallPolicy(), config, kLayers, kHeads);
  Follower follower(model, 0, 42, 300);
  for (int step = 0; step < 100; ++step) follower.StepAll(300 + step / 7);
  EXPECT_EQ(follower.history(), 3794331327706930362ULL);
}

TEST(LocalityModelTest, MemoryIsAFewBytesPerUnit) {
  LocalityModel model(SelectionPolicy{}, {}, 32, 32);
  model.BeginRequest(0, 1, 1024);
  SelectionDelta delta;
  for (std::int64_t layer = 0; layer < 32; ++layer) model.Step(0, layer, 1024, delta);
  EXPECT_LT(static_cast<double>(model.RequestBytes(0)) / (32 * 32 * 1024), 2.0);
}

TEST(LocalityModelTest, RejectsConfigurationsThatCannotBe) {
  const auto make = [](const SelectionPolicy& policy, const LocalityConfig& config) {
    LocalityModel model(policy, config, kLayers, kHeads);
  };
  LocalityConfig config;
  config.overlap = {{1, 0.2}};  // 4 of 16 blocks are always selected
  EXPECT_THROW(make(SmallPolicy(), config), InputError);
  config = {};
  config.per_layer_variation = 1.5;
  EXPECT_THROW(make(SmallPolicy(), config), InputError);
  config = {};
  config.skew = 2;
  EXPECT_THROW(make(SmallPolicy(), config), InputError);
  SelectionPolicy policy = SmallPolicy();
  policy.recent_blocks = 0;
  EXPECT_THROW(make(policy, {}), InputError);
  EXPECT_THROW(LocalityPreset("flat"), InputError);
  LocalityModel model(SmallPolicy(), {}, kLayers, kHeads);
  model.BeginRequest(0, 1, 1);
  SelectionDelta delta;
  EXPECT_THROW(model.Step(0, 0, std::int64_t{1} << 31, delta), InputError);
}

}  // namespace
}  // namespace sparseserve::selection
