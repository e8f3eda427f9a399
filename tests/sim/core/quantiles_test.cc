#include "sim/core/quantiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/core/rng.h"

namespace sparseserve {
namespace {

// Hyndman and Fan (1996), type 7, on a sorted sample: rank (size - 1) q, linear in between.
double SortedQuantile(std::vector<float> values, double q) {
  std::sort(values.begin(), values.end());
  const double rank = static_cast<double>(values.size() - 1) * q;
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] +
         (rank - static_cast<double>(below)) * (static_cast<double>(values[above]) - values[below]);
}

TEST(QuantilesTest, AreThoseOfTheSortedSample) {
  RandomStream random(7, "quantiles");
  for (const std::int64_t size : {1, 2, 3, 10, 101, 1000}) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < size; ++i)
      values.push_back(static_cast<float>(random.UniformInt(0, 50)));  // with ties
    for (const double q : {0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0}) {
      const double expected = SortedQuantile(values, q);
      EXPECT_NEAR(Quantile(values, q), expected, 1e-9) << size << " values, q = " << q;
    }
  }
}

// numpy.percentile([10, 20, 30, 40], [25, 50, 95]) is 17.5, 25, 38.5.
TEST(QuantilesTest, AgreeWithNumpy) {
  std::vector<float> values = {40, 10, 30, 20};
  EXPECT_DOUBLE_EQ(Quantile(values, 0.25), 17.5);
  EXPECT_DOUBLE_EQ(Quantile(values, 0.5), 25);
  EXPECT_DOUBLE_EQ(Quantile(values, 0.95), 38.5);
}

TEST(QuantilesTest, SummaryHasThePopulationDeviation) {
  std::vector<float> values = {2, 4, 4, 4, 5, 5, 7, 9};
  const SampleStatistics s = Summarize(values);
  EXPECT_DOUBLE_EQ(s.mean, 5);
  EXPECT_DOUBLE_EQ(s.std, 2);
  EXPECT_DOUBLE_EQ(s.median, 4.5);
  EXPECT_DOUBLE_EQ(s.max, 9);
  EXPECT_NEAR(s.p95, 7 + 0.65 * 2, 1e-12);
  EXPECT_NEAR(s.p99, 7 + 0.93 * 2, 1e-12);
}

TEST(QuantilesTest, RunsSayToTheLastBitWhatTheirValuesSay) {
  RandomStream random(3, "runs");
  for (const int num_runs : {1, 2, 7, 500}) {
    std::vector<float> values;
    RunLengthSample sample;
    for (int i = 0; i < num_runs; ++i) {
      const auto value = static_cast<float>(random.Uniform() * 40);
      for (std::int64_t count = random.UniformInt(1, 60); count > 0; --count) {
        values.push_back(value);
        sample.Add(value);
      }
    }
    ASSERT_EQ(sample.size(), static_cast<std::int64_t>(values.size()));
    EXPECT_LE(sample.runs().size(), static_cast<std::size_t>(num_runs));
    const SampleStatistics a = Summarize(values);
    const SampleStatistics b = Summarize(sample);
    EXPECT_EQ(a.mean, b.mean);
    EXPECT_EQ(a.std, b.std);
    EXPECT_EQ(a.median, b.median);
    EXPECT_EQ(a.p95, b.p95);
    EXPECT_EQ(a.p99, b.p99);
    EXPECT_EQ(a.max, b.max);
  }
  EXPECT_EQ(Summarize(RunLengthSample{}).max, 0);
}

TEST(QuantilesTest, AnEmptySampleIsAllZero) {
  std::vector<float> none;
  const SampleStatistics s = Summarize(none);
  EXPECT_EQ(s.mean + s.std + s.median + s.p95 + s.p99 + s.max, 0);
  EXPECT_EQ(Quantile(none, 0.5), 0);
}

TEST(QuantilesTest, ATrimmedMeanLeavesOutTheLargestTwentieth) {
  EXPECT_EQ(TrimmedMean({}), 0);
  EXPECT_EQ(TrimmedMean({3, 1, 2}), 2);  // less than twenty: all count
  std::vector<double> values(19, 1.0);
  values.insert(values.begin(), 1000.0);
  EXPECT_EQ(TrimmedMean(values), 1);
}

}  // namespace
}  // namespace sparseserve
