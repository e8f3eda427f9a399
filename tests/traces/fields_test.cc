#include "traces/fields.h"

#include <gtest/gtest.h>

#include <limits>

#include "sim/core/rng.h"

namespace sparseserve::traces {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(ParseIntegerTest, TakesWholeNumbersOnly) {
  EXPECT_EQ(ParseInteger("374"), 374);
  EXPECT_EQ(ParseInteger("-5"), -5);
  for (const char* bad : {"", "12.0", "+5", "1e3", "0x10", " 1", "1 ", "12abc", "nan", "１",
                          "99999999999999999999"}) {
    EXPECT_EQ(ParseInteger(bad), std::nullopt) << bad;
  }
}

TEST(ParseScaledTest, IsExactToTheLastDigit) {
  EXPECT_EQ(ParseScaled("1.5", 9), 1'500'000'000);
  EXPECT_EQ(ParseScaled("3536999", 6), 3'536'999'000'000);
  EXPECT_EQ(ParseScaled("0.1234567", 9), 123'456'700);
  EXPECT_EQ(ParseScaled(".5", 9), 500'000'000);
  EXPECT_EQ(ParseScaled("5.", 9), 5 * kSecond);
  EXPECT_EQ(ParseScaled("-0.25", 9), -250'000'000);
  // Beyond the 53 bits of a double.
  EXPECT_EQ(ParseScaled("9007199.254740993", 9), 9'007'199'254'740'993);
}

TEST(ParseScaledTest, RoundsTheFirstDigitThatIsCut) {
  EXPECT_EQ(ParseScaled("0.0000000004999", 9), 0);
  EXPECT_EQ(ParseScaled("0.0000000005", 9), 1);
  EXPECT_EQ(ParseScaled("-0.0000000005", 9), -1);
  EXPECT_EQ(ParseScaled("1.5", 0), 2);
}

TEST(ParseScaledTest, ReadsExponents) {
  EXPECT_EQ(ParseScaled("1.5e1", 9), 15 * kSecond);
  EXPECT_EQ(ParseScaled("-2E-3", 9), -2'000'000);
}

TEST(ParseScaledTest, RejectsWhatIsNoNumberOrTooLarge) {
  for (const char* bad : {"", ".", "-", "nan", "inf", "-inf", "1.2.3", "1,5", "1 ", "+1", "1e",
                          "e5", "0x1p3", "1e30", "99999999999", "9223372036.854775808", "--1"}) {
    EXPECT_EQ(ParseScaled(bad, 9), std::nullopt) << bad;
  }
  EXPECT_EQ(ParseScaled("9223372036.854775807", 9), std::numeric_limits<std::int64_t>::max());
}

TEST(ParseScaledTest, AgreesWithTheTextItIsMadeFrom) {
  RandomStream random(7, "parse-scaled");
  for (int i = 0; i < 2000; ++i) {
    const std::int64_t ns = random.UniformInt(0, std::int64_t{1} << 60);
    std::string fraction = std::to_string(kSecond + ns % kSecond).substr(1);
    EXPECT_EQ(ParseScaled(std::to_string(ns / kSecond) + "." + fraction, 9), ns) << "seed 7";
  }
}

TEST(ParseTimestampTest, ReadsBothYearsOfAzure) {
  const auto start = ParseTimestamp("2023-11-16 18:17:03.9799600");
  ASSERT_TRUE(start);
  EXPECT_EQ(*start, 1'700'158'623 * kSecond + 979'960'000);  // date -u -d '2023-11-16 18:17:03' +%s
  EXPECT_EQ(ParseTimestamp("2023-11-16T18:17:03.97996Z"), start);
  EXPECT_EQ(ParseTimestamp("2023-11-16 18:17:03.979960+00:00"), start);
  EXPECT_EQ(ParseTimestamp("2023-11-16 20:47:03.979960+02:30"), start);
  EXPECT_EQ(ParseTimestamp("2023-11-16 10:17:03.979960-0800"), start);
  EXPECT_EQ(ParseTimestamp("2023-11-16 10:17:03.979960-08"), start);
  EXPECT_EQ(ParseTimestamp("1970-01-01 00:00:00"), 0);
  EXPECT_EQ(*ParseTimestamp("2024-03-01 00:00:00") - *ParseTimestamp("2024-02-29 00:00:00"),
            86'400 * kSecond);
}

TEST(ParseTimestampTest, RejectsWhatIsNoTime) {
  for (const char* bad : {"",
                          "2023",
                          "2023-11-16",
                          "2023-11-16 18:17",
                          "2023-13-01 00:00:00",
                          "2023-02-29 00:00:00",
                          "2023-11-16 24:00:00",
                          "2023-11-16 18:60:00",
                          "2023-11-16 18:17:61",
                          "16.11.2023 18:17:03",
                          "2023-11-16 18:17:03+",
                          "2023-11-16 18:17:03+1",
                          "2023-11-16 18:17:03+24:00",
                          "2023-11-16 18:17:03 UTC",
                          "2023-11-16 18:17:",
                          "2023-11-16 18:17:-3",
                          "1969-12-31 00:00:00",
                          "2023-11-16 18:17:03.97.1",
                          "2023-11-16 18:17:03ZZ",
                          "2023-11-16  8:17:03"}) {
    EXPECT_EQ(ParseTimestamp(bad), std::nullopt) << bad;
  }
}

TEST(TrimTest, RemovesBlanksAtBothEnds) {
  EXPECT_EQ(Trim(" \ta b\t "), "a b");
  EXPECT_EQ(Trim(" \t "), "");
}

TEST(QuoteTest, ShowsBytesAndCutsLongText) {
  EXPECT_EQ(Quote(std::string_view("a\0b\r", 4)), "'a\\x00b\\x0d'");
  EXPECT_EQ(Quote(std::string(100, 'x')), "'" + std::string(48, 'x') + "...'");
}

}  // namespace
}  // namespace sparseserve::traces
