#include "calibration/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "sim/core/rng.h"

namespace sparseserve::calibration {
namespace {

using Law = std::function<double(double items, double item_bytes)>;

const std::vector<std::int64_t> kItems = {1, 4, 16, 64, 256, 1024};
const std::vector<std::int64_t> kItemBytes = {4096, 8192, 16384, 24576, 28672, 32768, 65536};

Measurement Point(std::string operation, std::int64_t items, std::int64_t item_bytes,
                  double seconds) {
  Measurement point;
  point.operation = std::move(operation);
  point.work = Work::Fragments(items, Bytes(item_bytes));
  point.median = point.lower_quartile = point.upper_quartile = Seconds(seconds);
  return point;
}

// The law on a rectangle, each time off by a factor with this standard deviation.
Points Measure(const Law& law, double noise = 0, std::uint64_t seed = 1,
               const std::string& operation = "h2d.flash") {
  RandomStream random(seed, "noise");
  Points points;
  for (const std::int64_t n : kItems) {
    for (const std::int64_t s : kItemBytes) {
      const double exact = law(static_cast<double>(n), static_cast<double>(s));
      points.push_back(Point(operation, n, s, exact * (1 + random.Normal(0, noise))));
    }
  }
  return points;
}

double LinearLaw(double n, double s) { return 10e-6 + n * 2e-6 + n * s / 20e9; }
// Few blocks take as long as many: a launch that fills the device.
double PlateauLaw(double n, double s) { return std::max(40e-6, n * s / 20e9); }
// A batch copy that is 6 GB/s up to 24 KiB and 50 GB/s above (vLLM #42212), made monotone.
double CliffLaw(double n, double s) {
  return 5e-6 + (s <= 24576 ? n * s / 6e9 : std::max(n * 24576 / 6e9, n * s / 50e9));
}
// Tiles of 64 items.
double StepLaw(double n, double s) { return 5e-6 + std::ceil(n / 64) * 64 * s / 20e9; }

// Brute force: the best of all subsets of columns whose least-squares solution is not negative, by
// the normal equations.
double LeastResidual(const std::vector<std::vector<double>>& rows, const std::vector<double>& b) {
  const std::size_t n = rows[0].size();
  double least = INFINITY;
  for (unsigned subset = 0; subset < (1u << n); ++subset) {
    std::vector<std::size_t> columns;
    for (std::size_t j = 0; j < n; ++j) {
      if (subset >> j & 1) columns.push_back(j);
    }
    const std::size_t k = columns.size();
    std::vector<std::vector<double>> m(k, std::vector<double>(k + 1, 0));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t p = 0; p < k; ++p) {
        for (std::size_t q = 0; q < k; ++q) m[p][q] += rows[i][columns[p]] * rows[i][columns[q]];
        m[p][k] += rows[i][columns[p]] * b[i];
      }
    }
    for (std::size_t p = 0; p < k; ++p) {  // Gauss and Jordan; positive definite
      for (std::size_t q = 0; q < k; ++q) {
        if (q == p) continue;
        const double factor = m[q][p] / m[p][p];
        for (std::size_t c = p; c <= k; ++c) m[q][c] -= factor * m[p][c];
      }
    }
    std::vector<double> x(n, 0);
    bool feasible = true;
    for (std::size_t p = 0; p < k; ++p) {
      x[columns[p]] = m[p][k] / m[p][p];
      feasible &= x[columns[p]] >= 0;
    }
    double residual = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double difference = -b[i];
      for (std::size_t j = 0; j < n; ++j) difference += rows[i][j] * x[j];
      residual += difference * difference;
    }
    if (feasible) least = std::min(least, residual);
  }
  return least;
}

TEST(SolveNonNegativeTest, NoSubsetOfColumnsIsBetter) {
  int bounded = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    RandomStream random(seed, "problem");
    const auto num_rows = static_cast<std::size_t>(random.UniformInt(4, 9));
    std::vector<std::vector<double>> rows(num_rows);
    std::vector<double> b(num_rows);
    for (std::size_t i = 0; i < num_rows; ++i) {
      for (int j = 0; j < 4; ++j) rows[i].push_back(random.Normal(0, 1));
      b[i] = random.Normal(0, 1);
    }
    const std::vector<double> x = SolveNonNegative(rows, b);
    double residual = 0;
    for (std::size_t i = 0; i < num_rows; ++i) {
      double difference = -b[i];
      for (std::size_t j = 0; j < 4; ++j) difference += rows[i][j] * x[j];
      residual += difference * difference;
    }
    EXPECT_GE(*std::min_element(x.begin(), x.end()), 0) << seed;
    EXPECT_NEAR(residual, LeastResidual(rows, b), 1e-9) << seed;
    bounded += std::count(x.begin(), x.end(), 0.0) > 0;
  }
  EXPECT_GT(bounded, 100);  // the constraint was at work
}

