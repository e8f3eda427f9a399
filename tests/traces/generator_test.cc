#include "traces/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/traces/test_traces.h"
#include "traces/csv.h"

namespace sparseserve::traces {
namespace {

using ::testing::HasSubstr;

// Task a has one sample, task b three; all lengths differ.
constexpr const char* kTable =
    "task,prompt_tokens_llama2,prompt_tokens_llama3,output_tokens_llama2_7b_chat,"
    "output_tokens_llama3_8b_instruct,gen_cap\n"
    "a,10,20,1,2,64\nb,11,21,3,4,128\nb,12,22,3,4,128\nb,13,23,3,4,128\n";

std::map<std::int64_t, int> CountPrompts(const std::vector<Request>& requests) {
  std::map<std::int64_t, int> counts;
  for (const Request& request : requests) ++counts[request.prompt.value()];
  return counts;
}

TEST(LongBenchTest, TheShippedTableHasAllSamplesWithinTheirCap) {
  CsvReader csv{LineReader("traces/longbench_lengths.csv")};
  std::map<std::string, int> samples;
  int total = 0;
  while (csv.Next()) {
    ++samples[std::string(csv.fields()[0])];
    ++total;
    for (const char* column :
         {"output_tokens_llama2_7b_chat", "output_tokens_llama3_8b_instruct"}) {
      const auto output = std::stoi(std::string(csv.fields()[csv.Require(column)]));
      EXPECT_GE(output, 1);
      EXPECT_LE(output, std::stoi(std::string(csv.fields()[csv.Require("gen_cap")])));
    }
  }
  EXPECT_EQ(total, 4750);
  EXPECT_EQ(samples.size(), 21U);
  EXPECT_EQ(samples["multifieldqa_en"], 150);
  EXPECT_EQ(samples["lcc"], 500);
}

TEST(LongBenchTest, TheDefaultMixIsValidAndDeterministic) {
  LongBenchOptions options;
  options.num_requests = 2000;
  const auto requests = ReadAll(GenerateLongBench(options));
  ASSERT_EQ(requests.size(), 2000U);
  ExpectValid(requests);
  const auto again = ReadAll(GenerateLongBench(options));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].arrival, again[i].arrival);
    EXPECT_EQ(requests[i].prompt, again[i].prompt);
  }
}

TEST(LongBenchTest, AnotherRateKeepsTheLengths) {
  LongBenchOptions slow;
  LongBenchOptions fast;
  fast.arrivals.rate_per_s = 10;
  const auto a = ReadAll(GenerateLongBench(slow));
  const auto b = ReadAll(GenerateLongBench(fast));
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].prompt, b[i].prompt);
    EXPECT_EQ(a[i].output, b[i].output);
  }
  EXPECT_GT(a.back().arrival, b.back().arrival);
}

TEST(LongBenchTest, TheMixWeighsTasksOrSamples) {
  const TestFile table(kTable);
  LongBenchOptions options;
  options.table = table.path();
  options.tasks = {"a", "b"};
  options.num_requests = 40'000;
  // Standard error of a share p over n draws: sqrt(p (1 - p) / n) <= 0.0025; the bound is five.
  auto counts = CountPrompts(ReadAll(GenerateLongBench(options)));
  EXPECT_NEAR(counts[20] / 4e4, 1.0 / 2, 0.0125);
  EXPECT_NEAR(counts[22] / 4e4, 1.0 / 6, 0.0125);
  options.mix = Mix::kSamples;
  counts = CountPrompts(ReadAll(GenerateLongBench(options)));
  for (const int prompt : {20, 21, 22, 23}) EXPECT_NEAR(counts[prompt] / 4e4, 0.25, 0.0125);
}

TEST(LongBenchTest, OptionsChooseTheColumns) {
  const TestFile table(kTable);
  LongBenchOptions options;
  options.table = table.path();
  options.tasks = {"a"};
  options.num_requests = 1;
  const auto lengths = [&](Tokenizer tokenizer, OutputLengths output) {
    options.tokenizer = tokenizer;
    options.output = output;
    const Request request = *GenerateLongBench(options)->Next();
    return std::make_pair(request.prompt.value(), request.output.value());
  };
  EXPECT_EQ(lengths(Tokenizer::kLlama2, OutputLengths::kNatural), std::make_pair(10L, 1L));
  EXPECT_EQ(lengths(Tokenizer::kLlama3, OutputLengths::kNatural), std::make_pair(20L, 2L));
  EXPECT_EQ(lengths(Tokenizer::kLlama2, OutputLengths::kGenerationCap), std::make_pair(10L, 64L));
  options.max_prompt = Tokens(15);
  EXPECT_EQ(lengths(Tokenizer::kLlama3, OutputLengths::kNatural), std::make_pair(15L, 2L));
}

TEST(LongBenchTest, MultifieldqaIsBothLanguages) {
  const TestFile table(
      "task,prompt_tokens_llama3,output_tokens_llama3_8b_instruct\n"
      "multifieldqa_en,1,1\nmultifieldqa_zh,2,1\n");
  LongBenchOptions options;
  options.table = table.path();
  options.tasks = {"multifieldqa"};
  EXPECT_EQ(CountPrompts(ReadAll(GenerateLongBench(options))).size(), 2U);
  options.tasks = {"multifieldqa_zh"};
  EXPECT_EQ(CountPrompts(ReadAll(GenerateLongBench(options))).size(), 1U);
}

