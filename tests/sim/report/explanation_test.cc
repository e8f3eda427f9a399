#include "sim/report/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/report/summary_json.h"
#include "tests/sim/report/test_runs.h"

namespace sparseserve::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

serving::RunResult RunOf() {
  serving::RunResult run;
  run.summary = SummaryOfThreeRequests();
  return run;
}

// TTFT of 100 ms by the parts given; the batch limited for 60 ms of 100 by `bound`.
Explanation Made(double queue_ms, double compute_ms, metrics::BatchBound bound) {
  Explanation e;
  e.completed = 10;
  e.ttft.mean_ms = e.slowest_ttft.mean_ms = 100;
  e.ttft.parts_ms[static_cast<std::size_t>(metrics::Part::kQueue)] = queue_ms;
  e.ttft.parts_ms[static_cast<std::size_t>(metrics::Part::kPrefillCompute)] = compute_ms;
  e.iteration_bounds[0] = {10, 100};
  e.batch_bounds[0] = {4, 40};
  e.batch_bounds[static_cast<std::size_t>(bound)] = {6, 60};
  return e;
}

TEST(ExplanationTest, WhatIsReadIsWhatWasWritten) {
  TemporaryDirectory dir;
  const std::string text = SummaryJson(RunOf());
  WriteFile(dir / "summary.json", text);
  const Explanation read = ReadExplanation(dir.path());
  const Explanation made = Explain(RunOf().summary);
  EXPECT_EQ(read.system, "sparseserve");
  EXPECT_EQ(read.ttft.parts_ms, made.ttft.parts_ms);
  EXPECT_EQ(read.itl.parts_ms, made.itl.parts_ms);
  EXPECT_EQ(read.slowest_itl.parts_ms, made.slowest_itl.parts_ms);
  EXPECT_EQ(read.slowest_ttft.samples, made.slowest_ttft.samples);
  EXPECT_EQ(read.iteration_bounds[0].ns, made.iteration_bounds[0].ns);
  EXPECT_EQ(read.batch_bounds[0].iterations, made.batch_bounds[0].iterations);
  EXPECT_EQ(read.evictions, 5);
  EXPECT_TRUE(read.saturated);
  EXPECT_FALSE(IsMeasured(dir.path()));
  EXPECT_TRUE(IsSameSummary(dir.path(), text));
  serving::RunResult other = RunOf();
  other.summary.perf.wall_s = 77;
  EXPECT_TRUE(IsSameSummary(dir.path(), SummaryJson(other))) << "wall-clock figures do not count";
  other.summary.kv.evictions = 6;
  EXPECT_FALSE(IsSameSummary(dir.path(), SummaryJson(other)));
}

TEST(ExplanationTest, AResultWithoutBreakdownsIsToldByItsKey) {
  TemporaryDirectory dir;
  Json json = Json::parse(SummaryJson(RunOf()));
  json.erase("itl_breakdown_ms");
  WriteFile(dir / "summary.json", json.dump());
  try {
    ReadExplanation(dir.path());
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("itl_breakdown_ms"));
  }
}

TEST(ExplanationTest, TheConclusionNamesWhoWaitsForWhat) {
  EXPECT_THAT(
      Conclusions(Made(70, 30, metrics::BatchBound::kHbm)).front(),
      HasSubstr("Requests wait for 70 % of their TTFT, and what keeps them waiting is HBM"));
  EXPECT_THAT(Conclusions(Made(10, 90, metrics::BatchBound::kHbm)).front(),
              HasSubstr("the work itself, not of waiting (10 %)"));
  Explanation unlimited = Made(40, 60, metrics::BatchBound::kDram);
  unlimited.batch_bounds.back() = {0, 0};
  EXPECT_THAT(Conclusions(unlimited).front(), HasSubstr("no limit keeps them out"));
  EXPECT_THAT(
      Conclusions(Made(70, 30, metrics::BatchBound::kHbm))[1],
      HasSubstr("TTFT is 100.0 ms on average (waiting in the queue 70 %, compute of prompts "
                "30 %)"));
  EXPECT_THAT(Conclusions(Explanation{}), ElementsAre(HasSubstr("No request was completed")));
}

