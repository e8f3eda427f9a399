#include "sim/report/html_series.h"

#include <gmock/gmock.h>

#include <fstream>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/temporary_directory.h"

namespace sparseserve::report {
namespace {

constexpr std::int64_t kMs = 1'000'000;

TimeSeries::Iteration Iteration(std::int64_t begin_ns, std::int64_t end_ns, double batch,
                                double h2d_bytes = 0) {
  TimeSeries::Iteration iteration;
  iteration.begin_ns = begin_ns;
  iteration.end_ns = end_ns;
  iteration.gauges[static_cast<std::size_t>(Gauge::kBatch)] = batch;
  iteration.amounts[static_cast<std::size_t>(Amount::kH2dBytes)] = h2d_bytes;
  iteration.amounts[static_cast<std::size_t>(Amount::kIteration)] =
      1e-9 * static_cast<double>(end_ns - begin_ns);
  return iteration;
}

double Total(const TimeSeries& series, Amount amount) {
  double total = 0;
  for (const SeriesBucket& bucket : series.buckets()) total += bucket[amount];
  return total;
}

double Area(const TimeSeries& series) {
  double area = 0;
  for (const SeriesBucket& bucket : series.buckets()) area += bucket[Gauge::kBatch].area;
  return area;
}

TEST(TimeSeriesTest, AnIterationIsSpreadOverItsTime) {
  TimeSeries series;
  series.Add(Iteration(kMs / 2, 2 * kMs, 4, 300));
  ASSERT_EQ(series.buckets().size(), 2u);
  EXPECT_DOUBLE_EQ(series.buckets()[0][Amount::kH2dBytes], 100);
  EXPECT_DOUBLE_EQ(series.buckets()[1][Amount::kH2dBytes], 200);
  EXPECT_DOUBLE_EQ(series.buckets()[0][Gauge::kBatch].area, 4 * 0.0005);
  EXPECT_DOUBLE_EQ(series.buckets()[1][Gauge::kBatch].area, 4 * 0.001);
}

TEST(TimeSeriesTest, AnEndOnABoundaryOpensNoBucket) {
  TimeSeries series;
  series.Add(Iteration(0, kMs, 1));
  EXPECT_EQ(series.buckets().size(), 1u);
}

TEST(TimeSeriesTest, LowAndHighAreThoseOfIterations) {
  TimeSeries series;
  series.Add(Iteration(0, 1000, 5));
  series.Add(Iteration(1000, 2000, 2));
  series.Add(Iteration(2000, 3000, 9));
  EXPECT_EQ(series.buckets()[0][Gauge::kBatch].low, 2);
  EXPECT_EQ(series.buckets()[0][Gauge::kBatch].high, 9);
}

TEST(TimeSeriesTest, TheLastBucketIsCoveredToTheEnd) {
  TimeSeries series;
  series.Add(Iteration(0, 5 * kMs / 4, 1));
  EXPECT_DOUBLE_EQ(series.covered_s(0), 0.001);
  EXPECT_DOUBLE_EQ(series.covered_s(1), 0.00025);
}

TEST(TimeSeriesTest, AnIterationWithoutDurationCounts) {
  TimeSeries series;
  series.Add(Iteration(3 * kMs, 3 * kMs, 7, 11));
  EXPECT_EQ(series.buckets().back()[Amount::kH2dBytes], 11);
  EXPECT_EQ(series.buckets().back()[Gauge::kBatch].high, 7);
}

// Whatever the run, sums stay, extremes stay and the number of buckets is bounded.
TEST(TimeSeriesTest, NothingIsLostWhenBucketsMerge) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    RandomStream random(seed, "series");
    TimeSeries series;
    double bytes = 0, area = 0, low = 1e9, high = 0;
    std::int64_t now = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::int64_t begin = now + static_cast<std::int64_t>(random.Uniform() * 1e9);
      now = begin + static_cast<std::int64_t>(random.Uniform() * 1e9);
      const double batch = 1 + 100 * random.Uniform();
      series.Add(Iteration(begin, now, batch, 100 * batch));
      bytes += 100 * batch;
      area += batch * 1e-9 * static_cast<double>(now - begin);
      low = std::min(low, batch);
      high = std::max(high, batch);
    }
    EXPECT_NEAR(Total(series, Amount::kH2dBytes), bytes, 1e-9 * bytes) << seed;
    EXPECT_NEAR(Area(series), area, 1e-9 * area) << seed;
    const auto& buckets = series.buckets();
    EXPECT_LE(buckets.size(), TimeSeries::kMaxBuckets) << seed;
    EXPECT_GT(buckets.size(), TimeSeries::kMaxBuckets / 2 - 1) << seed;
    double least = 1e9, most = 0, covered = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      covered += series.covered_s(i);
      if (!buckets[i].has_iterations) continue;
      least = std::min(least, buckets[i][Gauge::kBatch].low);
      most = std::max(most, buckets[i][Gauge::kBatch].high);
    }
    EXPECT_EQ(least, low) << seed;
    EXPECT_EQ(most, high) << seed;
    EXPECT_NEAR(covered, 1e-9 * static_cast<double>(now), 1e-6) << seed;
  }
}

constexpr const char* kHeader =
    "iteration,replica,begin_s,end_s,num_decodes,num_prefills,num_waiting,compute_s,attention_s,"
    "load_stall_s,save_stall_s,host_s,block_loads,block_touches,h2d_bytes,d2h_bytes,hbm_used_bytes,"
    "dram_used_bytes,h2d_busy_s\n";

TEST(ReadTimeSeriesTest, ColumnsMeanWhatTheirNamesSay) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "iterations.csv";
  std::ofstream(path) << kHeader
                      << "0,0,0,0.0005,3,1,7,0.0001,0.0002,0.00003,0.00004,0.00005,6,8,100,200,"
                         "1000,2000,0.0004\n";
  const SeriesBucket bucket = ReadTimeSeries(path).buckets().at(0);
  EXPECT_EQ(bucket[Gauge::kBatch].high, 4);
  EXPECT_EQ(bucket[Gauge::kQueue].high, 7);
  EXPECT_EQ(bucket[Gauge::kHbmBytes].high, 1000);
  EXPECT_EQ(bucket[Gauge::kDramBytes].high, 2000);
  const std::array<double, kNumAmounts> expected = {
      0.0001, 0.0002, 0.00003, 0.00004, 0.00005, 0.0005, 6, 8, 100, 200, 0.0004};
  for (std::size_t i = 0; i < kNumAmounts; ++i)
    EXPECT_NEAR(bucket.amounts[i], expected[i], 1e-12) << i;
}

TEST(ReadTimeSeriesTest, ABadCellIsNamed) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "iterations.csv";
  std::ofstream(path) << kHeader << "0,0,0,1,3,1,-7,0,0,0,0,0,0,0,0,0,0,0,0\n";
  EXPECT_THAT([&] { ReadTimeSeries(path); },
              ::testing::ThrowsMessage<InputError>(
                  ::testing::AllOf(::testing::HasSubstr("iterations.csv:2: num_waiting: '-7'"))));
}

}  // namespace
}  // namespace sparseserve::report
