#include "sim/serving/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(EngineTest, AnEmptyTraceIsAnInputError) {
  EXPECT_THAT(ErrorOf([] { Simulate(Shipped("vllm"), {}); }), HasSubstr("no request"));
}

TEST(EngineTest, AnUnknownRouterIsAnInputErrorThatNamesTheKnownOnes) {
  EXPECT_EQ(
      ErrorOf([] { MakeRouter("random", 1); }),
      "router: unknown router 'random'; expected one of round-robin, least-loaded, central-queue");
}

TEST(EngineTest, ProgressCountsFinishedRequests) {
  RunOptions options;
  std::vector<std::int64_t> reported;
  options.progress = [&](std::int64_t finished) { reported.push_back(finished); };
  Simulate(Shipped("vllm"), Equal(5, 1000, 500, 3), options);
  EXPECT_EQ(reported, (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
}

TEST(EngineTest, IterationsOfAReplicaFollowEachOtherAndCarryItsNumber) {
  class Check : public metrics::IterationSink {
   public:
    void OnIteration(const metrics::IterationRecord& r) override {
      const auto i = static_cast<std::size_t>(r.replica);
      ASSERT_LT(i, 2u);
      EXPECT_EQ(r.index, next_[i]++);
      EXPECT_GE(r.begin, end_[i]);
      EXPECT_GT(r.end, r.begin);
      end_[i] = r.end;
    }
    std::int64_t next_[2] = {};
    SimTime end_[2];
  } sink;
  SystemConfig config = Shipped("vllm");
  config.replicas = 2;
  const Outcome run = Simulate(config, Equal(6, 10, 3000, 5), {}, &sink);
  EXPECT_EQ(sink.next_[0] + sink.next_[1], run.result.summary.totals.iterations);
  EXPECT_GT(sink.next_[1], 0);
}

TEST(EngineTest, ARequestThatOutgrowsMemoryFailsAndTheOthersFinish) {
  SystemConfig config = Shipped("vllm");
  config.memory.kv_pool = Bytes(128 * 1024 * 2000);  // 2000 tokens
  Requests requests = Equal(3, 0, 500, 50);
  requests[1].output = Tokens(5000);
  const Outcome run = Simulate(config, requests);
  EXPECT_EQ(run.result.summary.completed, 2);
  EXPECT_EQ(run.result.summary.failed, 1);
  EXPECT_TRUE(run.records[1].failed);
}

TEST(EngineTest, APromptThatNeverFitsIsAnErrorBeforeTheRun) {
  SystemConfig config = Shipped("vllm");
  config.memory.kv_pool = Bytes(128 * 1024 * 2000);
  FixedStream stream(Equal(3, 0, 2500, 50));
  const WorkloadBounds bounds = ScanWorkload(stream);
  EXPECT_EQ(bounds.num_requests, 3);
  EXPECT_EQ(bounds.longest_prompt, Tokens(2500));
  EXPECT_THAT(ErrorOf([&] { CheckFeasible(config, bounds); }),
              HasSubstr("request 0 of 2500 prompt tokens can never be served by vllm"));
  config.memory.kv_pool = Bytes(128 * 1024 * 2600);
  EXPECT_EQ(ErrorOf([&] { CheckFeasible(config, bounds); }), "no error");
}

TEST(EngineTest, APromptBeyondTheContextOfTheModelIsAnError) {
  SystemConfig config = Shipped("vllm");
  config.model.max_context_tokens = 2499;
  FixedStream stream(Equal(3, 0, 2500, 50));
  const WorkloadBounds bounds = ScanWorkload(stream);
  EXPECT_THAT(ErrorOf([&] { CheckFeasible(config, bounds); }),
              HasSubstr("exceeds the model's context of 2499 tokens"));
  config.model.max_context_tokens = 2500;
  EXPECT_EQ(ErrorOf([&] { CheckFeasible(config, bounds); }), "no error");
}

TEST(EngineTest, MoreKvThanThereIsIsAnErrorThatNamesTheSum) {
  SystemConfig config = Shipped("vllm");
  config.memory.kv_pool = Bytes(70'000'000'000);
  EXPECT_THAT(ErrorOf([&] { ComputeHbmBudget(config); }), HasSubstr("memory.kv_pool"));
  config.memory.kv_pool = Bytes(0);
  config.machine.gpu.hbm_capacity = Bytes(16'000'000'000);
  EXPECT_THAT(ErrorOf([&] { ComputeHbmBudget(config); }), HasSubstr("weights"));
}

}  // namespace
}  // namespace sparseserve::serving