TEST(SolveNonNegativeTest, ColumnsOfAnySizeAreTold) {
  // 3 us, 2 ns an item, 1 / (20 GB/s): coefficients from 1e-6 to 1e-11.
  std::vector<std::vector<double>> rows;
  std::vector<double> b;
  for (const double n : {1.0, 10.0, 1000.0}) {
    for (const double s : {4096.0, 65536.0}) {
      rows.push_back({1, n, n * s});
      b.push_back(3e-6 + n * 2e-9 + n * s / 20e9);
    }
  }
  const std::vector<double> x = SolveNonNegative(rows, b);
  EXPECT_NEAR(x[0], 3e-6, 1e-12);
  EXPECT_NEAR(x[1], 2e-9, 1e-14);
  EXPECT_NEAR(x[2], 5e-11, 1e-17);
}

TEST(SolveNonNegativeTest, EqualColumnsAndZeroColumnsAreNoTrouble) {
  const std::vector<double> x = SolveNonNegative({{1, 1, 0}, {2, 2, 0}, {3, 3, 0}}, {2, 4, 6});
  EXPECT_NEAR(x[0] + x[1], 2, 1e-12);
  EXPECT_EQ(x[2], 0);
}

TEST(FitCurveTest, ALinearMachineGivesItsTerms) {
  const FittedCurve fitted = FitCurve(Measure(LinearLaw));
  EXPECT_TRUE(fitted.curve.grid.empty());
  EXPECT_DOUBLE_EQ(fitted.curve.launch.value(), 10e-6);
  EXPECT_DOUBLE_EQ(fitted.curve.per_item.value(), 2e-6);
  EXPECT_DOUBLE_EQ(fitted.curve.bandwidth.value(), 20e9);
  EXPECT_EQ(fitted.curve.flop_rate, FlopsPerSecond());
  EXPECT_EQ(fitted.curve.valid_items, (Range{1, 1024}));
  EXPECT_EQ(fitted.curve.valid_item_bytes, (Range{4096, 65536}));
}

TEST(FitCurveTest, NoiseMovesTheTermsLessThanItself) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const FittedCurve fitted = FitCurve(Measure(LinearLaw, 0.03, seed));
    ASSERT_TRUE(fitted.curve.grid.empty()) << seed;
    EXPECT_NEAR(fitted.curve.launch.value(), 10e-6, 0.05 * 10e-6) << seed;
    EXPECT_NEAR(fitted.curve.bandwidth.value(), 20e9, 0.10 * 20e9) << seed;
  }
}

TEST(FitCurveTest, TermsThatAnOperationLacksAreNotFitted) {
  const Law law = [](double n, double s) { return 5e-6 + n * 1e-6 + n * s / 20e9; };
  EXPECT_EQ(FitLinear(Measure(law, 0, 1, "gemm")).per_item, Seconds());
  EXPECT_EQ(FitLinear(Measure(law, 0, 1, "host.iteration")).bandwidth, BytesPerSecond());
}

TEST(FitCurveTest, FlopsOfAttentionAreFitted) {
  Points points;
  for (const std::int64_t n : {64, 256, 1024, 4096}) {
    points.push_back(Point("attention.prefill", n, 8192, 10e-6 + double(n) * double(n) * 1e-9));
    points.back().work.flops = Flops(double(n) * double(n) * 1e3);
  }
  const Curve curve = FitCurve(points).curve;
  EXPECT_DOUBLE_EQ(curve.launch.value(), 10e-6);
  EXPECT_DOUBLE_EQ(curve.flop_rate.value(), 1e12);
  EXPECT_TRUE(curve.grid.empty());  // there is a row of four, but the law is not linear in items
}

class ShapeTest : public ::testing::TestWithParam<std::pair<const char*, Law>> {};

TEST_P(ShapeTest, IsKeptByTheGrid) {
  const Law& law = GetParam().second;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Points points = Measure(law, 0.01, seed);
    const FittedCurve fitted = FitCurve(points);
    ASSERT_FALSE(fitted.curve.grid.empty()) << seed;
    EXPECT_EQ(ExplainFault(fitted.curve), "") << seed;
    EXPECT_EQ(fitted.curve.valid_items, (Range{1, 1024}));
    for (const Measurement& point : points) {
      const double exact = law(static_cast<double>(point.work.items),
                               static_cast<double>(point.work.item_bytes.value()));
      EXPECT_NEAR(fitted.curve.Evaluate(point.work).time.value(), exact, 0.05 * exact) << seed;
    }
    EXPECT_GT(Judge(FitLinear(points), points)->p95, 0.1);  // what the linear form would miss
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ShapeTest,
                         ::testing::Values(std::pair<const char*, Law>{"plateau", PlateauLaw},
                                           std::pair<const char*, Law>{"cliff", CliffLaw},
                                           std::pair<const char*, Law>{"step", StepLaw}),
                         [](const auto& shape) { return std::string(shape.param.first); });

