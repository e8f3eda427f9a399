#include "traces/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/traces/test_traces.h"

namespace sparseserve::traces {
namespace {

using ::testing::ElementsAre;

TEST(WorkloadTest, ATraceGoesThroughItsTransforms) {
  const TestFile file("arrival_s,prompt_tokens,output_tokens\n0,9,1\n0,1,9\n2,7,7\n4,1,1\n");
  Workload workload;
  workload.path = file.path();
  EXPECT_EQ(ReadAll(OpenWorkload(workload)).size(), 4U);
  workload.spread_ties = true;
  workload.speed = 2;
  workload.num_requests = 3;
  workload.max_prompt = Tokens(5);
  const auto requests = ReadAll(OpenWorkload(workload));
  ExpectValid(requests);
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(0, 500'000'000, 1'000'000'000));
  EXPECT_EQ(requests[0].prompt, Tokens(5));
  EXPECT_EQ(requests[1].output, Tokens(9));
}

TEST(WorkloadTest, EveryCallGivesTheSameRequests) {
  for (const auto source : {WorkloadSource::kLongBench, WorkloadSource::kSynthetic}) {
    Workload workload;
    workload.source = source;
    const auto first = ReadAll(OpenWorkload(workload));
    const auto second = ReadAll(OpenWorkload(workload));
    EXPECT_EQ(first.size(), 1000U);
    ExpectValid(first);
    EXPECT_EQ(ArrivalsNs(first), ArrivalsNs(second));
  }
}

TEST(WorkloadTest, NewArrivalsFollowTheirSeed) {
  Workload workload;
  workload.path = "traces/samples/mooncake.jsonl";
  workload.arrivals = {ArrivalKind::kPoisson, 3, 1};
  const auto first = ArrivalsNs(ReadAll(OpenWorkload(workload)));
  EXPECT_EQ(first, ArrivalsNs(ReadAll(OpenWorkload(workload))));
  workload.seed = 2;
  EXPECT_NE(first, ArrivalsNs(ReadAll(OpenWorkload(workload))));
}

}  // namespace
}  // namespace sparseserve::traces
