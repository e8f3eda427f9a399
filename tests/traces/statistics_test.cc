#include "traces/statistics.h"

#include <gtest/gtest.h>

#include "tests/traces/test_traces.h"
#include "traces/generator.h"

namespace sparseserve::traces {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(MeasureTest, AnEmptyStreamAndOneRequestAreAllZeroes) {
  const TraceStatistics empty = Measure(*StreamAt({}));
  EXPECT_EQ(empty.num_requests, 0);
  EXPECT_EQ(empty.prompt.mean, 0);
  const TraceStatistics one = Measure(*StreamAt({5 * kSecond}));
  EXPECT_EQ(one.num_requests, 1);
  EXPECT_EQ(one.span, Seconds(0));
  EXPECT_EQ(one.rate_per_s, 0);
  EXPECT_EQ(one.gap_cv, 0);
  EXPECT_EQ(one.largest_tick, 1);
  EXPECT_EQ(one.prompt.p99, 100);
}

TEST(MeasureTest, CountsTimesAndTies) {
  const TraceStatistics s =
      Measure(*StreamAt({kSecond, kSecond, kSecond, 3 * kSecond, 5 * kSecond}));
  EXPECT_EQ(s.first_arrival, SimTime(kSecond));
  EXPECT_EQ(s.last_arrival, SimTime(5 * kSecond));
  EXPECT_DOUBLE_EQ(s.span.value(), 4);
  EXPECT_DOUBLE_EQ(s.rate_per_s, 1);  // four gaps in four seconds
  EXPECT_EQ(s.num_ties, 2);
  EXPECT_EQ(s.num_ticks, 3);
  EXPECT_EQ(s.largest_tick, 3);
  EXPECT_DOUBLE_EQ(s.gap_cv, 1);  // gaps 0 0 2 2: mean 1, deviation 1
}

TEST(MeasureTest, LengthsByHand) {
  std::vector<Request> requests;
  for (int i = 0; i <= 100; ++i) requests.push_back({i, SimTime(i), Tokens(i + 1), Tokens(2)});
  VectorStream stream(requests);
  const TraceStatistics s = Measure(stream);
  EXPECT_EQ(s.prompt.p50, 51);
  EXPECT_EQ(s.prompt.p99, 100);
  EXPECT_EQ(s.prompt.max, Tokens(101));
  EXPECT_EQ(s.prompt.mean, 51);
  EXPECT_EQ(s.prompt.total, Tokens(5151));
  EXPECT_EQ(s.output.total, Tokens(202));
}

TEST(MeasureTest, GapCvIsThatOfTheArrivalProcess) {
  SyntheticOptions options;
  options.num_requests = 50'000;
  options.arrivals = {ArrivalKind::kGamma, 3, 2.5};
  const TraceStatistics s = Measure(*GenerateSynthetic(options));
  EXPECT_NEAR(s.gap_cv, 2.5, 0.15);
  EXPECT_NEAR(s.rate_per_s, 3, 3 * 2.5 * 5 / 223.6);  // five standard errors, cv / sqrt(n) each
}

}  // namespace
}  // namespace sparseserve::traces
