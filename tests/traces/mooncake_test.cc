#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/traces/test_traces.h"
#include "traces/reader.h"

namespace sparseserve::traces {
namespace {

using ::testing::HasSubstr;

constexpr const char* kGood =
    R"({"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [0, 1]})"
    "\n";

std::vector<Request> Parse(const std::string& content, ReadOptions options = {}) {
  options.format = Format::kMooncake;
  const TestFile file(content);
  return ReadAll(OpenTrace(file.path(), options));
}

std::string ParseError(const std::string& content, const ReadOptions& options = {}) {
  return ErrorOf([&] { Parse(content, options); });
}

TEST(MooncakeTest, ReadsMillisecondsAndTokens) {
  const auto requests = Parse(
      R"({"timestamp": 27482, "input_length": 513, "output_length": 52, "hash_ids": [46, 7]})");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].arrival, SimTime(27'482'000'000));
  EXPECT_EQ(requests[0].prompt, Tokens(513));
  EXPECT_EQ(requests[0].output, Tokens(52));
}

TEST(MooncakeTest, ReadsFractionalMillisecondsKeysInAnyOrderAndUnknownKeys) {
  const auto requests = Parse(
      R"({"hash_ids":[1],"session_id":"x","tools":[{"a":[1,2,{}]}],"output_length":2,"delay":1.5,)"
      R"("input_length":3,"timestamp":0.25})");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].arrival, SimTime(250'000));
  EXPECT_EQ(requests[0].prompt, Tokens(3));
}

// simdjson's iterate_many() drops such a line without an error.
TEST(MooncakeTest, ALastLineThatIsCutOffIsAnErrorAtEveryByte) {
  const std::string last(kGood, std::string(kGood).size() - 1);
  ReadOptions lenient;
  lenient.max_bad_rows = 100;
  for (std::size_t bytes = 1; bytes < last.size(); ++bytes) {
    EXPECT_THAT(ParseError(kGood + last.substr(0, bytes), lenient),
                HasSubstr(":2: the last line is cut off"))
        << bytes;
  }
  EXPECT_EQ(Parse(kGood + last).size(), 2U);
}

TEST(MooncakeTest, SkipsAndCountsBadRowsUpToTheLimit) {
  const TestFile file(std::string(kGood) + "not json\n" + kGood + "{}\n" + kGood);
  ReadOptions options;
  options.max_bad_rows = 2;
  const auto trace = OpenTrace(file.path(), options);
  const auto requests = ReadAll(*trace);
  ExpectValid(requests);
  EXPECT_EQ(trace->stats().rows, 3);
  EXPECT_EQ(trace->stats().bad_rows, 2);
  options.max_bad_rows = 1;
  EXPECT_THAT(ErrorOf([&] { ReadAll(OpenTrace(file.path(), options)); }),
              HasSubstr(":4: timestamp: key is missing"));
}

TEST(MooncakeTest, NamesTheBlockSizeThatFits) {
  const std::string rows =
      R"({"timestamp": 0, "input_length": 40, "output_length": 5, "hash_ids": [0, 1, 2]})";
  EXPECT_THAT(ParseError(rows),
              HasSubstr(":1: hash_ids: 3 ids for 40 input tokens; expected 1 with "
                        "blocks of 512 tokens; a block of 16 tokens fits"));
  ReadOptions options;
  options.mooncake_block_tokens = Tokens(16);
  EXPECT_EQ(Parse(rows, options).size(), 1U);
  // 1000 tokens in 2 blocks (500..999) and then 5000 tokens in 3 (1667..2499): no size fits both.
  EXPECT_THAT(ParseError(std::string(kGood) + R"({"timestamp": 0, "input_length": 5000, )" +
                         R"("output_length": 5, "hash_ids": [0, 1, 2]})"),
              HasSubstr(":2: hash_ids: 3 ids for 5000 input tokens; expected 10 with blocks of 512 "
                        "tokens; no block size fits"));
}

TEST(MooncakeTest, TheCeilRuleHoldsExactly) {
  for (std::int64_t size : {1, 16, 500, 512}) {
    ReadOptions options;
    options.mooncake_block_tokens = Tokens(size);
    for (std::int64_t tokens : {1, 15, 16, 17, 511, 512, 513, 1024, 1025}) {
      for (std::int64_t ids = 0; ids <= 4; ++ids) {
        std::string list;
        for (std::int64_t i = 0; i < ids; ++i) list += (i > 0 ? ", " : "") + std::to_string(i);
        const std::string row = R"({"timestamp": 0, "input_length": )" + std::to_string(tokens) +
                                R"(, "output_length": 1, "hash_ids": [)" + list + "]}\n";
        if ((tokens + size - 1) / size == ids) {
          EXPECT_EQ(Parse(row, options).size(), 1U) << row;
        } else {
          EXPECT_THAT(ParseError(row, options), HasSubstr(":1: hash_ids: ")) << row;
        }
      }
    }
  }
}

TEST(MooncakeTest, StrictRejectsUnknownRepeatedAndMissingKeys) {
  ReadOptions strict;
  strict.strict = true;
  EXPECT_EQ(Parse(kGood, strict).size(), 1U);
  const std::string base = R"({"timestamp": 0, "input_length": 1, "output_length": 5)";
  EXPECT_EQ(Parse(base + "}").size(), 1U);
  EXPECT_THAT(ParseError(base + "}", strict), HasSubstr(":1: hash_ids: key is missing"));
  EXPECT_THAT(ParseError(base + R"(, "delay": 1, "hash_ids": [1]})", strict),
              HasSubstr(":1: delay: unknown key"));
  const std::string twice = base + R"(, "output_length": 6, "hash_ids": [1]})";
  EXPECT_THAT(ParseError(twice, strict), HasSubstr(":1: output_length: key stands twice"));
  EXPECT_EQ(Parse(twice)[0].output, Tokens(5)) << "the first one counts";
}

TEST(MooncakeTest, RejectsABlockSizeOfZero) {
  ReadOptions options;
  options.mooncake_block_tokens = Tokens(0);
  EXPECT_THAT(ParseError(kGood, options),
              HasSubstr("mooncake_block_tokens: 0; expected a positive"));
}

TEST(MooncakeTest, ReadsLinesLongerThanTheReadBuffer) {
  std::string ids = "0";
  for (int i = 1; i < 200'000; ++i) ids += ", " + std::to_string(i);
  const std::string row = R"({"timestamp": 0, "input_length": 102400000, "output_length": 5, )"
                          R"("hash_ids": [)" +
                          ids + "]}\n";
  EXPECT_EQ(Parse(row + row + kGood).size(), 3U);
}

}  // namespace
}  // namespace sparseserve::traces
