#include "sim/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/scheduler/fake_memory.h"

namespace sparseserve::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// P4: the scheduler's view has no output length, under any name that was ever thought of.
// clang-format off
template <typename T> concept KnowsOutput = requires(T t) { t.output; } || requires(T t) { t.output_tokens; } ||
    requires(T t) { t.output_length; } || requires(T t) { t.max_output; } || requires(T t) { t.remaining; };
// clang-format on
static_assert(!KnowsOutput<RequestState> && !KnowsOutput<PrefillPiece>);
static_assert(!KnowsOutput<IterationPlan>);

SchedulerConfig Config(std::int64_t max_requests, std::int64_t max_batch_tokens) {
  SchedulerConfig config;
  config.max_requests = max_requests;
  config.max_batch_tokens = Tokens(max_batch_tokens);
  return config;
}

TEST(SchedulerTest, NothingToDoIsAnEmptyPlan) {
  FakeBench bench(Config(8, 100));
  EXPECT_TRUE(bench.Step().empty());
}

TEST(SchedulerTest, RequestsAreAdmittedInOrderOfArrivalWithinMaxRequests) {
  FakeBench bench(Config(2, 100));
  for (int i = 0; i < 4; ++i) bench.Add(10);
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(0, 1));
  EXPECT_EQ(bench.scheduler.num_running(), 2);
  EXPECT_EQ(bench.scheduler.num_waiting(), 2);
  EXPECT_THAT(bench.Step().decodes, ElementsAre(0, 1));
  bench.scheduler.Finish(0);
  const IterationPlan plan = bench.Step();
  EXPECT_THAT(plan.decodes, ElementsAre(1));
  EXPECT_THAT(PrefilledBy(plan), ElementsAre(2));
}

TEST(SchedulerTest, ARequestThatDoesNotFitHoldsUpThoseBehindIt) {
  FakeBench bench(Config(8, 100));
  for (int i = 0; i < 3; ++i) bench.Add(10);
  bench.memory.admits = [](RequestIndex index) { return index != 1; };
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(0));
  bench.memory.admits = [](RequestIndex) { return true; };
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(1, 2));
}

TEST(SchedulerTest, APromptIsCutIntoChunksOfWhatDecodesLeaveOfTheBatch) {
  FakeBench bench(Config(8, 100));
  bench.Add(10);
  bench.Add(10);
  bench.Step();  // 20 tokens of prefill
  bench.Add(250);
  std::vector<std::int64_t> chunks;
  for (int i = 0; i < 3; ++i) {
    const IterationPlan plan = bench.Step();
    EXPECT_THAT(plan.decodes, ElementsAre(0, 1));
    ASSERT_EQ(plan.prefills.size(), 1u);
    chunks.push_back((plan.prefills[0].end - plan.prefills[0].begin).value());
    EXPECT_EQ(plan.prefills[0].completes, i == 2);
  }
  EXPECT_THAT(chunks, ElementsAre(98, 98, 54));
  EXPECT_THAT(bench.Step().decodes, ElementsAre(0, 1, 2));
}

TEST(SchedulerTest, WhatTheLastChunkLeavesGoesToTheNextRequest) {
  FakeBench bench(Config(8, 100));
  bench.Add(130);
  bench.Add(130);
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(0));
  const IterationPlan plan = bench.Step();
  ASSERT_EQ(plan.prefills.size(), 2u);
  EXPECT_EQ(plan.prefills[0].end, Tokens(130));
  EXPECT_EQ(plan.prefills[1].request, 1);
  EXPECT_EQ(plan.prefills[1].end, Tokens(70));
}

TEST(SchedulerTest, DecodesStayWithinMaxBatchTokensFirstAdmittedFirst) {
  FakeBench bench(Config(8, 3));
  for (int i = 0; i < 5; ++i) bench.Add(1);
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(0, 1, 2));
  const IterationPlan plan = bench.Step();
  EXPECT_THAT(plan.decodes, ElementsAre(0, 1, 2));
  EXPECT_THAT(plan.prefills, IsEmpty());  // the budget is spent
}

