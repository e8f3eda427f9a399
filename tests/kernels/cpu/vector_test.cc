// The vector helpers of the CPU kernels, at the baseline of the architecture.
#include "kernels/cpu/vector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "sim/core/rng.h"

namespace sparseserve::kernels::cpu::baseline {
namespace {

float Exp2Of(float x) { return Exp2(Broadcast(x))[3]; }

TEST(VectorTest, Exp2IsWithinOneAndAHalfUlp) {
  RandomStream random(1, "exp2");
  double largest = 0;
  for (int i = 0; i < 300'000; ++i) {
    const auto x =
        static_cast<float>(-125 * (i % 2 == 0 ? random.Uniform() : random.Uniform() / 125));
    const double exact = std::exp2(static_cast<double>(x));
    const double ulp = std::exp2(std::floor(std::log2(exact)) - 23);
    largest = std::max(largest, std::abs(Exp2Of(x) - exact) / ulp);
  }
  EXPECT_LE(largest, 1.5);
}

TEST(VectorTest, Exp2AtItsEnds) {
  EXPECT_EQ(Exp2Of(0), 1);
  EXPECT_EQ(Exp2Of(-0.0f), 1);
  EXPECT_EQ(Exp2Of(-1), 0.5f);
  EXPECT_EQ(Exp2Of(-125), 0x1p-125f);
  EXPECT_EQ(Exp2Of(-126), 0);
  EXPECT_EQ(Exp2Of(-1e30f), 0);
  EXPECT_EQ(Exp2Of(kMinusInfinity), 0);
  EXPECT_TRUE(std::isnan(Exp2Of(std::numeric_limits<float>::quiet_NaN())));
}

TEST(VectorTest, SumsOfLanesHaveOneTree) {
  RandomStream random(2, "sums");
  float values[kLanes][kLanes];
  Vector rows[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    for (float& x : values[i]) x = static_cast<float>(random.Normal(0, 1));
    rows[i] = Load(values[i]);
  }
  const Vector sums = ReduceEight(rows);
  for (int i = 0; i < kLanes; ++i) {
    const float* const x = values[i];
    const float expected = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
    EXPECT_EQ(sums[i], expected);
    EXPECT_EQ(SumLanes(rows[i]), expected);
    EXPECT_EQ(MaxLanes(rows[i]), *std::max_element(x, x + kLanes));
  }
}

TEST(VectorTest, Bfloat16IsReadAndRoundedAsByItself) {
  RandomStream random(3, "bfloat16");
  for (int i = 0; i < 200'000; ++i) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(random.Bits()));
    Bfloat16 stored[kLanes];
    Store(stored, Broadcast(x));
    ASSERT_EQ(stored[5].bits, ToBfloat16(x).bits) << x;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(Load(stored)[5]),
              std::bit_cast<std::uint32_t>(ToFloat(stored[5])));
  }
}

TEST(VectorTest, PartsOfAVectorTouchNothingElse) {
  const float source[3] = {1, 2, 3};
  float target[kLanes] = {9, 9, 9, 9, 9, 9, 9, 9};
  const Vector x = LoadFirst(source, 3);
  EXPECT_EQ(SumLanes(x), 6);
  StoreFirst(target, x, 2);
  EXPECT_EQ(target[1], 2);
  EXPECT_EQ(target[2], 9);
}

}  // namespace
}  // namespace sparseserve::kernels::cpu::baseline
