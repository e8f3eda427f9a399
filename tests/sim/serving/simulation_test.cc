#include "sim/serving/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "sim/report/summary_json.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

std::vector<std::string> AllSystems() {
  return {"vllm", "vllm-s", "vllm-so", "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"};
}

// All that a summary says, except how long the run took.
std::string SummaryOf(RunResult run) {
  run.summary.perf.wall_s = 0;
  return report::SummaryJson(run);
}

SystemConfig Pressed(const std::string& system) {
  SystemConfig config = Shipped(system);
  config.memory.kv_pool = Bytes(1'800'000'000);
  return config;
}

class SystemTest : public ::testing::TestWithParam<std::string> {};

TEST_P(SystemTest, TwoRunsAreEqualInEveryFigure) {
  const Requests requests = Equal(5, 70, 5000, 15);
  const Outcome a = Simulate(Pressed(GetParam()), requests);
  const Outcome b = Simulate(Pressed(GetParam()), requests);
  EXPECT_EQ(SummaryOf(a.result), SummaryOf(b.result));
  EXPECT_EQ(Times(a.records), Times(b.records));
}

TEST_P(SystemTest, LookingChangesNothing) {
  const Requests requests = Equal(5, 70, 5000, 15);
  const Outcome unseen = Simulate(Pressed(GetParam()), requests);
  Timelines timelines(SimTime(0), SimTime::Max(), 100'000);
  RunOptions options;
  options.timelines = &timelines;
  const Outcome seen = Simulate(Pressed(GetParam()), requests, options);
  EXPECT_GT(timelines.of(0).slices().size(), 1000u);
  EXPECT_EQ(SummaryOf(unseen.result), SummaryOf(seen.result));
  EXPECT_EQ(Times(unseen.records), Times(seen.records));
}

TEST_P(SystemTest, EveryTokenIsComputedOnceAndEveryKvByteIsSavedOnce) {
  const Requests requests = Equal(6, 300, 3000, 20);  // little pressure: no preemption
  const Outcome run = Simulate(Pressed(GetParam()), requests);
  const metrics::Summary& s = run.result.summary;
  ASSERT_EQ(s.preemptions, 0);
  EXPECT_EQ(s.completed, 6);
  EXPECT_EQ(s.total_input_tokens, Tokens(6 * 3000));
  EXPECT_EQ(s.total_output_tokens, Tokens(6 * 20));
  EXPECT_EQ(s.totals.prefill_token_layers, 6 * 3000 * 32);
  // The last token of an output is never written. 128 KiB of KV a token.
  const SystemChoice choice = Shipped(GetParam()).choice;
  const bool offloads = choice.kv_home == KvHome::kDram;
  // Copies per block save the block of tokens 2976 to 3007 when it is full, and not what follows.
  const std::int64_t decoded = choice.save == cost::SaveMethod::kMemcpyPerBlock ? 32 : 19;
  EXPECT_EQ(s.totals.d2h_bytes, Bytes(131072) * (offloads ? 6 * (3000 + decoded) : 0));
  EXPECT_EQ(s.totals.h2d_bytes, Bytes(16384) * s.totals.block_loads);
}

TEST_P(SystemTest, TimelineOfAWholeRunAddsUpToItsSummary) {
  Timelines timelines(SimTime(0), SimTime::Max(), 1'000'000);
  RunOptions options;
  options.timelines = &timelines;
  const Outcome run = Simulate(Pressed(GetParam()), Equal(6, 70, 4000, 12), options);
  const Timeline& timeline = timelines.of(0);
  ASSERT_EQ(timeline.dropped(), 0);
  SimTime ends[kNumLanes];
  double busy_s[kNumLanes] = {};
  for (const Slice& slice : timeline.slices()) {
    const auto lane = static_cast<std::size_t>(slice.lane);
    ASSERT_GE(slice.begin, ends[lane]) << slice.name << " of lane " << lane;
    ends[lane] = slice.end;
    busy_s[lane] += 1e-9 * static_cast<double>(slice.end.ns() - slice.begin.ns());
  }
  const metrics::IterationTotals& totals = run.result.summary.totals;
  const Seconds lanes[kNumLanes] = {
      totals.host, totals.compute + totals.attention + totals.load_stall + totals.save_stall,
      totals.h2d_busy, totals.d2h_busy, totals.scatter_busy};
  // Each end of a slice is rounded to the nanosecond.
  const double rounding = 1e-9 * static_cast<double>(timeline.slices().size());
  for (std::size_t lane = 0; lane < kNumLanes; ++lane)
    EXPECT_NEAR(busy_s[lane], lanes[lane].value(), rounding) << "lane " << lane;
}

TEST_P(SystemTest, TimelineHasThePhasesOfEveryRequest) {
  Timelines timelines(SimTime(0), SimTime::Max(), 1'000'000);
  RunOptions options;
  options.timelines = &timelines;
  const Outcome run = Simulate(Pressed(GetParam()), Equal(6, 70, 4000, 12), options);
  const Timeline& timeline = timelines.of(0);
  EXPECT_EQ(timeline.iterations().size(),
            static_cast<std::size_t>(run.result.summary.totals.iterations));
  for (const metrics::RequestRecord& request : run.records) {
    SimTime at = request.arrival, prefill, decode;
    for (const PhaseSpan& span : timeline.phases()) {
      if (span.request != request.id) continue;
      EXPECT_EQ(span.begin, at) << request.id;
      at = span.end;
      if (span.phase == RequestPhase::kPrefill && prefill == SimTime()) prefill = span.begin;
      if (span.phase == RequestPhase::kDecode && decode == SimTime()) decode = span.begin;
    }
    EXPECT_EQ(at, request.finish) << request.id;
    EXPECT_EQ(prefill, request.scheduled) << request.id;
    EXPECT_EQ(decode, request.first_token) << request.id;
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Systems, SystemTest, ::testing::ValuesIn(AllSystems()), NameOf);

TEST(SimulationTest, ARecordedSelectionReplaysToTheSameRun) {
  const std::string path = ::testing::TempDir() + "simulation_test_selection.bin";
  const Requests requests = Equal(4, 70, 5000, 15);
  RunOptions options;
  options.record_selection = path;
  SystemConfig config = Pressed("vllm-so-ft");
  const Outcome recorded = Simulate(config, requests, options);
  config.selection_trace = path;
  config.seed = 99;  // nothing is drawn
  const Outcome replayed = Simulate(config, requests);
  std::remove(path.c_str());
  EXPECT_EQ(Times(recorded.records), Times(replayed.records));
  EXPECT_EQ(recorded.result.summary.totals.block_loads, replayed.result.summary.totals.block_loads);
}

TEST(SimulationTest, ReplayedEvictionPoliciesBoundTheirOwnRunFromOptimum) {
  SystemConfig config = Pressed("vllm-so-ft");
  config.locality = selection::LocalityPreset("shadowkv-60");
  config.memory.kv_pool = Bytes(1'300'000'000);
  const Requests requests = Equal(5, 70, 5000, 15);
  EXPECT_TRUE(Simulate(config, requests).result.eviction_replays.empty());
  config.memory.replay_evictions = {"lru", "opt"};
  const RunResult run = Simulate(config, requests).result;
  ASSERT_EQ(run.eviction_replays.size(), 2u);
  EXPECT_EQ(run.eviction_replays[0].block_loads, run.summary.totals.block_loads);
  EXPECT_LT(run.eviction_replays[1].block_loads, run.summary.totals.block_loads);
}

TEST(SimulationTest, TheRealisedOverlapIsTheOneAskedFor) {
  SystemConfig config = Pressed("sparseserve");
  config.memory.kv_pool = Bytes(0);
  const RunResult run = Simulate(config, Equal(8, 10, 16000, 60)).result;
  ASSERT_EQ(run.overlap.size(), 6u);
  for (const RunResult::OverlapPoint& point : run.overlap)
    EXPECT_NEAR(point.realised, point.asked, 0.02) << "window " << point.window;
}

TEST(SimulationTest, AResultSaysWhoRanAndWhenACostLeftTheRangeItWasMeasuredIn) {
  SystemConfig config = Pressed("vllm-so-ft");
  const Requests requests = Equal(2, 10, 5000, 5);
  metrics::RunLabels labels = Simulate(config, requests).result.summary.labels;
  EXPECT_EQ(labels.system, "vllm-so-ft");
  EXPECT_EQ(labels.model, config.model.name);
  EXPECT_EQ(labels.hardware, "h100-sxm-pcie5");
  EXPECT_EQ(labels.calibration, "h100-sxm-pcie5");
  EXPECT_EQ(labels.selection, "arkvale, synthetic locality model");
  EXPECT_FALSE(labels.extrapolated);
  config.calibration.operations.at("d2h.flash").valid_item_bytes = {1, 100};
  labels = Simulate(config, requests).result.summary.labels;
  EXPECT_TRUE(labels.extrapolated);
  config.choice = Shipped("vllm").choice;  // saves nothing
  EXPECT_FALSE(Simulate(config, requests).result.summary.labels.extrapolated);
}

// Every iteration takes equally long and none waits, so the rounding of their ends to nanoseconds
// does not average out: sums of parts and the clock drift apart by up to half a nanosecond each.
TEST(SimulationTest, RoundingOfManyEqualIterationsIsNoLoss) {
  SystemConfig config = Shipped("vllm");
  config.scheduling.max_requests = 1;
  for (const double overhead_s : {0.001, 0.0010000002, 0.0010000004, 0.0010000006}) {
    config.host_overhead = Seconds(overhead_s);
    EXPECT_EQ(Simulate(config, Equal(20'000, 0, 32, 1)).result.summary.completed, 20'000);
  }
}

TEST(SystemConfigTest, TheBudgetAddsUpToWhatMayBeUsed) {
  SystemConfig config = Shipped("vllm");
  const HbmBudget b = ComputeHbmBudget(config);
  EXPECT_EQ(b.weights + b.activations + b.framework + b.kv, b.usable);
  EXPECT_NEAR(b.usable / b.capacity, 0.9, 1e-9);
  config.memory.kv_pool = Bytes(1'000'000'000);
  EXPECT_EQ(ComputeHbmBudget(config).kv, Bytes(1'000'000'000));
}

TEST(SystemConfigTest, AUnitIsABlockOfOneHeadOrOfAllHeadsOfALayer) {
  SystemConfig config = Shipped("sparseserve");
  scheduler::KvGeometry g = ComputeGeometry(config);
  EXPECT_EQ(g.heads, 8);
  EXPECT_EQ(g.unit_bytes, Bytes(16384));  // 32 tokens x 128 x 2 B x (K and V)
  EXPECT_EQ(g.metadata_bytes, Bytes(512));
  EXPECT_EQ(g.budget_blocks, 64);
  const Bytes row = g.block_row_bytes();
  config.selection.granularity = selection::Granularity::kLayer;
  g = ComputeGeometry(config);
  EXPECT_EQ(g.heads, 1);
  EXPECT_EQ(g.metadata_bytes, Bytes(512 * 8));
  EXPECT_EQ(g.block_row_bytes(), row);
  config.choice.attention = Attention::kFull;
  EXPECT_EQ(ComputeGeometry(config).budget_blocks, 0);
  EXPECT_EQ(ComputeGeometry(config).metadata_bytes, Bytes(0));
}

TEST(SystemConfigTest, DramIsSharedByTheGpusInUse) {
  SystemConfig config = Shipped("sparseserve");
  config.machine.host.dram_capacity = Bytes(1'000'000'000'000);
  EXPECT_EQ(DramForKv(config), Bytes(900'000'000'000));
  config.replicas = 2;
  config.tensor_parallel = 2;
  EXPECT_EQ(DramForKv(config), Bytes(225'000'000'000));
  config.replicas = 100;  // eight GPUs a host
  EXPECT_EQ(DramForKv(config), Bytes(112'500'000'000));
  config.memory.dram = Bytes(64'000'000'000);  // of one replica
  EXPECT_EQ(DramForKv(config), Bytes(32'000'000'000));
}

}  // namespace
}  // namespace sparseserve::serving
