#include "models/selection/popularity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/rng.h"

namespace sparseserve::selection {
namespace {

TEST(PopularityTest, WithoutSkewItScalesTheBits) {
  const Popularity popularity(0);
  for (const std::uint32_t bits : {0U, 1U << 20, 123456789U, 0x80000000U, 0xffffffffU})
    EXPECT_EQ(popularity.Draw(bits, 1000), (std::uint64_t{bits} * 1000) >> 32);
}

TEST(PopularityTest, StaysInRangeAtTheEnds) {
  for (const double skew : {0.0, 0.3, 0.9})
    for (const std::uint32_t range : {1U, 2U, 1000U, 0xffffffffU}) {
      EXPECT_EQ(Popularity(skew).Draw(0, range), 0U);
      EXPECT_LT(Popularity(skew).Draw(0xffffffffU, range), range);
    }
}

// The share of draws in the newest x of the context is x^(1 - skew).
TEST(PopularityTest, FollowsThePowerLaw) {
  constexpr int kDraws = 200000;
  constexpr std::uint32_t kRange = 4096;
  for (const double skew : {0.0, 0.25, 0.5, 0.8}) {
    const Popularity popularity(skew);
    CounterRng rng(7);
    std::vector<int> counts(kRange);
    for (int i = 0; i < kDraws; ++i)
      ++counts[popularity.Draw(static_cast<std::uint32_t>(rng.Next() >> 32), kRange)];
    int below = 0;
    for (std::uint32_t i = 0; i < kRange; ++i) {
      below += counts[i];
      const double x = (i + 1.0) / kRange;
      if (x < 0.02) continue;  // the first cells of the table are straight lines
      ASSERT_NEAR(below / double{kDraws}, std::pow(x, 1 - skew), 0.006) << skew << " " << x;
    }
  }
}

TEST(PopularityTest, RejectsSkewsWithoutADistribution) {
  for (const double skew : {-0.1, 0.91, 1.0, std::nan("")})
    EXPECT_THROW(Popularity{skew}, InputError) << skew;
}

}  // namespace
}  // namespace sparseserve::selection
