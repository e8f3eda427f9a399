#include "traces/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <system_error>

#include "sim/core/rng.h"
#include "tests/traces/test_traces.h"

namespace sparseserve::traces {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Request> Parse(const std::string& content, const ReadOptions& options = {}) {
  const TestFile file(content);
  return ReadAll(OpenTrace(file.path(), options));
}
std::string ParseError(const std::string& content, const ReadOptions& options = {}) {
  return ErrorOf([&] { Parse(content, options); });
}

TEST(ReaderTest, RecognisesEachSampleByItsFirstLine) {
  const std::pair<const char*, Format> samples[] = {{"mooncake.jsonl", Format::kMooncake},
                                                    {"azure_2023.csv", Format::kAzure},
                                                    {"azure_2024.csv", Format::kAzure},
                                                    {"burstgpt_8_columns.csv", Format::kBurstGpt},
                                                    {"burstgpt_6_columns.csv", Format::kBurstGpt},
                                                    {"vidur.csv", Format::kVidur},
                                                    {"sparseserve.csv", Format::kSparseServe}};
  for (const auto& [name, format] : samples) {
    const std::string path = std::string("traces/samples/") + name;
    const auto trace = OpenTrace(path);
    EXPECT_EQ(trace->format(), format) << name;
    const auto requests = ReadAll(*trace);
    EXPECT_GE(requests.size(), 20U) << name;
    ExpectValid(requests);
    EXPECT_EQ(trace->stats().bad_rows, 0) << name;
    ReadOptions strict;
    strict.format = format;
    strict.strict = true;
    EXPECT_EQ(ReadAll(OpenTrace(path, strict)).size(), requests.size()) << name;
  }
}

TEST(ReaderTest, NamesAndFormatsAreInverse) {
  const auto names = FormatNames();
  EXPECT_THAT(names, ElementsAre("auto", "mooncake", "azure", "burstgpt", "vidur", "sparseserve"));
  for (const auto& name : names) EXPECT_EQ(NameOf(FormatByName(name).value()), name);
  EXPECT_EQ(FormatByName("csv"), std::nullopt);
}

TEST(ReaderTest, DetectionListsTheFormatsItKnows) {
  const std::string error = ParseError("\na,b,c\n1,2,3\n");
  EXPECT_THAT(error, HasSubstr(":2: no known trace format starts with 'a,b,c'; expected "));
  for (const auto& name : FormatNames()) {
    if (name == "auto") continue;
    EXPECT_THAT(error, HasSubstr("(" + name + ")"));
  }
  EXPECT_THAT(ParseError(""), HasSubstr("the file is empty"));
  EXPECT_THAT(ParseError(" \n\n"), HasSubstr("the file is empty"));
}

TEST(ReaderTest, AzureStartsAtZeroAndKeepsAllDigits) {
  const auto requests = Parse(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
      "2023-11-16 18:15:50.9951691,396,109");
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(0, 4'314'579'100));
  EXPECT_EQ(requests[1].prompt, Tokens(396));
  EXPECT_EQ(requests[1].output, Tokens(109)) << "no carriage return, no final line end";
}

TEST(ReaderTest, AzureOffsetsCount) {
  EXPECT_THAT(ArrivalsNs(Parse("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                               "2024-05-10 00:00:00.009930+00:00,1,1\n"
                               "2024-05-10 02:00:01.009930+02:00,1,1\n")),
              ElementsAre(0, 1'000'000'000));
}

TEST(ReaderTest, BurstGptDropsAndCountsFailures) {
  const TestFile file(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
      "5,ChatGPT,472,18,490,Conversation log\n45.5,ChatGPT,1087,0,1087,Conversation log\n"
      "118,GPT-4,417,276,693,API log\n");
  const auto trace = OpenTrace(file.path());
  const auto requests = ReadAll(*trace);
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(5'000'000'000, 118'000'000'000));
  ExpectValid(requests);
  EXPECT_EQ(trace->stats().rows, 2);
  EXPECT_EQ(trace->stats().dropped_rows, 1);
}

TEST(ReaderTest, BurstGptIsReadByHeaderNotByPosition) {
  const auto requests = Parse(
      "Log Type,Response tokens,Elapsed time,Session ID,Request tokens,Timestamp\n"
      "API log,7,1.5,abc,9,2.25\n");
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(2'250'000'000));
  EXPECT_EQ(requests[0].prompt, Tokens(9));
  EXPECT_EQ(requests[0].output, Tokens(7));
}

TEST(ReaderTest, VidurIgnoresItsIndexColumn) {
  const auto requests = Parse(
      ",arrived_at,num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n"
      "0,0.5,10,20,30,0.5\n");
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(500'000'000));
  EXPECT_EQ(requests[0].output, Tokens(20));
}

TEST(ReaderTest, ShiftToZeroMovesTheFirstArrival) {
  ReadOptions options;
  options.shift_to_zero = true;
  const std::string rows = "arrival_s,prompt_tokens,output_tokens\n7.5,1,1\n8,1,1\n";
  EXPECT_THAT(ArrivalsNs(Parse(rows, options)), ElementsAre(0, 500'000'000));
  EXPECT_THAT(ArrivalsNs(Parse(rows)), ElementsAre(7'500'000'000, 8'000'000'000));
}

TEST(ReaderTest, ABadRowLeavesNoTraceInTheNextOnes) {
  ReadOptions options;
  options.max_bad_rows = 3;
  const auto requests =
      Parse("arrival_s,prompt_tokens,output_tokens\n1,1,1\n9,x,1\n2,2\n0.5,1,1\n3,4,5\n", options);
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(1'000'000'000, 3'000'000'000));
  ExpectValid(requests);
}

TEST(ReaderTest, EqualTimesKeepFileOrderAndOneNanosecondBackIsAnError) {
  const std::string rows = "arrival_s,prompt_tokens,output_tokens\n1,9,1\n1.000000000,8,1\n";
  const auto requests = Parse(rows);
  EXPECT_EQ(requests[0].prompt, Tokens(9));
  EXPECT_EQ(requests[1].prompt, Tokens(8));
  EXPECT_THAT(ParseError(rows + "0.999999999,1,1\n"), HasSubstr(":4: arrives before the row of"));
}

TEST(ReaderTest, StrictRejectsUnknownColumns) {
  ReadOptions strict;
  strict.strict = true;
  const std::string rows = "arrival_s,prompt_tokens,output_tokens,user\n1,1,1,x\n";
  EXPECT_EQ(Parse(rows).size(), 1U);
  EXPECT_THAT(ParseError(rows, strict), HasSubstr(":1: user: unknown column"));
}

TEST(ReaderTest, AFileThatCannotBeReadIsASystemError) {
  const TestFile loop;
  std::remove(loop.path().c_str());
  ASSERT_EQ(::symlink(loop.path().c_str(), loop.path().c_str()), 0);
  EXPECT_THROW(OpenTrace(loop.path()), std::system_error);
}

// Whatever is done to a trace, reading it ends in requests that are valid or in an InputError.
TEST(ReaderTest, MutatedSamplesNeverBreakTheReader) {
  RandomStream random(5, "mutate");
  for (const char* name : {"mooncake.jsonl", "azure_2023.csv", "burstgpt_8_columns.csv"}) {
    std::ifstream sample(std::string("traces/samples/") + name, std::ios::binary);
    std::string text(4000, '\0');
    sample.read(text.data(), 4000);
    text.resize(static_cast<std::size_t>(sample.gcount()));
    for (int trial = 0; trial < 300; ++trial) {
      std::string mutated = text;
      for (auto i = random.UniformInt(1, 4); i > 0; --i) {
        const auto size = static_cast<std::int64_t>(mutated.size());
        const auto at = static_cast<std::size_t>(random.UniformInt(0, size - 1));
        if (random.UniformInt(0, 2) == 0) {
          mutated.erase(at, 20);
        } else {
          mutated[at] = "\0\n\r\",{}[]-.9e:\xff "[random.UniformInt(0, 15)];
        }
      }
      ReadOptions options;
      options.max_bad_rows = random.UniformInt(0, 3);
      try {
        ExpectValid(Parse(mutated, options));
      } catch (const InputError& error) {
        EXPECT_THAT(error.what(), HasSubstr("sparseserve_traces_")) << "seed 5, trial " << trial;
      }
    }
  }
}

}  // namespace
}  // namespace sparseserve::traces
