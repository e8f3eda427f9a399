// Facts of published traces, which do not ship with the project: put them into ../shared/traces, or
// name their folder in SPARSESERVE_TRACES.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "tests/traces/test_traces.h"
#include "traces/reader.h"
#include "traces/statistics.h"
#include "traces/transform.h"

namespace sparseserve::traces {
namespace {

std::string PathOf(const std::string& name) {
  const char* folder = std::getenv("SPARSESERVE_TRACES");
  return std::string(folder != nullptr ? folder : "../shared/traces") + "/" + name;
}

class RealTracesTest : public ::testing::Test {
 protected:
  void Require(const std::string& name) {
    path_ = PathOf(name);
    if (!std::filesystem::exists(path_)) GTEST_SKIP() << path_ << " is not there";
  }
  std::string path_;
};

TEST_F(RealTracesTest, MooncakeConversation) {
  Require("mooncake/conversation_trace.jsonl");
  if (IsSkipped()) return;
  const auto start = std::chrono::steady_clock::now();
  const auto requests = ReadAll(OpenTrace(path_));
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  RecordProperty("parse_ms", static_cast<int>(wall.count() * 1e3));
  ExpectValid(requests);
  const TraceStatistics s = Measure(*std::make_unique<VectorStream>(requests));
  EXPECT_EQ(s.num_requests, 12'031);
  EXPECT_EQ(s.last_arrival, SimTime(3'536'999'000'000));
  EXPECT_EQ(s.num_ties, 10'851);
  EXPECT_EQ(s.num_ticks, 1'180);
  EXPECT_EQ(s.largest_tick, 28);
  EXPECT_EQ(s.prompt.max, Tokens(126'195));
  EXPECT_EQ(s.prompt.p50, 6'909);
  EXPECT_NEAR(s.prompt.mean, 12'035, 0.5);
  EXPECT_NEAR(s.prompt.p99, 85'401, 1);
  EXPECT_EQ(s.output.max, Tokens(2'000));
  EXPECT_EQ(s.output.p50, 350);
  EXPECT_NEAR(s.output.mean, 343, 0.5);
  Tokens shortest = requests[0].prompt;
  for (const Request& request : requests) shortest = std::min(shortest, request.prompt);
  EXPECT_EQ(shortest, Tokens(891));
}

TEST_F(RealTracesTest, MooncakeSpreadHasNoTies) {
  Require("mooncake/conversation_trace.jsonl");
  if (IsSkipped()) return;
  const auto spread = SpreadTies(OpenTrace(path_));
  const TraceStatistics s = Measure(*spread);
  EXPECT_EQ(s.num_requests, 12'031);
  EXPECT_EQ(s.num_ties, 0);
  EXPECT_LT(s.gap_cv, Measure(*OpenTrace(path_)).gap_cv / 2);
}

TEST_F(RealTracesTest, AzureConversation) {
  Require("azure/AzureLLMInferenceTrace_conv.csv");
  if (IsSkipped()) return;
  const TraceStatistics s = Measure(*OpenTrace(path_));
  EXPECT_EQ(s.num_requests, 19'366);
  EXPECT_NEAR(s.span.value(), 3'502, 1);
  EXPECT_EQ(s.prompt.p50, 1'020);
  EXPECT_NEAR(s.prompt.mean, 1'155, 0.5);
  EXPECT_EQ(s.prompt.max, Tokens(14'050));
  EXPECT_EQ(s.output.p50, 129);
  EXPECT_NEAR(s.output.mean, 211, 0.5);
  EXPECT_EQ(s.output.max, Tokens(1'000));
}

}  // namespace
}  // namespace sparseserve::traces