TEST(SchedulerTest, LayerSegmentsAreWithinTheInjectionBudgetAndCompleteWithTheLastLayer) {
  SchedulerConfig config = Config(8, 100);
  config.prefill = PrefillMode::kLayerSegmented;
  config.max_inject_token_layers = 450;
  FakeBench bench(config);
  bench.Add(200);
  IterationPlan plan = bench.Step();
  ASSERT_EQ(plan.prefills.size(), 1u);
  EXPECT_EQ(plan.prefills[0].layer_end, 2);
  EXPECT_EQ(plan.prefills[0].end, Tokens(200));
  EXPECT_THAT(bench.memory.finished_prefills, IsEmpty());
  plan = bench.Step();
  EXPECT_TRUE(plan.prefills[0].completes);
  EXPECT_THAT(bench.memory.finished_prefills, ElementsAre(0));
}

TEST(SchedulerTest, WithoutAnInjectionLimitBothModesGetTheSameWork) {
  SchedulerConfig config = Config(8, 100);  // 100 tokens x 4 layers
  config.prefill = PrefillMode::kLayerSegmented;
  FakeBench bench(config);
  bench.Add(130);
  EXPECT_EQ(bench.Step().prefills[0].TokenLayers(), 3 * 130);
}

TEST(SchedulerTest, FullMemoryPreemptsTheLatestAdmittedWhichRecomputes) {
  FakeBench bench(Config(8, 100));
  for (int i = 0; i < 3; ++i) bench.Add(20);
  bench.Step();
  bench.Step();  // two tokens each
  bench.memory.grows_decode = [&](RequestIndex index) {
    return index == 0 && bench.memory.live.count(2) == 1 ? Grow::kFull : Grow::kDone;
  };
  IterationPlan plan = bench.Step();
  EXPECT_THAT(plan.decodes, ElementsAre(0, 1));
  EXPECT_THAT(bench.scheduler.preempted(), ElementsAre(2));
  const RequestState& victim = bench.At(2);
  EXPECT_EQ(victim.stage, Stage::kWaiting);
  EXPECT_EQ(victim.generated, Tokens(2));        // delivered tokens stay delivered
  EXPECT_EQ(victim.prefill_target, Tokens(22));  // and are computed again with the prompt
  EXPECT_EQ(victim.preemptions, 1);
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDone; };
  plan = bench.Step();
  EXPECT_THAT(PrefilledBy(plan), ElementsAre(2));
  EXPECT_EQ(plan.prefills[0].end, Tokens(22));
  EXPECT_EQ(bench.At(2).generated, Tokens(3));
}

TEST(SchedulerTest, AnIterationThatPreemptsAdmitsNobodyAndTheVictimIsFirstInLine) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Add(20);
  bench.Step();
  bench.Add(20);
  bench.memory.grows_decode = [&](RequestIndex) {
    return bench.memory.live.size() > 1 ? Grow::kFull : Grow::kDone;
  };
  const IterationPlan plan = bench.Step();
  EXPECT_THAT(bench.scheduler.preempted(), ElementsAre(1));
  EXPECT_THAT(plan.prefills, IsEmpty());
  EXPECT_EQ(bench.scheduler.num_waiting(), 2);
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDone; };
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(1, 2));
}

TEST(SchedulerTest, ALateRequestThatIsFullGivesWayItself) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Add(20);
  bench.Step();
  bench.memory.grows_decode = [](RequestIndex i) { return i == 1 ? Grow::kFull : Grow::kDone; };
  EXPECT_THAT(bench.Step().decodes, ElementsAre(0));
  EXPECT_THAT(bench.scheduler.preempted(), ElementsAre(1));
}

TEST(SchedulerTest, AnInterruptedPrefillStartsFromItsFirstToken) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Step();
  bench.Add(300);
  bench.Step();
  EXPECT_EQ(bench.At(1).prefill_tokens, Tokens(99));
  bench.memory.grows_decode = [&](RequestIndex) {
    return bench.memory.live.size() > 1 ? Grow::kFull : Grow::kDone;
  };
  EXPECT_THAT(bench.Step().prefills, IsEmpty());  // its candidate chunk is dropped with it
  EXPECT_EQ(bench.At(1).prefill_tokens, Tokens(0));
  EXPECT_EQ(bench.At(1).prefill_target, Tokens(300));
}

TEST(SchedulerTest, ARequestThatOutgrowsMemoryAloneFails) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Step();
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kFull; };
  EXPECT_TRUE(bench.Step().empty());
  EXPECT_THAT(bench.scheduler.failed(), ElementsAre(0));
  EXPECT_THAT(bench.memory.live, IsEmpty());
  EXPECT_EQ(bench.scheduler.num_running() + bench.scheduler.num_waiting(), 0);
}

