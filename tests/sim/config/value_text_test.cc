#include "sim/config/value_text.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/rng.h"

namespace sparseserve::config {
namespace {

TEST(ValueTextTest, TextsAreTheNearestDoubles) {
  double number = 0;
  for (const auto& [text, seconds] : {std::pair{"5us", 5e-6},
                                      {"0.1ms", 1e-4},
                                      {"3.3ns", 3.3e-9},
                                      {"1.5h", 5400.0},
                                      {"2min", 120.0},
                                      {"1e3us", 1e-3},
                                      {"1E-3s", 1e-3},
                                      {"2e+1ms", 2e-2},
                                      {"5 us", 5e-6},
                                      {"0", 0.0},
                                      {".5s", 0.5},
                                      {"0.0", 0.0},
                                      {"1e-400s", 0.0}}) {
    Seconds value(-1);
    EXPECT_FALSE(ParseText(text, value)) << text;
    EXPECT_EQ(value, Seconds(seconds)) << text;
  }
  EXPECT_FALSE(ParseText("-2.5e-3", number, {.min = -1}));
  EXPECT_EQ(number, -2.5e-3);
  EXPECT_TRUE(ParseText("1e99999999999", number));
  EXPECT_TRUE(ParseText("1e999", number));
}

TEST(ValueTextTest, DecimalAndBinaryUnitsDiffer) {
  Bytes value;
  for (const auto& [text, bytes] : {std::pair<const char*, std::int64_t>{"1kB", 1000},
                                    {"1KiB", 1024},
                                    {"1MB", 1'000'000},
                                    {"1MiB", 1'048'576},
                                    {"1GB", 1'000'000'000},
                                    {"1GiB", 1'073'741'824},
                                    {"2TB", 2'000'000'000'000},
                                    {"0.5TiB", 549'755'813'888},
                                    {"1.1GB", 1'100'000'000},
                                    {"656B", 656},
                                    {"0", 0}}) {
    EXPECT_FALSE(ParseText(text, value)) << text;
    EXPECT_EQ(value, Bytes(bytes)) << text;
  }
}

TEST(ValueTextTest, TheShortestTextIsWritten) {
  EXPECT_EQ(FormatText(Bytes(80'000'000'000)), "80GB");
  EXPECT_EQ(FormatText(Bytes(16384)), "16KiB");
  EXPECT_EQ(FormatText(Bytes(656)), "656B");
  EXPECT_EQ(FormatText(Bytes(0)), "0B");
  EXPECT_EQ(FormatText(BytesPerSecond(3.35e12)), "3.35TB/s");
  EXPECT_EQ(FormatText(Seconds(5e-6)), "5us");
  EXPECT_EQ(FormatText(FlopsPerSecond(989.4e12)), "989.4TFLOP/s");
  EXPECT_EQ(FormatText(Tokens(2048)), "2048");
  EXPECT_EQ(FormatText(0.25, {.real = RealKind::kPerSecond}), "0.25/s");
  EXPECT_EQ(FormatText(true), "true");
}

// Property: whatever is written is read back bit for bit.
TEST(ValueTextTest, WrittenValuesReadBackExactly) {
  CounterRng rng(20260101);
  for (int i = 0; i < 3000; ++i) {
    const double magnitude = std::pow(10.0, 30 * rng.Uniform() - 15) * rng.Uniform();
    Seconds seconds;
    ASSERT_FALSE(ParseText(FormatText(Seconds(magnitude)), seconds)) << i;
    ASSERT_EQ(seconds, Seconds(magnitude)) << i;
    BytesPerSecond rate;
    ASSERT_FALSE(ParseText(FormatText(BytesPerSecond(magnitude)), rate)) << i;
    ASSERT_EQ(rate, BytesPerSecond(magnitude)) << i;
    double per_second = 0;
    const Field field{.real = RealKind::kPerSecond};
    ASSERT_FALSE(ParseText(FormatText(magnitude, field), per_second, field)) << i;
    ASSERT_EQ(per_second, magnitude) << i;
    // Byte counts up to 2^53 are exact in double.
    const auto count = static_cast<std::int64_t>(rng.Next() >> (11 + rng.Below(50)));
    Bytes bytes;
    ASSERT_FALSE(ParseText(FormatText(Bytes(count)), bytes)) << i;
    ASSERT_EQ(bytes, Bytes(count)) << i;
  }
}

TEST(ValueTextTest, SuggestionsIgnoreCaseAndTypos) {
  EXPECT_EQ(DidYouMean("gb", {"B", "GB", "GiB"}), "did you mean 'GB'?");
  EXPECT_EQ(DidYouMean("bandwith", {"hbm", "bandwidth"}), "did you mean 'bandwidth'?");
  EXPECT_EQ(DidYouMean("zzzzzzzz", {"hbm", "bandwidth"}), "");
}

}  // namespace
}  // namespace sparseserve::config