TEST(ExplanationTest, TablesShowThePartsThatThereAre) {
  const std::string text = ExplanationText(Made(70, 30, metrics::BatchBound::kWorkingSet));
  EXPECT_THAT(text, HasSubstr("queue                      70.00   70.0"));
  EXPECT_THAT(text, Not(HasSubstr("save_stall")));
  EXPECT_THAT(text, HasSubstr("working-set control"));
  EXPECT_THAT(text, HasSubstr("60.0"));
}

WhatIfTable TwoChanges() {
  const double infinity = std::numeric_limits<double>::infinity();
  WhatIfTable table;
  table.figures = {"mean_ttft_ms", "p99_ttft_ms", "mean_itl_ms"};
  table.base = {200, 400, std::nullopt};
  table.num_seeds = 3;
  table.rows = {
      {"a", "", {WhatIfCell{-20, -22, -18}, WhatIfCell{-40, -90, 10}, {}}, false},
      {"b", "", {WhatIfCell{-50, -120, 20}, WhatIfCell{1, -infinity, infinity}, {}}, true},
      {"c", "does not fit", {}, false}};
  table.left_out = {"w: none"};
  return table;
}

TEST(WhatIfTextTest, ChangesWithinTheSpreadAreMarkedAndNeverTheConclusion) {
  const std::string text = WhatIfText(TwoChanges());
  EXPECT_THAT(text, HasSubstr("-10.0±1.0 "));
  EXPECT_THAT(text, HasSubstr("-25.0±35.0~"));
  EXPECT_THAT(text, HasSubstr("+0.2 ?"));
  EXPECT_THAT(text, HasSubstr("does not fit"));
  EXPECT_THAT(text, HasSubstr("left out: w: none"));
  EXPECT_THAT(WhatIfConclusions(TwoChanges()),
              ElementsAre(HasSubstr("Mean TTFT gains most from a: -10.0±1.0 %")));
  WhatIfTable uncertain = TwoChanges();
  uncertain.rows.erase(uncertain.rows.begin());
  EXPECT_THAT(WhatIfConclusions(uncertain), ElementsAre(HasSubstr("no change tried improves it")));
}

TEST(WhatIfTextTest, WithoutIntervalsTheLargestChangeIsToldForTheseRequests) {
  WhatIfTable table = TwoChanges();
  table.seeds_differ = false;
  EXPECT_THAT(WhatIfText(table), HasSubstr("3 seeds, all alike"));
  EXPECT_THAT(WhatIfConclusions(table),
              ElementsAre("Mean TTFT gains most from b: -25.0 %, with these requests."));
  table.num_seeds = 1;
  EXPECT_THAT(WhatIfText(table), HasSubstr("1 seed (? : the interval needs more seeds)"));
}

TEST(ExplanationJsonTest, HasNoInfinityAndSaysWhatIsBeyondTheSpread) {
  const Json json =
      Json::parse(ExplanationJson("out/x", true, Explain(RunOf().summary), TwoChanges()));
  EXPECT_EQ(json["reproduced"], true);
  EXPECT_EQ(json["ttft_breakdown_ms"], Json::parse(SummaryJson(RunOf()))["ttft_breakdown_ms"]);
  const Json& rows = json["what_if"]["rows"];
  EXPECT_EQ(rows[0]["changes"]["mean_ttft_ms"]["beyond_spread"], true);
  EXPECT_EQ(rows[1]["changes"]["mean_ttft_ms"]["beyond_spread"], false);
  EXPECT_TRUE(rows[1]["changes"]["p99_ttft_ms"]["high"].is_null());
  EXPECT_EQ(rows[2]["failure"], "does not fit");
  EXPECT_EQ(json["what_if"]["base"],
            Json::parse(R"({"mean_ttft_ms": 200.0, "p99_ttft_ms": 400.0})"));
}

}  // namespace
}  // namespace sparseserve::report
