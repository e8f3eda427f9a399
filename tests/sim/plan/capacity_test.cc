// The search for the highest rate, on made-up systems whose answer is known.
#include "sim/plan/capacity.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "sim/metrics/figures.h"
#include "sim/plan/planner.h"

namespace sparseserve::plan {
namespace {

Outcome OutcomeWith(std::string_view figure, double value, bool saturated = false) {
  Outcome outcome;
  outcome.figures.assign(metrics::Figures().size(), 0);
  outcome.figures[*metrics::FindFigure(figure)] = value;
  outcome.figures[*metrics::FindFigure("saturated")] = saturated ? 1 : 0;
  outcome.figures[*metrics::FindFigure("completed")] = 10;
  outcome.figures[*metrics::FindFigure("total_output_tokens")] = 1000;
  return outcome;
}

std::vector<Criterion> DelayBelow(double limit_s) {
  Slo slo{.definition = SloDefinition::kSarathi};
  slo.delay_mean = Seconds(limit_s);
  return CriteriaOf(slo);
}

// Wait of an M/D/1 queue with unit service; grows without bound at 1.
Outcome MD1(double rate) {
  if (rate >= 1) return {.feasible = false, .note = "queue growth", .figures = {}};
  return OutcomeWith("scheduling_delay.mean_s", rate / (2 * (1 - rate)));
}

TEST(CapacityTest, FindsTheCrossingFromBelowAndFromAbove) {
  for (const double reference : {0.001, 0.3, 0.667, 5.0, 4000.0}) {
    const RateGrid grid{.reference = reference, .precision = 0.01};
    const Capacity found = FindCapacity(grid, DelayBelow(1), MD1);
    // rho / (2 (1 - rho)) = 1 at rho = 2/3.
    EXPECT_LE(found.rate, 2.0 / 3);
    EXPECT_GT(found.rate * 1.0101, 2.0 / 3) << reference;
    EXPECT_TRUE(found.best.verdict.held);
    EXPECT_FALSE(found.beyond.verdict.held);
    EXPECT_NEAR(found.beyond.rate / found.rate, 1.01, 1e-9);
    EXPECT_EQ(found.beyond.verdict.binding, "scheduling delay mean");
  }
}

TEST(CapacityTest, TakesFewRuns) {
  const RateGrid grid{.reference = 1, .precision = 0.01};
  EXPECT_LE(FindCapacity(grid, DelayBelow(1), MD1).probes.size(), 10U);
}

TEST(CapacityTest, AGrowingQueueNeverHolds) {
  const Capacity found = FindCapacity({}, DelayBelow(10), [](double rate) {
    return OutcomeWith("scheduling_delay.mean_s", 0.1, rate > 0.5);
  });
  EXPECT_LE(found.rate, 0.5);
  EXPECT_GT(found.rate, 0.48);
  EXPECT_EQ(found.beyond.verdict.binding, "queue growth");
}

TEST(CapacityTest, NothingHoldsAndEverythingHolds) {
  const RateGrid grid{.reference = 1, .precision = 0.1, .min_rate = 0.01, .max_rate = 100};
  const Capacity none = FindCapacity(
      grid, DelayBelow(1), [](double) { return OutcomeWith("scheduling_delay.mean_s", 1.5); });
  EXPECT_EQ(none.rate, 0);
  EXPECT_DOUBLE_EQ(none.best.verdict.use, 1.5);
  const Capacity all = FindCapacity(
      grid, DelayBelow(1), [](double) { return OutcomeWith("scheduling_delay.mean_s", 0.5); });
  EXPECT_TRUE(all.above_range);
  EXPECT_DOUBLE_EQ(all.rate, 100);
}

TEST(SloTest, TheTightestCriterionBinds) {
  Slo slo{.definition = SloDefinition::kSarathi};
  slo.tbt_p99 = Seconds(0.1);
  slo.delay_mean = Seconds(2);
  Outcome outcome = OutcomeWith("p99_itl_ms", 80);
  outcome.figures[*metrics::FindFigure("scheduling_delay.mean_s")] = 1.9;
  const Verdict verdict = Judge(CriteriaOf(slo), outcome);
  EXPECT_TRUE(verdict.held);
  EXPECT_EQ(verdict.binding, "scheduling delay mean");
  EXPECT_DOUBLE_EQ(verdict.use, 0.95);
}

TEST(SloTest, AttainmentHasToBeReached) {
  const Slo slo{.definition = SloDefinition::kDistServe};
  EXPECT_TRUE(Judge(CriteriaOf(slo), OutcomeWith("slo_attainment", 0.9)).held);
  EXPECT_FALSE(Judge(CriteriaOf(slo), OutcomeWith("slo_attainment", 0.89)).held);
  EXPECT_FALSE(Judge(CriteriaOf(slo), OutcomeWith("slo_attainment", std::nan(""))).held);
}

// A system of capacity `speed` requests/s per replica: delay of M/D/1, with the arrivals split.
Outcome Served(double speed, const RunSpec& spec) {
  return MD1(spec.rate * spec.time_scale / static_cast<double>(spec.replicas) / speed);
}

TEST(PlannerTest, RanksByCostAndCountsReplicas) {
  const std::vector<Candidate> candidates = {
      {.labels = {"slow"}, .gpus_per_replica = 1, .price_per_gpu_hour = 1},
      {.labels = {"fast"}, .gpus_per_replica = 2, .price_per_gpu_hour = 1},
      {.labels = {"never"}, .gpus_per_replica = 1, .price_per_gpu_hour = 0.1}};
  const double speeds[] = {1.5, 6, 1e-9};
  PlanRequest request;
  request.demand = 10.5;
  request.criteria = DelayBelow(1);
  request.grid.precision = 0.01;
  request.grid.min_rate = 0.01;
  const std::atomic<bool> stop{false};
  const auto run = [&](std::size_t c, const RunSpec& spec) { return Served(speeds[c], spec); };
  const PlanResult result = MakePlan(
      request, candidates, 2, run, [](double) {}, stop);
  ASSERT_TRUE(result.feasible);
  // fast: 4 req/s a replica, 3 replicas, 6 GPUs; slow: 1 req/s, 11 replicas.
  EXPECT_EQ(result.ranking[0].candidate, 1U);
  EXPECT_EQ(result.ranking[0].replicas, 3);
  EXPECT_EQ(result.ranking[0].gpus, 6);
  ASSERT_EQ(result.ranking[0].verifications.size(), 1U);
  EXPECT_TRUE(result.ranking[0].verifications[0].held());
  EXPECT_EQ(result.ranking[1].candidate, 0U);
  EXPECT_EQ(result.ranking[1].replicas, 11);
  EXPECT_EQ(result.ranking[2].replicas, 0);
  // 6 per hour for 10.5 req/s of 100 tokens: 3.78e6 tokens an hour.
  EXPECT_NEAR(result.ranking[0].cost_per_million_output_tokens, 6 / 3.78, 1e-9);
}

TEST(PlannerTest, AFailedVerificationAddsAReplica) {
  const std::vector<Candidate> candidates = {{.labels = {"a"}, .gpus_per_replica = 1}};
  PlanRequest request;
  request.demand = 3;
  request.criteria = DelayBelow(1);
  const std::atomic<bool> stop{false};
  // The replicas together are worse than one alone.
  const auto run = [&](std::size_t, const RunSpec& spec) {
    return Served(spec.replicas > 1 ? 1.2 : 1.6, spec);
  };
  const PlanResult result = MakePlan(
      request, candidates, 1, run, [](double) {}, stop);
  const PlannedCandidate& planned = result.ranking[0];
  EXPECT_EQ(planned.verifications.size(), 2U);
  EXPECT_EQ(planned.verifications[0].replicas, 3);
  EXPECT_FALSE(planned.verifications[0].held());
  EXPECT_EQ(planned.replicas, 4);
  EXPECT_TRUE(result.feasible);
}

TEST(PlannerTest, TheErrorOfOperationTimesWidensTheInterval) {
  std::vector<Candidate> candidates(2, {.labels = {"a"}, .gpus_per_replica = 1});
  candidates[1].calibration_error = 0.25;
  PlanRequest request;
  request.demand = 1;
  request.criteria = DelayBelow(1);
  request.grid.precision = 0.001;
  const std::atomic<bool> stop{false};
  const auto run = [&](std::size_t, const RunSpec& spec) { return Served(1, spec); };
  const PlanResult result = MakePlan(
      request, candidates, 2, run, [](double) {}, stop);
  for (const PlannedCandidate& planned : result.ranking) {
    const bool has_error = planned.candidate == 1;
    // Seeds agree, so all of the width is the calibration's: a quarter slower, a quarter faster.
    EXPECT_NEAR(planned.rate.low / planned.rate.mean, has_error ? 0.8 : 1, 0.005);
    EXPECT_NEAR(planned.rate.high / planned.rate.mean, has_error ? 1.25 : 1, 0.005);
  }
}

// What is started too late takes a while, so that a thread that is held up while it stops the
// others does not find everything done.
TEST(ParallelTest, TheFirstFailureIsThrownAndOthersStop) {
  const std::atomic<bool> stop{false};
  std::atomic<int> started{0};
  EXPECT_THROW(RunInParallel(
                   1000, 2,
                   [&](std::size_t i) {
                     ++started;
                     if (i == 3) throw std::runtime_error("three");
                     if (i > 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                   },
                   stop),
               std::runtime_error);
  EXPECT_LT(started, 1000);
}

TEST(ParallelTest, StopLeavesTheRest) {
  std::atomic<bool> stop{false};
  std::atomic<int> started{0};
  // The other thread begins one more at most: that one waits for the fifth to stop the rest.
  EXPECT_THROW(RunInParallel(
                   1000, 2,
                   [&](std::size_t) {
                     const int mine = ++started;
                     if (mine == 5) stop = true;
                     while (!stop && mine > 5) std::this_thread::yield();
                   },
                   stop),
               Interrupted);
  EXPECT_LE(started, 6);
}

}  // namespace
}  // namespace sparseserve::plan
