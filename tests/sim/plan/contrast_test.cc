// Effects between points of a sweep, on figures made up so that the answer is known.
#include "sim/plan/contrast.h"

#include <gtest/gtest.h>

#include "sim/core/error.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

struct Case {
  Sweep sweep;
  std::vector<std::optional<Outcome>> outcomes;
};

// Two rates, three systems, four seeds. Seeds differ by 1000, systems by 10 and 20 % at equal seed.
Case MakeCase() {
  Case made;
  made.sweep = {
      .name = "s", .axes = {"rate", "system"}, .points = {}, .contrast = "system", .metrics = {}};
  const std::size_t ttft = *metrics::FindFigure("mean_ttft_ms");
  for (const std::string rate : {"1/s", "2/s"}) {
    for (int s = 0; s < 3; ++s) {
      for (int seed = 0; seed < 4; ++seed) {
        made.sweep.points.push_back({"k" + std::to_string(made.sweep.points.size()),
                                     {rate, std::string(1, static_cast<char>('a' + s))},
                                     seed,
                                     0});
        Outcome outcome;
        outcome.figures.assign(metrics::Figures().size(), 0);
        outcome.figures[ttft] = (5000.0 + 1000 * seed) * (1 - 0.1 * s);
        made.outcomes.emplace_back(outcome);
      }
    }
  }
  return made;
}

const ContrastRequest kRequest{
    .axis = "system", .baseline = "", .against_previous = false, .metrics = {"mean_ttft_ms"}};

TEST(ContrastTest, ComparesSeedBySeed) {
  const Case made = MakeCase();
  const Contrast contrast = MakeContrast(made.sweep, made.outcomes, kRequest);
  ASSERT_EQ(contrast.groups.size(), 2U);
  EXPECT_EQ(contrast.groups[1].labels, std::vector<std::string>{"2/s"});
  const auto& rows = contrast.groups[0].rows;
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(rows[0].is_baseline);
  EXPECT_FALSE(rows[0].effects[0].difference);
  // Differences at equal seed are -500 ... -800: mean -650 of 6500. Unpaired, the seeds' own spread
  // of 1291 would hide it.
  const Effect& effect = rows[1].effects[0];
  EXPECT_NEAR(effect.difference->mean, -650, 1e-9);
  EXPECT_NEAR(effect.relative->mean, -0.1, 1e-12);
  EXPECT_TRUE(effect.relative->ExcludesZero());
  // s = 129.1, t(3) = 3.182: half width 205.4.
  EXPECT_NEAR(effect.difference->high - effect.difference->mean, 205.4, 0.1);
  EXPECT_GT(effect.value.high - effect.value.low, 3000);
}

TEST(ContrastTest, StepsCompareWithTheRowBefore) {
  const Case made = MakeCase();
  ContrastRequest request = kRequest;
  request.against_previous = true;
  const Contrast contrast = MakeContrast(made.sweep, made.outcomes, request);
  EXPECT_NEAR(contrast.groups[0].rows[2].effects[0].relative->mean, -650.0 / 5850, 1e-9);
}

TEST(ContrastTest, OnlySeedsThatBothHaveCount) {
  Case made = MakeCase();
  made.outcomes[1].reset();  // of the baseline
  made.outcomes[7].reset();  // of b
  const Contrast contrast = MakeContrast(made.sweep, made.outcomes, kRequest);
  EXPECT_EQ(contrast.num_missing, 2);
  // Left are seeds 0 and 2: -500 and -700.
  EXPECT_NEAR(contrast.groups[0].rows[1].effects[0].difference->mean, -600, 1e-9);
  EXPECT_EQ(contrast.groups[0].rows[1].num_done, 3);
}

TEST(ContrastTest, TellsWhatCannotRunAndWhatIsSaturated) {
  Case made = MakeCase();
  made.outcomes[4] = Outcome{.feasible = false, .note = "too large", .figures = {}};
  made.outcomes[0]->figures[*metrics::FindFigure("saturated")] = 1;
  const Contrast contrast = MakeContrast(made.sweep, made.outcomes, kRequest);
  EXPECT_EQ(contrast.groups[0].rows[1].infeasible, "too large");
  EXPECT_EQ(contrast.groups[0].rows[0].num_saturated, 1);
}

TEST(ContrastTest, UnknownNamesAreErrors) {
  const Case made = MakeCase();
  for (const ContrastRequest& request :
       {ContrastRequest{.axis = "sytem", .baseline = "", .against_previous = false, .metrics = {}},
        ContrastRequest{
            .axis = "system", .baseline = "z", .against_previous = false, .metrics = {}},
        ContrastRequest{
            .axis = "system", .baseline = "", .against_previous = false, .metrics = {"ttft"}}}) {
    EXPECT_THROW(MakeContrast(made.sweep, made.outcomes, request), InputError);
  }
}

}  // namespace
}  // namespace sparseserve::plan
