#include "calibration/record.h"

#include <gtest/gtest.h>

#include <vector>

namespace sparseserve::calibration {
namespace {

Curve LinearCurve() {
  Curve curve;
  curve.launch = Seconds(10e-6);
  curve.per_item = Seconds(2e-6);
  curve.bandwidth = BytesPerSecond(20e9);
  curve.valid_items = {1, 1000};
  curve.valid_item_bytes = {4096, 32768};
  return curve;
}

// The grid of LinearCurve() on chosen points.
Curve GridCurve(const std::vector<double>& items, const std::vector<double>& item_bytes) {
  Curve curve;
  curve.grid.items = items;
  curve.grid.item_bytes = item_bytes;
  for (const double n : items) {
    for (const double s : item_bytes) {
      const Work work =
          Work::Fragments(static_cast<std::int64_t>(n), Bytes(static_cast<std::int64_t>(s)));
      curve.grid.times_s.push_back(LinearCurve().Evaluate(work).time.value());
    }
  }
  curve.valid_items = {items.front(), items.back()};
  curve.valid_item_bytes = {item_bytes.front(), item_bytes.back()};
  return curve;
}

TEST(CurveTest, LinearTermsAddUp) {
  // 10 us + 100 x 2 us + 100 x 8192 B / 20 GB/s = 10 + 200 + 40.96 us.
  const Estimate estimate = LinearCurve().Evaluate(Work::Fragments(100, Bytes(8192)));
  EXPECT_NEAR(estimate.time.value(), 250.96e-6, 1e-12);
  EXPECT_FALSE(estimate.extrapolated);
}

TEST(CurveTest, FlopsCountAtTheirRate) {
  Curve curve;
  curve.flop_rate = FlopsPerSecond(100e12);
  EXPECT_NEAR(curve.Evaluate({1, Bytes(0), Bytes(0), Flops(5e12)}).time.value(), 0.05, 1e-12);
}

TEST(CurveTest, MissingTermsCostNothing) {
  Curve curve;
  curve.launch = Seconds(3e-6);
  EXPECT_EQ(curve.Evaluate(Work::Fragments(1000, Bytes(1 << 20))).time, Seconds(3e-6));
}

TEST(CurveTest, NoItemsTakeNoTime) {
  EXPECT_EQ(LinearCurve().Evaluate(Work::Fragments(0, Bytes(4096))).time, Seconds(0));
  EXPECT_FALSE(LinearCurve().Evaluate(Work::Fragments(0, Bytes(1))).extrapolated);
  EXPECT_EQ(GridCurve({1, 10}, {4096, 32768}).Evaluate(Work()).time, Seconds(0));
}

TEST(CurveTest, LeavingTheRangeIsFlaggedOnEachSide) {
  const auto flagged = [](std::int64_t items, std::int64_t bytes) {
    const bool linear = LinearCurve().Evaluate(Work::Fragments(items, Bytes(bytes))).extrapolated;
    const Curve grid = GridCurve({1, 1000}, {4096, 32768});
    EXPECT_EQ(linear, grid.Evaluate(Work::Fragments(items, Bytes(bytes))).extrapolated);
    return linear;
  };
  EXPECT_FALSE(flagged(1, 4096));
  EXPECT_FALSE(flagged(1000, 32768));
  EXPECT_TRUE(flagged(1001, 4096));
  EXPECT_TRUE(flagged(1, 4095));
  EXPECT_TRUE(flagged(1, 32769));
}

TEST(GridTest, ALinearMachineIsReproducedExactlyBetweenThePoints) {
  const Curve grid = GridCurve({1, 16, 1000}, {4096, 8192, 32768});
  for (const std::int64_t items : {1, 2, 16, 100, 999, 1000}) {
    for (const std::int64_t bytes : {4096, 5000, 8192, 16384, 32768}) {
      const Work work = Work::Fragments(items, Bytes(bytes));
      const double expected = LinearCurve().Evaluate(work).time.value();
      EXPECT_NEAR(grid.Evaluate(work).time.value(), expected, 1e-9 * expected)
          << items << " x " << bytes;
    }
  }
}

TEST(GridTest, PointsAreReproduced) {
  Curve curve;
  curve.grid = {{4, 64}, {32768, 262144}, {5.0e-6, 11.3e-6, 5.0e-6, 16.7e-6}};
  EXPECT_EQ(curve.Evaluate(Work::Fragments(4, Bytes(32768))).time, Seconds(5.0e-6));
  EXPECT_EQ(curve.Evaluate(Work::Fragments(4, Bytes(262144))).time, Seconds(11.3e-6));
  EXPECT_EQ(curve.Evaluate(Work::Fragments(64, Bytes(262144))).time, Seconds(16.7e-6));
  // Half way in both inputs: the mean of the four corners.
  EXPECT_NEAR(curve.grid.At(34, 147456).value(), 9.5e-6, 1e-15);
}

TEST(GridTest, BelowTheEdgeItIsFlatAndAboveProportional) {
  const Curve grid = GridCurve({10, 100}, {4096, 32768});
  const auto at = [&](std::int64_t items, std::int64_t bytes) {
    return grid.Evaluate(Work::Fragments(items, Bytes(bytes))).time.value();
  };
  EXPECT_EQ(at(1, 100), at(10, 4096));
  EXPECT_DOUBLE_EQ(at(300, 4096), 3 * at(100, 4096));
  EXPECT_DOUBLE_EQ(at(100, 65536), 2 * at(100, 32768));
  EXPECT_DOUBLE_EQ(at(300, 65536), 6 * at(100, 32768));
}

TEST(GridTest, OnePointIsAGrid) {
  Curve curve;
  curve.grid = {{8}, {4096}, {2e-6}};
  EXPECT_EQ(ExplainFault(curve), "");
  EXPECT_EQ(curve.Evaluate(Work::Fragments(1, Bytes(1))).time, Seconds(2e-6));
  EXPECT_DOUBLE_EQ(curve.Evaluate(Work::Fragments(16, Bytes(4096))).time.value(), 4e-6);
}

// Every monotone grid, linear or with a cliff, gives a monotone curve, across its edges too.
TEST(GridTest, MoreWorkNeverTakesLess) {
  Curve cliff;  // a transfer path that changes at 28 KiB and gets faster per byte there
  cliff.grid = {
      {1, 16, 256},
      {4096, 24576, 28672, 65536},
      {4e-6, 6e-6, 6e-6, 7e-6, 10e-6, 55e-6, 55e-6, 55e-6, 90e-6, 800e-6, 800e-6, 810e-6}};
  ASSERT_EQ(ExplainFault(cliff), "");
  std::vector<double> last_row;
  for (std::int64_t items = 1; items < 600; items += 7) {
    double last = 0;
    std::vector<double> row;
    for (std::int64_t bytes = 512; bytes < 100000; bytes += 1111) {
      const double time = cliff.Evaluate(Work::Fragments(items, Bytes(bytes))).time.value();
      EXPECT_GE(time, last * (1 - 1e-12)) << items << " x " << bytes;
      if (!last_row.empty()) {
        EXPECT_GE(time, last_row[row.size()] * (1 - 1e-12));
      }
      last = time;
      row.push_back(time);
    }
    last_row = row;
  }
}

TEST(ExplainFaultTest, SoundCurvesPass) {
  EXPECT_EQ(ExplainFault(LinearCurve()), "");
  EXPECT_EQ(ExplainFault(GridCurve({1, 2}, {0, 4096})), "");
}

TEST(ExplainFaultTest, EachFaultIsNamed) {
  EXPECT_EQ(ExplainFault(Curve()),
            "a curve needs a grid or one of launch, per_item, bandwidth and flop_rate");
  Curve negative = LinearCurve();
  negative.per_item = Seconds(-1e-9);
  EXPECT_EQ(ExplainFault(negative), "a term is negative or not finite");
  Curve backwards = LinearCurve();
  backwards.valid_items = {10, 1};
  EXPECT_EQ(ExplainFault(backwards), "a range of validity ends before it begins");
  Curve both = GridCurve({1, 2}, {4096});
  both.launch = Seconds(1e-6);
  EXPECT_EQ(ExplainFault(both), "a curve is a grid or linear terms, not both");
  Curve torn = GridCurve({1, 2}, {4096, 8192});
  torn.grid.times_s.pop_back();
  EXPECT_EQ(ExplainFault(torn), "the grid has 3 times for 2 items x 2 item_bytes");
  Curve unsorted = GridCurve({2, 1}, {4096});
  EXPECT_EQ(ExplainFault(unsorted), "the items of a grid must be above zero and rise");
  Curve repeated = GridCurve({1, 2}, {4096, 4096});
  EXPECT_EQ(ExplainFault(repeated), "the item_bytes of a grid must rise");
  Curve falling = GridCurve({1, 2}, {4096, 8192});
  falling.grid.times_s = {1, 2, 3, 1.5};
  EXPECT_EQ(ExplainFault(falling),
            "the time falls at row 2, column 2: more work may not take less time");
  Curve zero = GridCurve({1}, {4096});
  zero.grid.times_s = {0};
  EXPECT_EQ(ExplainFault(zero), "the times of a grid must be above zero");
}

}  // namespace
}  // namespace sparseserve::calibration