TEST(FitCurveTest, HeldOutPointsChangeNothingButTheJudgement) {
  for (const Law& law : {Law(LinearLaw), Law(CliffLaw)}) {
    Points points = Measure(law, 0.01);
    for (std::size_t i = 0; i < 5; ++i) {
      points.push_back(Point("h2d.flash", 10 + 20 * static_cast<std::int64_t>(i), 5000, 1e-3));
      points.back().held_out = true;
    }
    const Curve before = FitCurve(points).curve;
    for (Measurement& point : points) {
      if (!point.held_out) continue;
      point.median = point.median * 7;
      point.work = Work::Fragments(100'000, Bytes(1 << 20));
    }
    Curve after = FitCurve(points).curve;
    EXPECT_NE(after.holdout_error, before.holdout_error);
    after.holdout_error = before.holdout_error;
    EXPECT_EQ(after, before);
    std::erase_if(points, [](const Measurement& point) { return point.held_out; });
    EXPECT_FALSE(FitCurve(points).curve.holdout_error);
  }
}

TEST(JudgeTest, ErrorsAreRelativeToTheMeasuredTime) {
  Curve curve;
  curve.launch = Seconds(10e-6);
  Points points;
  for (const double seconds : {10e-6, 8e-6, 20e-6}) points.push_back(Point("topk", 1, 4, seconds));
  const HoldoutError error = *Judge(curve, points);  // 0, 0.25, 0.5
  EXPECT_DOUBLE_EQ(error.median, 0.25);
  EXPECT_DOUBLE_EQ(error.p95, 0.475);
  EXPECT_EQ(error.points, 3);
  EXPECT_FALSE(Judge(curve, {}));
}

TEST(FitGridTest, GapsAreCutAndPointsOfOnePlaceAveraged) {
  Points points = Measure(LinearLaw);
  points.push_back(Point("h2d.flash", 3, 4096, 15e-6));     // a row of one
  points.push_back(Point("h2d.flash", 1, 50000, 14.5e-6));  // a column of one
  const std::size_t first = 0;
  points.push_back(Point("h2d.flash", 1, 4096, 3 * points[first].median.value()));
  const Grid grid = FitGrid(points);
  EXPECT_THAT(grid.items, ::testing::ElementsAre(1, 4, 16, 64, 256, 1024));
  EXPECT_EQ(grid.item_bytes.size(), kItemBytes.size());
  EXPECT_GT(grid.times_s[0], LinearLaw(1, 4096));
}

TEST(FitGridTest, ScatteredPointsAreNoGrid) {
  Points points;
  for (std::int64_t i = 1; i < 20; ++i)
    points.push_back(Point("gemm", i, 1000 * i, 1e-6 * double(i)));
  EXPECT_TRUE(FitGrid(points).empty());
  EXPECT_FALSE(CrossValidate(points));
  EXPECT_TRUE(FitCurve(points).curve.grid.empty());
}

TEST(MakeMonotoneTest, AMonotoneTableStays) {
  std::vector<double> times = {1, 2, 2, 1.5, 2, 3, 4, 5, 6};
  const std::vector<double> before = times;
  MakeMonotone(3, times);
  EXPECT_EQ(times, before);
}

TEST(MakeMonotoneTest, AFallIsSharedByBothSides) {
  std::vector<double> times = {1, 3, 2, 4};
  MakeMonotone(4, times);
  EXPECT_THAT(times, ::testing::ElementsAre(1, 2.5, 2.5, 4));
}

// No monotone table has a smaller largest change: half of the largest fall bounds it from below.
TEST(MakeMonotoneTest, RandomTablesBecomeMonotoneByTheSmallestChange) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    RandomStream random(seed, "table");
    const auto rows = static_cast<std::size_t>(random.UniformInt(1, 6));
    const auto columns = static_cast<std::size_t>(random.UniformInt(1, 6));
    std::vector<double> times(rows * columns);
    for (double& time : times) time = random.Uniform();
    const std::vector<double> before = times;
    MakeMonotone(columns, times);
    double largest_change = 0, largest_fall = 0;
    for (std::size_t a = 0; a < times.size(); ++a) {
      largest_change = std::max(largest_change, std::fabs(times[a] - before[a]));
      for (std::size_t b = 0; b < times.size(); ++b) {
        if (a / columns > b / columns || a % columns > b % columns) continue;
        EXPECT_LE(times[a], times[b]) << seed;
        largest_fall = std::max(largest_fall, before[a] - before[b]);
      }
    }
    EXPECT_LE(largest_change, largest_fall / 2 + 1e-15) << seed;
  }
}

TEST(RoundTest, KeepsTheDigitsAskedFor) {
  EXPECT_EQ(RoundTo(1.23456e-6, 3), 1.23e-6);
  EXPECT_EQ(RoundTo(0, 3), 0);
  EXPECT_EQ(RoundUp(25e9, 3), 25e9);
  EXPECT_EQ(RoundUp(1.2301, 3), 1.24);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const double x = RandomStream(seed, "x").Uniform() * std::pow(10.0, double(seed) - 100);
    EXPECT_GE(RoundUp(x, 5), x);
    EXPECT_NEAR(RoundUp(x, 5) / x, 1, 2e-4);
  }
}

}  // namespace
}  // namespace sparseserve::calibration
