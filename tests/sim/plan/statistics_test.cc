#include "sim/plan/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "sim/core/rng.h"

namespace sparseserve::plan {
namespace {

// n values with mean 0 and standard error 1 (an alternating sign of the right size), so that the
// upper end of the interval is the t quantile itself. REQUIRES: even n.
std::vector<double> UnitErrorSamples(int count) {
  std::vector<double> samples;
  const double size = std::sqrt(static_cast<double>(count) - 1);
  for (int i = 0; i < count; ++i) samples.push_back(i % 2 == 0 ? size : -size);
  return samples;
}

TEST(StatisticsTest, OneDegreeOfFreedomIsTheCauchyDistribution) {
  for (const double confidence : {0.5, 0.9, 0.95, 0.99}) {
    const Interval interval = MeanInterval(UnitErrorSamples(2), confidence);
    const double expected = std::tan(std::numbers::pi * confidence / 2);
    EXPECT_NEAR(interval.high, expected, 1e-12 * expected) << confidence;
    EXPECT_NEAR(interval.low, -expected, 1e-12 * expected) << confidence;
  }
}

// Quantiles of the t table (e.g. NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, in
// more digits): two-sided 95 % and 99 %.
TEST(StatisticsTest, QuantilesAreThoseOfTheTables) {
  struct Row {
    int samples;
    double confidence, t;
  };
  for (const Row& row :
       {Row{4, 0.95, 3.182446305}, Row{6, 0.95, 2.570581836}, Row{10, 0.95, 2.262157163},
        Row{6, 0.99, 4.032142984}, Row{10, 0.90, 1.833112933}, Row{1000, 0.95, 1.962341461}}) {
    const Interval interval = MeanInterval(UnitErrorSamples(row.samples), row.confidence);
    EXPECT_NEAR(interval.high, row.t, 1e-8) << row.samples << " samples, " << row.confidence;
    EXPECT_NEAR(interval.mean, 0, 1e-12);
  }
}

// Three samples, by hand: {1, 5, 6} has mean 4 and s^2 = (9 + 1 + 4) / 2 = 7; with two degrees of
// freedom the quantile has the closed form t = c sqrt(2 / (1 - c^2)) for confidence c.
TEST(StatisticsTest, ThreeSamplesByHand) {
  const std::vector<double> samples = {1, 5, 6};
  const double t = 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95));
  const Interval interval = MeanInterval(samples);
  EXPECT_DOUBLE_EQ(interval.mean, 4);
  EXPECT_NEAR(interval.high - 4, t * std::sqrt(7.0 / 3), 1e-10);
  EXPECT_NEAR(4 - interval.low, t * std::sqrt(7.0 / 3), 1e-10);
  EXPECT_FALSE(interval.ExcludesZero());
}

TEST(StatisticsTest, FewerThanTwoSamplesSayNothingAboutTheSpread) {
  const std::vector<double> one = {3};
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(MeanInterval(one).mean, 3);
  EXPECT_EQ(MeanInterval(one).low, -infinity);
  EXPECT_EQ(MeanInterval(one).high, infinity);
  EXPECT_FALSE(MeanInterval(one).ExcludesZero());
  EXPECT_EQ(MeanInterval({}).mean, 0);
  EXPECT_EQ(PairedDifference(one, one).high, infinity);
}

TEST(StatisticsTest, PairsCancelWhatTheirSeedsShare) {
  // Large differences between seeds, a small and steady one between the two systems.
  const std::vector<double> base = {10, 200, 3000};
  const std::vector<double> other = {11.0, 201.1, 3000.9};
  const Interval paired = PairedDifference(base, other);
  EXPECT_NEAR(paired.mean, 1.0, 1e-12);
  EXPECT_TRUE(paired.ExcludesZero());
  EXPECT_NEAR(paired.high - paired.mean, 4.302652730 * 0.1 / std::sqrt(3), 1e-8);
  EXPECT_GT(MeanInterval(other).high - MeanInterval(other).low, 1000);
  const Interval reversed = PairedDifference(other, base);
  EXPECT_DOUBLE_EQ(reversed.low, -paired.high);
  EXPECT_TRUE(reversed.ExcludesZero());
}

TEST(StatisticsTest, EqualSamplesHaveAnIntervalOfNoWidth) {
  const std::vector<double> samples = {0.25, 0.25, 0.25};
  const Interval interval = MeanInterval(samples);
  EXPECT_EQ(interval.low, 0.25);
  EXPECT_EQ(interval.high, 0.25);
  EXPECT_FALSE(PairedDifference(samples, samples).ExcludesZero());
}

// The promise of the name: of intervals of 95 % about 95 % cover the true mean. Sums of twelve
// uniform numbers are normal to a few per mille; 4000 trials have a standard error of 0.35 %.
TEST(StatisticsTest, IntervalsCoverTheTrueMeanAsOftenAsTheySay) {
  RandomStream random(11, "coverage");
  int covered = 0;
  constexpr int kTrials = 4000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> samples(4);
    for (double& sample : samples) {
      sample = 7;
      for (int i = 0; i < 12; ++i) sample += random.Uniform() - 0.5;
    }
    const Interval interval = MeanInterval(samples);
    if (interval.low <= 7 && 7 <= interval.high) ++covered;
  }
  EXPECT_NEAR(covered / static_cast<double>(kTrials), 0.95, 0.015);
}

}  // namespace
}  // namespace sparseserve::plan