TEST(SchedulerTest, AWaitingRequestThatNeverFitsFailsInsteadOfBlocking) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Add(20);
  bench.memory.admits = [](RequestIndex index) { return index == 1; };
  EXPECT_THAT(PrefilledBy(bench.Step()), ElementsAre(1));
  EXPECT_THAT(bench.scheduler.failed(), ElementsAre(0));
}

TEST(SchedulerTest, ABlockedBatchWaitsWhileSavesArePending) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Add(20);
  bench.Step();
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDefer; };
  EXPECT_TRUE(bench.Step(/*saves_pending=*/true).empty());
  EXPECT_THAT(bench.scheduler.preempted(), IsEmpty());
  EXPECT_THAT(bench.scheduler.failed(), IsEmpty());
}

TEST(SchedulerTest, ABatchThatBlocksItselfIsResolvedByThoseAdmittedLast) {
  FakeBench bench(Config(8, 100));
  for (int i = 0; i < 3; ++i) bench.Add(20);
  bench.Step();
  bench.memory.admits = [](RequestIndex) { return false; };
  bench.memory.grows_decode = [&](RequestIndex) {
    return bench.memory.live.size() > 1 ? Grow::kDefer : Grow::kDone;
  };
  EXPECT_THAT(bench.Step().decodes, ElementsAre(0));
  EXPECT_THAT(bench.scheduler.preempted(), ElementsAre(2, 1));
  EXPECT_EQ(bench.scheduler.num_waiting(), 2);
}

TEST(SchedulerTest, ABatchOfOneThatIsBlockedForeverFails) {
  FakeBench bench(Config(8, 100));
  bench.Add(20);
  bench.Step();
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDefer; };
  EXPECT_TRUE(bench.Step().empty());
  EXPECT_THAT(bench.scheduler.failed(), ElementsAre(0));
}

TEST(SchedulerTest, TicketsNumberTheIterationsThatRunFromOne) {
  FakeBench bench(Config(8, 100));
  EXPECT_TRUE(bench.Step().empty());
  bench.Add(20);
  EXPECT_EQ(bench.Step().ticket, 1u);
  EXPECT_EQ(bench.Step().ticket, 2u);
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDefer; };
  EXPECT_TRUE(bench.Step(/*saves_pending=*/true).empty());
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDone; };
  EXPECT_EQ(bench.Step().ticket, 3u);
}

TEST(SchedulerTest, TheBoundOfABatchIsWhatKeptWorkOutOfIt) {
  using metrics::BatchBound;
  FakeBench bench(Config(3, 100));
  const auto bound = [&] {
    bench.Step();
    return bench.scheduler.batch_bound();
  };
  bench.Add(10);
  EXPECT_EQ(bound(), BatchBound::kRequests);
  bench.Add(150);
  EXPECT_EQ(bound(), BatchBound::kMaxBatchTokens) << "a chunk is not the whole prompt";
  EXPECT_EQ(bound(), BatchBound::kRequests);
  bench.Add(10);
  bench.Add(10);
  EXPECT_EQ(bound(), BatchBound::kMaxRequests);
  bench.Add(200);
  bench.scheduler.Finish(0);
  bench.scheduler.Finish(1);
  bench.memory.admits = [](RequestIndex) { return false; };
  EXPECT_EQ(bound(), BatchBound::kHbm);
  bench.memory.refused_by_dram = true;
  EXPECT_EQ(bound(), BatchBound::kDram);
  bench.memory.admits = [](RequestIndex) { return true; };
  bench.memory.refused_by_dram = false;
  bench.memory.grows_decode = [](RequestIndex) { return Grow::kDefer; };
  EXPECT_EQ(bound(), BatchBound::kHbm) << "memory before the budget of tokens";
}

TEST(SchedulerTest, DecodesBeyondMaxBatchTokensAreBoundByThem) {
  FakeBench bench(Config(8, 3));
  for (int i = 0; i < 3; ++i) bench.Add(1);
  bench.Step();
  bench.Step();
  EXPECT_EQ(bench.scheduler.batch_bound(), metrics::BatchBound::kRequests);
  bench.Add(1);
  bench.Step();
  EXPECT_EQ(bench.scheduler.batch_bound(), metrics::BatchBound::kMaxBatchTokens);
}

}  // namespace
}  // namespace sparseserve::scheduler
