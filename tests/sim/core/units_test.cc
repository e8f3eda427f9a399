#include "sim/core/units.h"

#include <gtest/gtest.h>

namespace sparseserve {
namespace {

// clang-format off
template <typename A, typename B> concept Addable = requires(A a, B b) { a + b; };
template <typename A, typename B> concept Comparable = requires(A a, B b) { a < b; };
template <typename A, typename B> concept Multipliable = requires(A a, B b) { a * b; };
template <typename A, typename B> concept Divisible = requires(A a, B b) { a / b; };
// clang-format on

// Misuse does not compile.
static_assert(Addable<Bytes, Bytes> && !Addable<Bytes, Tokens> && !Addable<Bytes, int>);
static_assert(!Addable<Tokens, Blocks> && !Addable<Flops, Bytes>);
static_assert(Comparable<Tokens, Tokens> && !Comparable<Tokens, Blocks>);
static_assert(!Comparable<Seconds, double> && !Comparable<SimTime, Seconds>);
static_assert(!std::is_convertible_v<std::int64_t, Bytes> && !std::is_convertible_v<Bytes, int>);
static_assert(!std::is_convertible_v<double, Seconds> && !std::is_convertible_v<int, SimTime>);
static_assert(Multipliable<Bytes, int> && Multipliable<int, Bytes>);
static_assert(!Multipliable<Bytes, double>, "an integer quantity would be truncated");
static_assert(!Multipliable<Bytes, Bytes> && !Multipliable<Seconds, Seconds>);
static_assert(!Multipliable<Bytes, Tokens> && !Multipliable<Bytes, BytesPerSecond>);
static_assert(Divisible<Seconds, int> && !Divisible<Bytes, int> && !Divisible<Tokens, Blocks>);
static_assert(!Divisible<Bytes, FlopsPerSecond> && !Divisible<Flops, BytesPerSecond>);
static_assert(!Divisible<Bytes, Seconds> && !Divisible<Tokens, Seconds>);
// A point on the clock is not a length of time.
static_assert(Addable<SimTime, Seconds> && !Addable<SimTime, SimTime> &&
              !Addable<Seconds, SimTime>);
static_assert(!Multipliable<SimTime, int> && !Divisible<SimTime, SimTime>);
static_assert(std::is_same_v<decltype(SimTime() - SimTime()), Seconds>);
static_assert(std::is_same_v<decltype(Bytes() / BytesPerSecond()), Seconds>);
static_assert(std::is_same_v<decltype(Flops() / FlopsPerSecond()), Seconds>);
static_assert(std::is_same_v<decltype(Bytes() / Bytes()), double>);
static_assert(sizeof(Bytes) == sizeof(std::int64_t) && sizeof(Seconds) == sizeof(double));

TEST(UnitsTest, SumsAndScalingKeepTheType) {
  EXPECT_EQ(Bytes(3) + Bytes(4) - Bytes(2), Bytes(5));
  EXPECT_EQ(3 * Bytes(4), Bytes(4) * 3);
  EXPECT_EQ(-Tokens(4), Tokens(-4));
  EXPECT_EQ(Seconds(3) / 2, Seconds(1.5));
  EXPECT_LT(Tokens(3), Tokens(4));
}

TEST(UnitsTest, IntegerQuantitiesStayExactBeyondTheMantissaOfADouble) {
  const std::int64_t odd = (std::int64_t{1} << 53) + 1;
  EXPECT_EQ((Bytes(odd) * 3).value(), odd * 3);
}

TEST(UnitsTest, AmountOverRateIsTime) {
  EXPECT_DOUBLE_EQ((Bytes(32'000'000'000) / BytesPerSecond(16e9)).value(), 2);
  EXPECT_DOUBLE_EQ((Flops(1e12) / FlopsPerSecond(4e12)).value(), 0.25);
  EXPECT_DOUBLE_EQ(Bytes(7) / Bytes(2), 3.5);
}

TEST(UnitsTest, BlocksForRoundsUp) {
  EXPECT_EQ(BlocksFor(Tokens(0), Tokens(32)), Blocks(0));
  EXPECT_EQ(BlocksFor(Tokens(1), Tokens(32)), Blocks(1));
  EXPECT_EQ(BlocksFor(Tokens(32), Tokens(32)), Blocks(1));
  EXPECT_EQ(BlocksFor(Tokens(33), Tokens(32)), Blocks(2));
}

TEST(SimTimeTest, ALengthIsRoundedToTheNearestNanosecond) {
  EXPECT_EQ(SimTime(100) + Seconds(1.4e-9), SimTime(101));
  EXPECT_EQ(SimTime(100) + Seconds(1.6e-9), SimTime(102));
  EXPECT_EQ(SimTime(100) + Seconds(0.4e-9), SimTime(100));
  EXPECT_EQ(SimTime(100) + Seconds(-1.6e-9), SimTime(98));
}

TEST(SimTimeTest, DifferencesOfLatePointsAreExactToTheNanosecond) {
  const SimTime year(31'536'000'000'000'000);
  EXPECT_EQ(SimTime(year.ns() + 1) - year, Seconds(1e-9));
  EXPECT_EQ((year + Seconds(1e-9)).ns(), year.ns() + 1);
  EXPECT_LT(year, SimTime::Max());
  EXPECT_DOUBLE_EQ(year.seconds(), 31'536'000);
}

TEST(UnitsTest, TextPicksTheLargestUnitThatKeepsTheNumberAboveOne) {
  EXPECT_EQ(ToString(Bytes(16384)), "16.0 KiB");
  EXPECT_EQ(ToString(Bytes(1023)), "1023 B");
  EXPECT_EQ(ToString(Bytes(3 * (std::int64_t{1} << 40) / 2)), "1.50 TiB");
  EXPECT_EQ(ToString(Bytes(-16384)), "-16.0 KiB");
  EXPECT_EQ(ToString(Seconds(0)), "0 s");
  EXPECT_EQ(ToString(Seconds(5.3e-6)), "5.30 us");
  EXPECT_EQ(ToString(Seconds(2e-10)), "0.20 ns");
  EXPECT_EQ(ToString(BytesPerSecond(3.35e12)), "3.35 TB/s");
  EXPECT_EQ(ToString(FlopsPerSecond(312e12)), "312 TFLOP/s");
}

}  // namespace
}  // namespace sparseserve
