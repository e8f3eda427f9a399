// The pages of sweeps and plans: what is embedded, and the sentences made of it.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "sim/core/error.h"
#include "sim/metrics/figures.h"
#include "sim/report/html_plan.h"
#include "sim/report/html_report.h"
#include "sim/report/html_sweep.h"
#include "tests/temporary_directory.h"

namespace sparseserve::report {
namespace {

using nlohmann::json;
using test::TemporaryDirectory;
using test::WriteFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

constexpr const char* kHostile = "</script><b>&";

// Two systems at two rates with two seeds; the second one gives twice the output at 2/s, where the
// base is at 100 and 110, and the same at 8/s.
struct Study {
  plan::Sweep sweep{.name = "s",
                    .axes = {"rate", "system"},
                    .points = {},
                    .contrast = "system",
                    .metrics = {"output_throughput", "kv.hit_rate"}};
  std::vector<std::optional<plan::Outcome>> outcomes;

  explicit Study(const std::vector<std::string>& rates = {"2/s", "8/s"}) {
    const std::size_t output = *metrics::FindFigure("output_throughput");
    const std::size_t hits = *metrics::FindFigure("kv.hit_rate");
    for (const std::string& rate : rates) {
      for (const char* system : {"base", kHostile}) {
        for (std::int64_t seed = 0; seed < 2; ++seed) {
          const bool doubles = system == std::string(kHostile) && rate == rates.front();
          plan::Outcome outcome;
          outcome.figures.assign(metrics::Figures().size(), 0);
          outcome.figures[output] = (100.0 + 10.0 * static_cast<double>(seed)) * (doubles ? 2 : 1);
          outcome.figures[hits] = 0.5;
          sweep.points.push_back({std::string(32, 'a'), {rate, system}, seed, 1});
          outcomes.emplace_back(std::move(outcome));
        }
      }
    }
  }
  plan::Contrast contrast() const {
    return plan::MakeContrast(
        sweep, outcomes,
        {.axis = "system", .baseline = "", .against_previous = false, .metrics = sweep.metrics});
  }
  json data() const { return json::parse(SweepDataJson(sweep, contrast())); }
};

TEST(HtmlSweepTest, EffectsAreEmbeddedInPercentWithTheirIntervals) {
  const Study study;
  const json data = study.data();
  EXPECT_EQ(data["axes"][0]["numbers"], json({2.0, 8.0}));
  EXPECT_EQ(data["runs"][1]["label"], kHostile);
  const json& row = data["groups"][0]["rows"][1];
  EXPECT_EQ(row["effects"][0]["value"][0], 210.0);
  // Differences 100 and 110: t with one degree of freedom is 12.706, the standard error 5.
  EXPECT_EQ(row["effects"][0]["difference"], json({105.0, 41.469, 168.53}));
  EXPECT_EQ(row["effects"][0]["relative"][0], 100.0);
  EXPECT_EQ(row["effects"][1]["value"], json({50.0, 50.0, 50.0}));  // a share, in %
  EXPECT_TRUE(data["groups"][0]["rows"][0]["effects"][0]["relative"].is_null());
  EXPECT_THAT(SweepDataJson(study.sweep, study.contrast()), Not(HasSubstr("</script>")));
}

TEST(HtmlSweepTest, LabelsWithDifferentUnitsAreNoNumbers) {
  EXPECT_TRUE(Study({"512 MiB", "1 GiB"}).data()["axes"][0]["numbers"].is_null());
  EXPECT_TRUE(Study({"lru", "sieve"}).data()["axes"][0]["numbers"].is_null());
  EXPECT_EQ(Study({"0", "1 GiB"}).data()["axes"][0]["numbers"], json({0.0, 1.0}));
}

TEST(HtmlSweepTest, TheConclusionIsTheLargestEffectBeyondTheSpread) {
  EXPECT_THAT(SweepConclusions(Study().contrast()),
              ElementsAre(AllOf(HasSubstr("Largest effect on output"), HasSubstr("+100 % ["),
                                HasSubstr("at rate 2/s: 210 tok/s instead of 105 tok/s"),
                                HasSubstr("Of 2 comparisons 1 better, 0 worse")),
                          "No effect on hit rate beyond the spread over seeds."));
}

TEST(HtmlSweepTest, WhatCannotRunOrHasNotRunIsTold) {
  Study study;
  for (std::size_t i = 2; i < 4; ++i) {
    study.outcomes[i]->feasible = false;
    study.outcomes[i]->note = "too large";
  }
  study.outcomes.back() = std::nullopt;
  EXPECT_THAT(SweepWarnings(study.sweep, study.contrast()),
              ElementsAre(HasSubstr("1 of 8 points have not run yet"),
                          HasSubstr("cannot run in 1 of 2 combinations")));
  EXPECT_EQ(study.data()["groups"][0]["rows"][1]["infeasible"], "too large");
  EXPECT_TRUE(study.data()["groups"][0]["rows"][1]["effects"][0]["value"].is_null());
}

TEST(HtmlSweepTest, OneSeedHasNoInterval) {
  Study study;
  for (std::size_t i = 1; i < study.outcomes.size(); i += 2) study.outcomes[i] = std::nullopt;
  const json effect = study.data()["groups"][0]["rows"][1]["effects"][0];
  EXPECT_EQ(effect["value"], json({200.0, nullptr, nullptr}));
  EXPECT_THAT(SweepConclusions(study.contrast()).front(), HasSubstr("one seed, spread not known"));
}

constexpr const char* kPlanHead =
    "system,model,machine,rate,rate_low,rate_high,rate_slow,rate_fast,replicas,replicas_low,"
    "replicas_high,gpus,cost_per_hour,cost_per_million_output_tokens,binding,use,beyond_rate,"
    "mean_ttft_ms,p99_ttft_ms,mean_tpot_ms,p99_itl_ms,verified_seeds,held_seeds\n";
constexpr const char* kParetoHead =
    "model,request_rate,tokens/s/gpu,tokens/s/user,tp,backend,system\n";

void WritePlan(const std::string& directory, const std::string& second_pareto = "b") {
  WriteFile(directory + "/plan.csv",
            std::string(kPlanHead) +
                "\"a,</script>\",m,h,4,3.5,4.5,3,5,2,2,3,2,5,1.5,ttft,0.9,4.5,10,20,5,8,3,2\n"
                "b,m,h,2,,,,,4,4,4,4,10,3,tpot,0.8,2.5,10,20,5,8,0,0\n"
                "c,m,h,,,,,,0,0,0,0,0,,ttft,,,,,,,0,0\n");
  WriteFile(directory + "/best_config_topn.csv",
            std::string(kParetoHead) + "m,4,300,20,1,a,h\nm,2,200,30,1," + second_pareto + ",h\n");
  WriteFile(directory + "/pareto.csv",
            std::string(kParetoHead) + "m,1,150,40,1,b,h\nm,4,300,20,1,a,h\n");
}

TEST(HtmlPlanTest, RankingAndFrontierAreThoseOfTheFiles) {
  const TemporaryDirectory directory;
  WritePlan(directory.path());
  const ReportPlan plan = ReadReportPlan(directory.path());
  const json data = json::parse(PlanDataJson(plan));
  EXPECT_EQ(data["axes"], json({"system"}));
  EXPECT_EQ(data["runs"].size(), 4);  // and the frontier
  EXPECT_EQ(data["candidates"][0]["rate_high"], 4.5);
  EXPECT_TRUE(data["candidates"][1]["rate_low"].is_null());
  EXPECT_EQ(data["capacities"][1],
            json({{"candidate", 1}, {"rate", 2.0}, {"user", 30.0}, {"gpu", 200.0}}));
  EXPECT_EQ(data["frontier"][0]["candidate"], 1);
  EXPECT_THAT(
      PlanConclusions(plan),
      ElementsAre("a,</script> serves the demand with 2 GPUs (2 replicas) for 5.00 an hour, "
                  "1.50 per million output tokens; held in 2 of 3 seeds that the search had "
                  "not seen.",
                  "Next: b with 4 GPUs (4 replicas), +100.0 % of cost.",
                  "A replica of a,</script> holds 4.00 req/s; beyond it ttft fails first."));
  EXPECT_THAT(PlanWarnings(plan), ElementsAre(HasSubstr("held in 2 of 3 seeds only"),
                                              HasSubstr("at any rate tried: c.")));
  const std::string page = HtmlPlanReport(directory.path(), "");
  EXPECT_THAT(page, Not(HasSubstr("a,</script>")));
  EXPECT_THAT(page, HasSubstr("a,&lt;/script&gt; serves"));
}

TEST(HtmlPlanTest, APointThatTwoCandidatesMayHaveGivenIsTheFrontiersAlone) {
  const TemporaryDirectory directory;
  WritePlan(directory.path(), "a");
  const ReportPlan plan = ReadReportPlan(directory.path());
  EXPECT_EQ(plan.frontier[1].candidate, std::nullopt);
  EXPECT_EQ(plan.capacities[1].candidate, 1);
}

TEST(HtmlPlanTest, WrongFilesAreRefusedByLineAndColumn) {
  const TemporaryDirectory directory;
  const auto read = [&] { ReadReportPlan(directory.path()); };
  WritePlan(directory.path());
  WriteFile(directory.path() + "/plan.csv",
            std::string(kPlanHead) + "b,m,h,x,,,,,4,4,4,4,10,3,tpot,0.8,2.5,10,20,5,8,0,0\n");
  EXPECT_THAT(read, ThrowsMessage<InputError>(HasSubstr("plan.csv:2: rate: 'x' is no number")));
  WriteFile(directory.path() + "/plan.csv", std::string(kPlanHead) + "b,m\n");
  EXPECT_THAT(read, ThrowsMessage<InputError>(HasSubstr("plan.csv:2: 2 fields; expected 23")));
  WritePlan(directory.path());
  WriteFile(directory.path() + "/best_config_topn.csv", kParetoHead);
  EXPECT_THAT(read, ThrowsMessage<InputError>(HasSubstr("0 lines; expected 2")));
}

}  // namespace
}  // namespace sparseserve::report
