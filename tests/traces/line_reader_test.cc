#include "traces/line_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/rng.h"
#include "tests/traces/test_traces.h"

namespace sparseserve::traces {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Lines(const std::string& content) {
  const TestFile file(content);
  LineReader reader(file.path());
  std::vector<std::string> lines;
  while (const auto line = reader.Next()) lines.emplace_back(*line);
  return lines;
}

TEST(LineReaderTest, SplitsAtLfAndCrlf) {
  EXPECT_THAT(Lines("a\nb\r\n\nc\n"), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(Lines(""), ElementsAre());
  EXPECT_THAT(Lines("\n"), ElementsAre(""));
}

TEST(LineReaderTest, ReturnsALastLineWithoutALineEndAndSaysSo) {
  const TestFile file("a\nb");
  LineReader reader(file.path());
  EXPECT_EQ(reader.Next(), "a");
  EXPECT_TRUE(reader.ended_with_newline());
  EXPECT_EQ(reader.Next(), "b");
  EXPECT_FALSE(reader.ended_with_newline());
  EXPECT_EQ(reader.line(), 2);
  EXPECT_EQ(reader.Next(), std::nullopt);
  EXPECT_EQ(reader.Next(), std::nullopt);
}

TEST(LineReaderTest, SkipsAByteOrderMark) {
  EXPECT_THAT(Lines("\xef\xbb\xbf"
                    "a\nb"),
              ElementsAre("a", "b"));
}

TEST(LineReaderTest, PeekDoesNotMoveOn) {
  const TestFile file("a\nb\n");
  LineReader reader(file.path());
  EXPECT_EQ(reader.Peek(), "a");
  EXPECT_EQ(reader.line(), 0);
  EXPECT_EQ(reader.Peek(), "a");
  LineReader moved(std::move(reader));
  EXPECT_EQ(moved.Next(), "a");
  EXPECT_EQ(moved.line(), 1);
  EXPECT_EQ(moved.Next(), "b");
  EXPECT_EQ(moved.Peek(), std::nullopt);
}

// Lines up to a few chunks long, against std::getline's idea of the same text.
TEST(LineReaderTest, AgreesWithASlowSplitOverChunkBorders) {
  RandomStream random(3, "line-reader");
  for (int trial = 0; trial < 20; ++trial) {
    std::string content;
    std::vector<std::string> expected;
    for (int i = 0; i < 6; ++i) {
      expected.emplace_back(static_cast<std::size_t>(random.UniformInt(0, 400'000)), 'a' + i);
      content += expected.back() + "\n";
    }
    EXPECT_EQ(Lines(content), expected) << "seed 3, trial " << trial;
  }
}

TEST(LineReaderTest, BoundsTheLineLength) {
  const TestFile file("a\n" + std::string(2000, 'x') + "\nb\n");
  LineReader fits(file.path(), 2000);
  EXPECT_EQ(fits.Next(), "a");
  EXPECT_EQ(fits.Next()->size(), 2000U);
  LineReader reader(file.path(), 1999);
  EXPECT_EQ(reader.Next(), "a");
  EXPECT_THAT(ErrorOf([&] { reader.Next(); }),
              HasSubstr(file.path() + ":2: line longer than 1999 bytes"));
}

TEST(LineReaderTest, StopsAtAnEndlessLineWithoutReadingItAll) {
  LineReader reader("/dev/zero", std::size_t{1} << 20);
  EXPECT_THAT(ErrorOf([&] { reader.Next(); }), HasSubstr("/dev/zero:1: line longer than 1048576"));
}

TEST(LineReaderTest, NamesWhatIsNoTextFile) {
  EXPECT_THAT(ErrorOf([] { LineReader{"no/such/file"}; }), HasSubstr("no/such/file: no such file"));
  EXPECT_THAT(ErrorOf([] { LineReader{::testing::TempDir()}; }), HasSubstr("is a directory"));
  const TestFile gzip("\x1f\x8b\x08");
  EXPECT_THAT(ErrorOf([&] { LineReader{gzip.path()}; }), HasSubstr("compressed (gzip)"));
  const TestFile utf16(
      "\xff\xfe"
      "a");
  EXPECT_THAT(ErrorOf([&] { LineReader{utf16.path()}; }), HasSubstr("UTF-16"));
}

}  // namespace
}  // namespace sparseserve::traces
