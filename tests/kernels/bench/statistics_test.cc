#include "kernels/bench/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/bench/stopping_rule.h"
#include "sim/core/rng.h"

namespace sparseserve::bench {
namespace {

// Timings of a machine that is busy with something else now and then: never faster, at times
// slower.
std::vector<double> DrawTimings(RandomStream& random, int count, double median, double spread,
                                double outlier_share) {
  std::vector<double> timings;
  for (int i = 0; i < count; ++i) {
    double time = median * (1 + spread * random.Normal(0, 1));
    if (random.Uniform() < outlier_share) time *= 5;
    timings.push_back(time);
  }
  return timings;
}

TEST(StatisticsTest, OfNothingIsZero) {
  const Summary summary = Summarize({});
  EXPECT_EQ(summary.num_samples, 0);
  EXPECT_EQ(summary.median, 0);
}

TEST(StatisticsTest, QuartilesInterpolateBetweenSamples) {
  const Summary summary = Summarize({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(summary.median, 2.5);
  EXPECT_DOUBLE_EQ(summary.lower_quartile, 1.75);
  EXPECT_DOUBLE_EQ(summary.upper_quartile, 3.25);
}

TEST(StatisticsTest, FewSamplesHaveTheirRangeAsInterval) {
  const Summary summary = Summarize({2, 9, 1});
  EXPECT_EQ(summary.median_low, 1);
  EXPECT_EQ(summary.median_high, 9);
}

// Ranks by hand: n = 25, (25 - 9.8) / 2 = 7.6 -> 7th, 1 + (25 + 9.8) / 2 = 18.4 -> 19th.
TEST(StatisticsTest, IntervalEndsAtTheBinomialRanks) {
  std::vector<double> samples;
  for (int i = 25; i >= 1; --i) samples.push_back(i);
  const Summary summary = Summarize(samples);
  EXPECT_EQ(summary.median_low, 7);
  EXPECT_EQ(summary.median_high, 19);
}

TEST(StatisticsTest, IntervalHoldsTheTrueMedianInMostRuns) {
  int hits = 0;
  constexpr int kRuns = 400;
  for (int run = 0; run < kRuns; ++run) {
    RandomStream random(7, "coverage", static_cast<std::uint64_t>(run));
    const Summary summary = Summarize(DrawTimings(random, 21, 1.0, 0.05, 0));
    hits += summary.median_low <= 1 && 1 <= summary.median_high ? 1 : 0;
  }
  EXPECT_GE(hits, kRuns * 94 / 100);  // 95 % or more by the outward rounding of the ranks
}

TEST(StatisticsTest, OutliersDoNotMoveTheMedian) {
  RandomStream random(3, "outliers");
  const Summary summary = Summarize(DrawTimings(random, 101, 1.0, 0.01, 0.2));
  EXPECT_NEAR(summary.median, 1.0, 0.01);
}

TEST(StatisticsTest, DriftComparesMediansOfRounds) {
  EXPECT_EQ(DriftOfRounds({}), 0);
  EXPECT_EQ(DriftOfRounds({{1, 1, 1}}), 0);
  EXPECT_NEAR(DriftOfRounds({{1, 1, 1}, {1.2, 1.2, 1.2}, {}}), 0.2, 1e-12);
  EXPECT_NEAR(DriftOfRounds({{1, 1, 1}, {1, 1, 50}}), 0, 1e-12);
}

TEST(StoppingRuleTest, WaitsForEnoughSamples) {
  const StoppingRule rule{5, 50, 0.02};
  EXPECT_EQ(Decide(rule, Summarize({1, 1, 1, 1}), false), Verdict::kContinue);
  EXPECT_EQ(Decide(rule, Summarize({1, 1, 1, 1, 1}), false), Verdict::kPrecise);
}

TEST(StoppingRuleTest, GivesUpWhenTimeOrPatienceIsOut) {
  const StoppingRule rule{3, 6, 0.02};
  EXPECT_EQ(Decide(rule, Summarize({1, 2, 3}), false), Verdict::kContinue);
  EXPECT_EQ(Decide(rule, Summarize({1, 2, 3}), true), Verdict::kNoisy);
  EXPECT_EQ(Decide(rule, Summarize({1, 2, 3, 1, 2, 3}), false), Verdict::kNoisy);
}

TEST(StoppingRuleTest, StopsLaterOnANoisierMachine) {
  const StoppingRule rule{7, 100000, 0.02};
  std::int64_t samples_needed[2] = {0, 0};
  for (const int noisy : {0, 1}) {
    RandomStream random(11, "noise", static_cast<std::uint64_t>(noisy));
    std::vector<double> samples;
    while (Decide(rule, Summarize(samples), false) == Verdict::kContinue) {
      samples.push_back(DrawTimings(random, 1, 1.0, noisy == 1 ? 0.2 : 0.01, 0.05).front());
    }
    samples_needed[noisy] = static_cast<std::int64_t>(samples.size());
    EXPECT_NEAR(Summarize(samples).median, 1.0, 0.05);
  }
  EXPECT_LT(samples_needed[0], 20);
  EXPECT_GT(samples_needed[1], 5 * samples_needed[0]);
}

}  // namespace
}  // namespace sparseserve::bench