TEST(LongBenchTest, NamesBadOptionsAndTables) {
  LongBenchOptions options;
  options.tasks = {"qaspar"};
  EXPECT_THAT(ErrorOf([&] { GenerateLongBench(options); }),
              HasSubstr("workload.tasks: no samples of task 'qaspar'; expected tasks of "
                        "traces/longbench_lengths.csv; is 'qasper' meant?"));
  options.tasks.clear();
  EXPECT_THAT(ErrorOf([&] { GenerateLongBench(options); }), HasSubstr("tasks: the list is empty"));
  options.tasks = {"a"};
  options.max_prompt = Tokens(-1);
  EXPECT_THAT(ErrorOf([&] { GenerateLongBench(options); }), HasSubstr("max_prompt: is negative"));
  options.max_prompt = Tokens(0);
  const TestFile bad("task,prompt_tokens_llama3,output_tokens_llama3_8b_instruct\na,1,1\na,0,1\n");
  options.table = bad.path();
  EXPECT_THAT(ErrorOf([&] { GenerateLongBench(options); }),
              HasSubstr(":3: prompt_tokens_llama3: '0' is out of range"));
  options.tokenizer = Tokenizer::kLlama2;
  EXPECT_THAT(ErrorOf([&] { GenerateLongBench(options); }),
              HasSubstr(":1: prompt_tokens_llama2: column is missing"));
}

struct Moments {
  double mean = 0;
  double deviation = 0;
};

Moments PromptMoments(const LengthDistribution& prompt, int num_requests) {
  SyntheticOptions options;
  options.prompt = prompt;
  options.num_requests = num_requests;
  double sum = 0;
  double squares = 0;
  for (const Request& request : ReadAll(GenerateSynthetic(options))) {
    EXPECT_GE(request.prompt, prompt.min);
    EXPECT_LE(request.prompt, prompt.max);
    const auto length = static_cast<double>(request.prompt.value());
    sum += length;
    squares += length * length;
  }
  const double mean = sum / num_requests;
  return {mean, std::sqrt(squares / num_requests - mean * mean)};
}

TEST(SyntheticTest, LengthsHaveTheirMeanAndDeviation) {
  constexpr int kNum = 50'000;
  const double sigmas = 5 / std::sqrt(kNum);  // five standard errors of a mean, in deviations
  const auto constant = PromptMoments({LengthKind::kConstant, 700, 0}, 100);
  EXPECT_EQ(constant.mean, 700);
  EXPECT_EQ(constant.deviation, 0);
  // Whole numbers of [1, 101]: mean 51, variance (101^2 - 1) / 12.
  const auto uniform = PromptMoments({LengthKind::kUniform, 1, 0, Tokens(1), Tokens(101)}, kNum);
  EXPECT_NEAR(uniform.mean, 51, 29.2 * sigmas);
  EXPECT_NEAR(uniform.deviation, std::sqrt(850), 0.5);
  const auto normal = PromptMoments({LengthKind::kNormal, 4000, 300}, kNum);
  EXPECT_NEAR(normal.mean, 4000, 300 * sigmas);
  EXPECT_NEAR(normal.deviation, 300, 8);
  const auto log_normal = PromptMoments({LengthKind::kLogNormal, 4000, 2000}, kNum);
  EXPECT_NEAR(log_normal.mean, 4000, 2000 * sigmas);
  EXPECT_NEAR(log_normal.deviation, 2000, 100);
}

TEST(SyntheticTest, TruncationHoldsAndStreamsAreSeparate) {
  SyntheticOptions options;
  options.prompt = {LengthKind::kNormal, 100, 100, Tokens(90), Tokens(110)};
  options.output = {LengthKind::kUniform, 1, 0, Tokens(1), Tokens(1000)};
  const auto requests = ReadAll(GenerateSynthetic(options));
  ExpectValid(requests);
  for (const Request& request : requests) EXPECT_LE(std::abs(request.prompt.value() - 100), 10);
  options.prompt = {LengthKind::kConstant, 5, 0};
  const auto others = ReadAll(GenerateSynthetic(options));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].output, others[i].output);
    EXPECT_EQ(requests[i].arrival, others[i].arrival);
  }
}

TEST(SyntheticTest, PromptAndOutputAreIndependent) {
  SyntheticOptions options;
  options.prompt = {LengthKind::kUniform, 1, 0, Tokens(1), Tokens(1000)};
  options.output = options.prompt;
  options.num_requests = 10'000;
  double product = 0;  // sum of both deviations from the mean, 500.5; variance (1000^2 - 1) / 12
  for (const Request& request : ReadAll(GenerateSynthetic(options))) {
    product += (static_cast<double>(request.prompt.value()) - 500.5) *
               (static_cast<double>(request.output.value()) - 500.5);
  }
  EXPECT_NEAR(product / 1e4 / 83'333.25, 0, 5 / std::sqrt(1e4)) << "correlation";
}

TEST(SyntheticTest, RejectsBadDistributions) {
  const auto error = [](const LengthDistribution& prompt) {
    return ErrorOf([&] {
      SyntheticOptions options;
      options.prompt = prompt;
      ReadAll(GenerateSynthetic(options));
    });
  };
  EXPECT_THAT(error({LengthKind::kUniform, 1, 0, Tokens(5), Tokens(4)}),
              HasSubstr("prompt: the range"));
  EXPECT_THAT(error({LengthKind::kUniform, 1, 0, Tokens(0), Tokens(4)}),
              HasSubstr("prompt: the range"));
  EXPECT_THAT(error({LengthKind::kNormal, -4, 1}), HasSubstr("prompt: the mean"));
  EXPECT_THAT(error({LengthKind::kNormal, 4, std::nan("")}), HasSubstr("prompt: the standard"));
  EXPECT_THAT(error({LengthKind::kConstant, 10, 0, Tokens(20), Tokens(30)}),
              HasSubstr("hardly any"));
  EXPECT_THAT(error({LengthKind::kNormal, 10, 1, Tokens(200), Tokens(300)}),
              HasSubstr("hardly any"));
}

}  // namespace
}  // namespace sparseserve::traces
