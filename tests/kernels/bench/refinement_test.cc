#include "kernels/bench/refinement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "calibration/record.h"

namespace sparseserve::bench {
namespace {

using calibration::Grid;

const Axis kItems{1, 65536, 1};
const Axis kBytes{4096, 65536, 512};

// A machine with a launch, a cost per item and a bandwidth: bilinear, so every grid is exact.
double LinearTime(std::int64_t items, std::int64_t bytes) {
  return 5e-6 + 1e-7 * static_cast<double>(items) + static_cast<double>(items * bytes) / 20e9;
}
// A driver that copies blocks of 26,000 bytes and more ten times as fast.
double CliffTime(std::int64_t items, std::int64_t bytes) {
  return 5e-6 + static_cast<double>(items * bytes) / (bytes < 26000 ? 5e9 : 50e9);
}

Rectangle Coarse(int lines) { return {kItems.Spread(lines), kBytes.Spread(lines)}; }

void Insert(Rectangle& rectangle, const Split& split) {
  std::vector<std::int64_t>& lines = split.in_x ? rectangle.x : rectangle.y;
  lines.insert(std::upper_bound(lines.begin(), lines.end(), split.value), split.value);
}

// The largest relative error of interpolating `time` on the rectangle, over many places.
double WorstError(const Rectangle& rectangle, const TimeAt& time) {
  Grid grid;
  for (const std::int64_t x : rectangle.x) grid.items.push_back(static_cast<double>(x));
  for (const std::int64_t y : rectangle.y) grid.item_bytes.push_back(static_cast<double>(y));
  for (const std::int64_t x : rectangle.x) {
    for (const std::int64_t y : rectangle.y) grid.times_s.push_back(time(x, y));
  }
  double worst = 0;
  for (const std::int64_t x : kItems.Spread(40)) {
    for (const std::int64_t y : kBytes.Spread(40)) {
      const double predicted = grid.At(static_cast<double>(x), static_cast<double>(y)).value();
      worst = std::max(worst, std::abs(predicted / time(x, y) - 1));
    }
  }
  return worst;
}

TEST(AxisTest, SnapsToMultiplesWithinTheRange) {
  EXPECT_EQ(kBytes.Snap(5000), 5120);
  EXPECT_EQ(kBytes.Snap(1), 4096);
  EXPECT_EQ(kBytes.Snap(1e9), 65536);
}

TEST(AxisTest, SpreadsFromLeastToMostAndRises) {
  EXPECT_EQ(kItems.Spread(3), (std::vector<std::int64_t>{1, 256, 65536}));
  EXPECT_EQ((Axis{0, 1024, 16}.Spread(3)), (std::vector<std::int64_t>{0, 32, 1024}));
  EXPECT_EQ((Axis{1, 2, 1}.Spread(9)), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ((Axis{1, 9, 1, {3, 7}}.Spread(5)), (std::vector<std::int64_t>{3, 7}));
}

TEST(AxisTest, BeginsWithItsLinesWhereThereIsTimeForMoreThanTheEnds) {
  const Axis axis{1, 20, 1, {}, {1, 2, 3, 8, 20, 32}};
  EXPECT_EQ(axis.Spread(3), (std::vector<std::int64_t>{1, 2, 3, 8, 20}));
  EXPECT_EQ(axis.Spread(2), (std::vector<std::int64_t>{1, 20}));
  EXPECT_TRUE(axis.is_refinable());
}

TEST(AxisTest, DrawsOverTheWholeRange) {
  EXPECT_EQ(kItems.Draw(0), 1);
  EXPECT_EQ(kItems.Draw(0.5), 256);
  EXPECT_EQ(kItems.Draw(0.9999999), 65536);
  EXPECT_EQ(kItems.Draw(1), 65536);
  EXPECT_EQ((Axis{1, 9, 1, {3, 7}}.Draw(0.6)), 7);
  EXPECT_EQ((Axis{1, 9, 1, {3, 7}}.Draw(1)), 7);
}

TEST(RefinementTest, LinearMachineNeedsNoFurtherLine) {
  EXPECT_FALSE(ChooseSplit(Coarse(3), kItems, kBytes, LinearTime, 0.02));
}

TEST(RefinementTest, TwoLinesAreSplitBecauseNothingTestsThem) {
  const auto split = ChooseSplit(Coarse(2), kItems, kBytes, LinearTime, 0.02);
  ASSERT_TRUE(split);
  EXPECT_GT(split->value, 1);
}

TEST(RefinementTest, ClosesInOnACliff) {
  Rectangle rectangle = Coarse(3);
  const double before = WorstError(rectangle, CliffTime);
  int num_splits = 0;
  while (const auto split = ChooseSplit(rectangle, kItems, kBytes, CliffTime, 0.05)) {
    ASSERT_FALSE(split->in_x);  // the law is linear in the items
    Insert(rectangle, *split);
    ASSERT_LT(++num_splits, 100);
  }
  // The lines on both sides of the cliff are neighbours on the axis.
  EXPECT_TRUE(std::binary_search(rectangle.y.begin(), rectangle.y.end(), 25600));
  EXPECT_TRUE(std::binary_search(rectangle.y.begin(), rectangle.y.end(), 26112));
  EXPECT_LT(WorstError(rectangle, CliffTime), before / 4);
}

TEST(RefinementTest, EachSplitOfACurvedLawLowersTheError) {
  const TimeAt curved = [](std::int64_t x, std::int64_t y) {
    return 1e-6 * std::pow(static_cast<double>(x), 1.5) * std::sqrt(static_cast<double>(y));
  };
  Rectangle rectangle = Coarse(3);
  double error = WorstError(rectangle, curved);
  const double first = error;
  for (int i = 0; i < 16; ++i) {
    const auto split = ChooseSplit(rectangle, kItems, kBytes, curved, 0.02);
    ASSERT_TRUE(split);
    Insert(rectangle, *split);
  }
  error = WorstError(rectangle, curved);
  EXPECT_LT(error, first / 5);
}

TEST(RefinementTest, NeverRefinesAnAxisOfChoices) {
  const Axis kinds{1, 3, 1, {1, 2, 3}};
  const Rectangle rectangle{kItems.Spread(3), kinds.Spread(3)};
  const TimeAt time = [](std::int64_t x, std::int64_t y) {
    return static_cast<double>(x) * (y == 2 ? 100.0 : 1.0);
  };
  EXPECT_FALSE(ChooseSplit(rectangle, kItems, kinds, time, 0.02));
}

// However long it goes on, jitter does not draw all lines to one place.
TEST(RefinementTest, JitterIsNotRefinedToTheBottom) {
  const auto jitter = [](std::int64_t items, std::int64_t bytes) {
    const std::int64_t hash = (items * 7919 + bytes) * 2654435761 % 1000;
    return LinearTime(items, bytes) * (1 + 0.3 * static_cast<double>(hash) / 1000);
  };
  Rectangle rectangle = Coarse(3);
  while (const auto split = ChooseSplit(rectangle, kItems, kBytes, jitter, 0.02))
    Insert(rectangle, *split);
  for (const auto* lines : {&rectangle.x, &rectangle.y}) {
    for (std::size_t i = 1; i < lines->size(); ++i)
      EXPECT_GT(static_cast<double>((*lines)[i]) / static_cast<double>((*lines)[i - 1]),
                1.03);  // half of 1.1, snapped
  }
}

}  // namespace
}  // namespace sparseserve::bench
