#include "sim/report/comparison.h"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "sim/report/comparison_text.h"

namespace sparseserve::report {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;
using ::testing::StartsWith;
using enum Metric;

const MetricComparison& Of(const Comparison& comparison, Metric metric) {
  return comparison.metrics[static_cast<std::size_t>(metric)];
}

RunFigures With(Metric metric, double value) {
  RunFigures figures;
  figures[metric] = value;
  return figures;
}

TEST(CompareTest, AnErrorIsRelativeToAAndSigned) {
  const auto error = [](double a, double b) {
    return Of(Compare(With(kMeanTtft, a), With(kMeanTtft, b)), kMeanTtft).error;
  };
  EXPECT_THAT(error(200, 250), Optional(25.0));
  EXPECT_THAT(error(250, 200), Optional(-20.0));
  EXPECT_THAT(error(0, 0), Optional(0.0));
  EXPECT_FALSE(error(0, 1));
}

TEST(CompareTest, PercentagesDifferByPoints) {
  const Comparison comparison = Compare(With(kHitRate, 90), With(kHitRate, 85));
  EXPECT_THAT(Of(comparison, kHitRate).error, Optional(-5.0));
  EXPECT_FALSE(Of(comparison, kHitRate).is_exceeded);
  EXPECT_TRUE(Of(Compare(With(kHitRate, 90), With(kHitRate, 79)), kHitRate).is_exceeded);
}

TEST(CompareTest, EqualMeansExactlyEqual) {
  EXPECT_TRUE(Of(Compare(With(kBlockLoads, 1e9), With(kBlockLoads, 1e9)), kBlockLoads).is_equal);
  const Comparison off_by_one = Compare(With(kBlockLoads, 1e5), With(kBlockLoads, 1e5 + 1));
  EXPECT_FALSE(Of(off_by_one, kBlockLoads).is_equal);
  EXPECT_THAT(ComparisonText(off_by_one), HasSubstr("+0.001 %"));
}

TEST(CompareTest, WhatOneSideLacksIsNeitherJudgedNorZero) {
  RunFigures a = With(kMeanTtft, 100);
  RunFigures b = With(kMeanTtft, 100);
  a[kMedianIteration] = 12.5;
  b[kHitRate] = 95;
  const Comparison comparison = Compare(a, b);
  EXPECT_FALSE(Of(comparison, kMedianIteration).error);
  EXPECT_FALSE(Of(comparison, kMedianIteration).is_judged);
  EXPECT_TRUE(comparison.IsWithinTolerance());
  EXPECT_FALSE(comparison.gap);
  const std::string text = ComparisonText(comparison);
  EXPECT_THAT(text, HasSubstr("  duration median               ms                  12.50"
                              "               -               -\n"));
  EXPECT_THAT(text, HasSubstr("  hit rate                      %                       -"
                              "           95.00               -\n"));
  EXPECT_THAT(text, Not(HasSubstr("block loads"))) << "known to nobody";
  EXPECT_THAT(ComparisonCsv(comparison), HasSubstr("\nmedian_iteration_ms,iterations,ms,12.5,,\n"));
}

TEST(CompareTest, TheToleranceIncludesItsBound) {
  const auto within = [](Metric metric, double a, double b, double tolerance) {
    return Compare(With(metric, a), With(metric, b), tolerance).IsWithinTolerance();
  };
  for (const Metric key : {kOutputThroughput, kMeanTtft, kMeanTpot, kMedianIteration, kHitRate}) {
    EXPECT_TRUE(within(key, 100, 75, 0.25)) << InfoOf(key).name;
    EXPECT_TRUE(within(key, 100, 125, 0.25)) << InfoOf(key).name;
    EXPECT_FALSE(within(key, 100, 74.9, 0.25)) << InfoOf(key).name;
    EXPECT_FALSE(within(key, 100, 125.1, 0.25)) << InfoOf(key).name;
  }
  EXPECT_TRUE(within(kP99Ttft, 100, 900, 0.25)) << "no key metric";
  EXPECT_TRUE(within(kMeanTtft, 7, 7, 0));
  EXPECT_FALSE(within(kMeanTtft, 0, 1e-9, 100)) << "from 0 to anything";
}

TEST(CompareTest, NothingInCommonIsNotJudged) {
  const Comparison comparison = Compare(With(kMeanTtft, 1), With(kMeanTpot, 1));
  EXPECT_FALSE(comparison.IsJudged());
  EXPECT_EQ(Verdict(comparison), "no key metric is known to both sides");
  EXPECT_TRUE(Compare(With(kMeanTtft, 1), With(kMeanTtft, 9)).IsJudged());
}

TEST(CompareTest, WhatShouldBeEqualIsNamedWhereBothSidesSay) {
  RunFigures a, b;
  a.model = "meta-llama/Llama-3.1-8B";
  b.model = "llama-3.1-8b";
  a.system = "vllm";
  b.hardware = "h100";
  EXPECT_THAT(Compare(a, b).differences, ElementsAre());
  b.model = "llama-3.1-70b";
  b.system = "vllm-so";
  a.hardware = "a100";
  a.seed = "1";
  b.seed = "2";
  a.num_requests = 10;
  b.num_requests = 20;
  EXPECT_THAT(
      Compare(a, b).differences,
      ElementsAre("model (meta-llama/Llama-3.1-8B, llama-3.1-70b)", "system (vllm, vllm-so)",
                  "hardware (a100, h100)", "seed (1, 2)", "number of requests (10, 20)"));
}

// A: 100 iterations of 60 ms compute, 30 attention, 10 load stall: busy for 10 of 20 s.
// B:  80 iterations of 60 ms compute, 10 attention, 20 load stall: busy for 7.2 of 18 s.
Comparison TwoRuns() {
  RunFigures a = With(kMeanTtft, 100);
  RunFigures b = With(kMeanTtft, 120);
  a.source = "measured";
  a.kind = b.kind = "run";
  b.source = "predicted";
  b.seed = "1";
  a.busy = {.duration_s = 20, .num_iterations = 100, .parts_s = {6, 3, 1, 0, 0, 0}};
  b.busy = {.duration_s = 18, .num_iterations = 80, .parts_s = {4.8, 0.8, 1.6, 0, 0, 0}};
  return Compare(a, b);
}

TEST(GapTest, ContributionsAddUpToTheGap) {
  const std::optional<GapExplanation> gap = TwoRuns().gap;
  ASSERT_TRUE(gap);
  // 90 iterations in the mean, 20 fewer; 1 s is 5 points of A's 20 s.
  const auto has = [](std::string_view component, double a, double b, double points) {
    return ::testing::AllOf(::testing::Field(&Contribution::component, component),
                            ::testing::Field(&Contribution::a, DoubleNear(a, 1e-9)),
                            ::testing::Field(&Contribution::b, DoubleNear(b, 1e-9)),
                            ::testing::Field(&Contribution::points, DoubleNear(points, 1e-9)));
  };
  EXPECT_THAT(gap->contributions,
              ElementsAre(has(kNumberOfIterations, 100, 80, -20 * 0.095 * 5),
                          has("attention", 30, 10, -90 * 0.02 * 5),
                          has("load stall", 10, 20, 90 * 0.01 * 5), has("compute", 60, 60, 0),
                          has("save stall", 0, 0, 0), has("host", 0, 0, 0), has("other", 0, 0, 0)));
  double sum = 0;
  for (const Contribution& c : gap->contributions) sum += c.points;
  EXPECT_NEAR(sum, gap->busy_points, 1e-9);
  EXPECT_NEAR(gap->busy_points, -14, 1e-9);
  EXPECT_NEAR(gap->idle_points, 4, 1e-9);
  EXPECT_NEAR(gap->duration_points, -10, 1e-9);
}

TEST(GapTest, ASentenceNamesTheReasonsInOrder) {
  EXPECT_EQ(GapSentence(*TwoRuns().gap),
            "B's iterations take 14.0 % of A's duration less than A's; of that 9.5 points are the "
            "number of iterations, 9.0 attention; the other way: 4.5 points are load stall.");
  const Comparison runs = TwoRuns();
  EXPECT_EQ(GapSentence(*Compare(runs.a, runs.a).gap),
            "B's iterations take as long in all as A's.");
  EXPECT_THAT(GapSentence(*Compare(runs.b, runs.a).gap),
              StartsWith("B's iterations take 15.6 % of A's duration longer than A's; of that "));
}

TEST(ComparisonTextTest, ShowsBothSidesTheGapAndTheVerdict) {
  EXPECT_EQ("\n" + ComparisonText(TwoRuns()), R"(
A: measured: run
B: predicted: run (seed 1)

end to end                                              A               B           error
  TTFT mean                     ms                  100.0           120.0         +20.0 % !

gap, in % of A's duration                               A               B           B - A
  number of iterations                                100              80     -9.5 points
  attention                     ms/iter            30.000          10.000     -9.0 points
  load stall                    ms/iter            10.000          20.000     +4.5 points
  compute                       ms/iter            60.000          60.000      0.0 points
  save stall                    ms/iter             0.000           0.000      0.0 points
  host                          ms/iter             0.000           0.000      0.0 points
  = busy                                                                     -14.0 points
  idle                                                                        +4.0 points
  = duration                                                                 -10.0 points

B's iterations take 14.0 % of A's duration less than A's; of that 9.5 points are the number of iterations, 9.0 attention; the other way: 4.5 points are load stall.

beyond the tolerance of 10 %: mean_ttft_ms +20.0 %
)");
}

TEST(ComparisonTextTest, MarkdownHoldsTheDefinitions) {
  EXPECT_THAT(
      ComparisonText(TwoRuns(), Style::kMarkdown),
      HasSubstr("| TTFT mean | ms | 100.0 | 120.0 | +20.0 % ! | arrival to first token |\n"));
}

TEST(ComparisonTextTest, CsvHasARowPerMetricUnrounded) {
  const std::string csv = ComparisonCsv(Compare(With(kDuration, 0.1), With(kDuration, 0.3)));
  EXPECT_THAT(csv, StartsWith("metric,group,unit,a,b,error\ncompleted,end to end,requests,,,\n"
                              "duration,end to end,s,0.1,0.3,"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), std::ptrdiff_t{kNumMetrics} + 1);
}

TEST(ComparisonTextTest, JsonSaysWhatTheTableSays) {
  const auto json = nlohmann::json::parse(ComparisonJson(TwoRuns()));
  EXPECT_EQ(json["schema"], "sparseserve-comparison/1");
  EXPECT_EQ(json["b"]["seed"], "1");
  EXPECT_EQ(json["a"]["seed"], nullptr);
  EXPECT_EQ(json["within_tolerance"], false);
  EXPECT_EQ(json["exceeded"], nlohmann::json({"mean_ttft_ms"}));
  EXPECT_EQ(json["metrics"].size(), kNumMetrics);
  const auto& ttft = json["metrics"][static_cast<std::size_t>(kMeanTtft)];
  EXPECT_EQ(ttft["a"], 100.0);
  EXPECT_EQ(ttft["error"], 20.0);
  EXPECT_EQ(json["metrics"][static_cast<std::size_t>(kHitRate)]["a"], nullptr);
  EXPECT_EQ(json["gap"]["contributions"].size(), kNumBusyParts + 1);
  EXPECT_EQ(nlohmann::json::parse(ComparisonJson(Compare({}, {})))["gap"], nullptr);
}

}  // namespace
}  // namespace sparseserve::report
