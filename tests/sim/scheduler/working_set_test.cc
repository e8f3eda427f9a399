// Algorithm 1 of SparseServe (arXiv 2509.24626) with needs made by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/scheduler/fake_memory.h"

namespace sparseserve::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

SchedulerConfig Controlled() {
  SchedulerConfig config;
  config.max_requests = 16;
  config.max_batch_tokens = Tokens(100);
  config.working_set_control = true;
  return config;
}

// As many decodes as there are needs, and all of them ready to run.
class WorkingSetTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::int64_t>& needs) {
    bench_.memory.available = 1'000'000;
    for (std::size_t i = 0; i < needs.size(); ++i) bench_.Add(2);
    bench_.Step();
    for (std::size_t i = 0; i < needs.size(); ++i)
      bench_.memory.needs[static_cast<RequestIndex>(i)] = needs[i];
  }

  FakeBench bench_{Controlled()};
};

TEST_F(WorkingSetTest, CandidatesAreAcceptedInOrderWhileTheirSumFits) {
  Start({40, 30, 30, 1});
  bench_.memory.available = 100;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0, 1, 2));
}

TEST_F(WorkingSetTest, ACandidateThatDoesNotFitIsSkippedAndSmallerOnesBehindItRun) {
  Start({40, 70, 30, 40, 30});
  bench_.memory.available = 100;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0, 2, 4));  // 40, (110), 70, (110), 100
}

TEST_F(WorkingSetTest, TheFirstIsAcceptedWhateverItNeeds) {
  Start({500, 1, 0});
  bench_.memory.available = 100;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0));
}

TEST_F(WorkingSetTest, ASkippedRequestKeepsItsStateAndRunsWhenThereIsRoom) {
  Start({60, 60});
  bench_.memory.available = 100;
  const Tokens before = bench_.At(1).generated;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0));
  EXPECT_EQ(bench_.scheduler.batch_bound(), metrics::BatchBound::kWorkingSet);
  EXPECT_EQ(bench_.At(1).generated, before);
  EXPECT_EQ(bench_.At(1).stage, Stage::kDecode);
  EXPECT_THAT(bench_.scheduler.preempted(), IsEmpty());
  EXPECT_EQ(bench_.scheduler.num_running(), 2);
  bench_.memory.available = 120;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0, 1));
}

TEST_F(WorkingSetTest, WhatPrefillsInProgressHoldIsTakenAlready) {
  Start({40, 40});
  bench_.memory.available = 100;
  bench_.memory.held = 20;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0, 1));
  bench_.memory.held = 21;
  EXPECT_THAT(bench_.Step().decodes, ElementsAre(0));
}

TEST_F(WorkingSetTest, PrefillsCountAfterDecodesAndASkippedOneIsNotAdmitted) {
  Start({60});
  bench_.memory.available = 100;
  const RequestIndex large = bench_.Add(10);
  const RequestIndex small = bench_.Add(10);
  bench_.memory.needs[large] = 50;
  bench_.memory.needs[small] = 40;
  const IterationPlan plan = bench_.Step();
  EXPECT_THAT(plan.decodes, ElementsAre(0));
  EXPECT_THAT(PrefilledBy(plan), ElementsAre(small));
  EXPECT_EQ(bench_.At(large).stage, Stage::kWaiting);
  EXPECT_EQ(bench_.memory.live.count(large), 0u);
}

TEST(WorkingSetControlTest, WithoutControlNeedsAreIgnored) {
  SchedulerConfig config = Controlled();
  config.working_set_control = false;
  FakeBench bench(config);
  for (int i = 0; i < 3; ++i) bench.memory.needs[bench.Add(2)] = 1000;
  bench.Step();
  EXPECT_THAT(bench.Step().decodes, ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace sparseserve::scheduler
