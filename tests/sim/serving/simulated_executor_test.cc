// Iterations with times computed by hand from the cost model of tests/models/cost/cost_fixtures.h.
#include "sim/serving/simulated_executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/models/cost/cost_fixtures.h"

namespace sparseserve::serving {
namespace {

using scheduler::PrefillPiece;

constexpr std::int64_t kLayers = 32;
constexpr std::int64_t kHeads = 8;
constexpr std::int64_t kBudget = 64;  // blocks of 32 tokens
constexpr Seconds kHost(0.002);

scheduler::KvGeometry Geometry(std::int64_t budget_blocks) {
  scheduler::KvGeometry g;
  g.num_layers = kLayers;
  g.heads = kHeads;
  g.unit_bytes = Bytes(16384);
  g.metadata_bytes = Bytes(512);
  g.budget_blocks = budget_blocks;
  return g;
}

SimulatedExecutorConfig Config(std::int64_t budget_blocks) {
  SimulatedExecutorConfig config;
  config.geometry = Geometry(budget_blocks);
  config.host_overhead = kHost;
  return config;
}

// Selects the first blocks of the budget and stays with them.
class FirstBlocks : public selection::SelectionModel {
 public:
  void BeginRequest(RequestIndex, std::uint64_t, std::int64_t) override {}
  void Step(RequestIndex request, std::int64_t layer, std::int64_t,
            selection::SelectionDelta& delta) override {
    if (!begun_.insert({request, layer}).second) return;
    delta.added.resize(kBudget * kHeads);
    std::iota(delta.added.begin(), delta.added.end(), 0u);
  }
  void EndRequest(RequestIndex) override {}

 private:
  std::set<std::pair<RequestIndex, std::int64_t>> begun_;
};

calibration::Record NeutralRecord() {  // transfers do not slow compute
  calibration::Record record = cost::TestRecord();
  for (auto& [name, slowdown] : record.slowdowns) slowdown.value = 1;
  return record;
}

class Bench {
 public:
  explicit Bench(const SimulatedExecutorConfig& config, bool offloads = true,
                 const calibration::Record& record = NeutralRecord(), std::int64_t slots = 200'000)
      : costs(cost::Llama3_8b(), cost::TestMachine(), record, {}),
        cache({.num_layers = kLayers, .heads = kHeads, .hbm_slots = slots, .dram_blocks = 10'000}),
        executor(config, costs, offloads ? &cache : nullptr, offloads ? &selection : nullptr,
                 nullptr, nullptr) {}

  // A request that has produced one token, its prompt in DRAM only.
  RequestIndex AddDecoding(std::int64_t prompt) {
    const RequestIndex index = AddPrompt(prompt);
    table.back().generated = Tokens(1);
    const std::int64_t blocks = CeilDiv(prompt + 1, 32);
    cache.AddRequest(index);
    cache.ReserveDram(index, blocks);
    cache.AddSavedUnits(index, blocks);
    return index;
  }
  RequestIndex AddPrompt(std::int64_t prompt) {
    RequestState request;
    request.prompt = request.prefill_target = Tokens(prompt);
    table.push_back(request);
    return static_cast<RequestIndex>(table.size() - 1);
  }
  IterationResult Run(const IterationPlan& plan, SimTime start = SimTime()) {
    const IterationResult r = executor.Execute(start, plan, table);
    const Seconds sum =
        r.time.compute + r.time.attention + r.time.load_stall + r.time.save_stall + r.time.host;
    EXPECT_NEAR(r.time.duration.value(), sum.value(), 1e-12);
    return r;
  }

  cost::CostModel costs;
  kvcache::KvCache cache;
  FirstBlocks selection;
  std::vector<RequestState> table;
  SimulatedExecutor executor;
};

PrefillPiece Whole(RequestIndex index, std::int64_t begin, std::int64_t end, bool completes) {
  return {.request = index,
          .begin = Tokens(begin),
          .end = Tokens(end),
          .layer_begin = 0,
          .layer_end = kLayers,
          .completes = completes};
}

Seconds Linear(const cost::CostModel& costs, std::int64_t tokens) {  // of one layer
  return costs.Projection(Tokens(tokens)).time + costs.OutputAndMlp(0, Tokens(tokens)).time;
}

Seconds Prefill(const cost::CostModel& costs, std::int64_t begin, std::int64_t end) {
  const cost::PrefillSpan span{Tokens(begin), Tokens(end)};
  return costs.PrefillAttention({&span, 1}).time;
}

constexpr double kTolerance = 1e-12;

TEST(SimulatedExecutorTest, AResidentPrefillIsItsLayersAndOneTokenOfLogits) {
  Bench bench(Config(0), /*offloads=*/false);
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 400, 1000, true)}});
  const Seconds head = bench.costs.Head(Tokens(1)).time;
  EXPECT_NEAR(r.time.compute.value(), (Linear(bench.costs, 600) * kLayers + head).value(),
              kTolerance);
  EXPECT_NEAR(r.time.attention.value(), (Prefill(bench.costs, 400, 1000) * kLayers).value(),
              kTolerance);
  EXPECT_EQ(r.time.host, kHost);
  EXPECT_EQ(r.h2d_busy + r.d2h_busy, Seconds(0));
}

TEST(SimulatedExecutorTest, AChunkThatDoesNotCompleteComputesNoLogits) {
  Bench bench(Config(0), false);
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 600, false)}});
  EXPECT_NEAR(r.time.compute.value(), (Linear(bench.costs, 600) * kLayers).value(), kTolerance);
}

// Contexts of 501 and 5001 tokens: the first fits into the budget of 2048, the second chooses among
// 156 full blocks of each head.
TEST(SimulatedExecutorTest, ASparseDecodeScoresChoosesAndAttendsToTheBudget) {
  Bench bench(Config(kBudget), false);
  bench.AddDecoding(500);
  bench.AddDecoding(5000);
  const IterationResult r = bench.Run({.ticket = 1, .decodes = {0, 1}, .prefills = {}});
  const cost::CostModel& c = bench.costs;
  const Seconds select = c.Score(156 * kHeads, Bytes(512)).time + c.TopK(kHeads, 156).time;
  EXPECT_NEAR(r.time.compute.value(),
              ((Linear(c, 2) + select) * kLayers + c.Head(Tokens(2)).time).value(), kTolerance);
  EXPECT_NEAR(r.time.attention.value(),
              (c.DecodeAttention(2, Tokens(501 + 2048), true).time * kLayers).value(), kTolerance);
}

TEST(SimulatedExecutorTest, DenseLayersAttendToEverythingAndChooseNothing) {
  SimulatedExecutorConfig config = Config(kBudget);
  config.geometry.dense_layers = 5;
  Bench bench(config, false);
  bench.AddDecoding(5000);
  const IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
  const cost::CostModel& c = bench.costs;
  const Seconds dense = c.DecodeAttention(1, Tokens(5001), false).time;
  const Seconds sparse = c.DecodeAttention(1, Tokens(2048), true).time;
  EXPECT_NEAR(r.time.attention.value(), (dense * 5 + sparse * (kLayers - 5)).value(), kTolerance);
}

TEST(SimulatedExecutorTest, PrefillAndDecodesShareTheGemms) {
  Bench bench(Config(0), false);
  bench.AddDecoding(500);
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {0}, .prefills = {Whole(1, 0, 1000, true)}});
  const cost::CostModel& c = bench.costs;
  EXPECT_NEAR(r.time.compute.value(), (Linear(c, 1001) * kLayers + c.Head(Tokens(2)).time).value(),
              kTolerance);
}

// Nothing of the layer runs beside the load of a pure decode, so it is all stall; the second step
// selects what is resident by then.
TEST(SimulatedExecutorTest, LoadsStallTheLayerAndOnlyLoadsDo) {
  Bench bench(Config(kBudget));
  bench.AddDecoding(5000);
  IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
  const Seconds load =
      bench.costs.Load(cost::LoadMethod::kFlashH2d, Bytes(16384), kBudget * kHeads).time;
  EXPECT_EQ(r.loads, kBudget * kHeads * kLayers);
  EXPECT_EQ(r.touches, r.loads);
  EXPECT_EQ(r.h2d_bytes, Bytes(16384) * r.loads);
  EXPECT_NEAR(r.h2d_busy.value(), (load * kLayers).value(), kTolerance);
  EXPECT_NEAR(r.time.load_stall.value(), (load * kLayers).value(), kLayers * 1e-9);
  r = bench.Run({.ticket = 2, .decodes = {0}, .prefills = {}}, SimTime(1'000'000'000));
  EXPECT_EQ(r.loads, 0);
  EXPECT_EQ(r.touches, kBudget * kHeads * kLayers);
  EXPECT_EQ(r.time.load_stall, Seconds(0));
}

TEST(SimulatedExecutorTest, PrefillAttentionHidesLoadsAndIsSlowedByThem) {
  calibration::Record record = NeutralRecord();
  record.slowdowns.at("h2d.flash").value = 1.5;
  Bench bench(Config(kBudget), true, record);
  bench.AddDecoding(5000);
  bench.AddPrompt(4000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {0}, .prefills = {Whole(1, 2000, 4000, true)}});
  const cost::CostModel& c = bench.costs;
  const Seconds load = c.Load(cost::LoadMethod::kFlashH2d, Bytes(16384), kBudget * kHeads).time;
  const Seconds attention = Prefill(c, 2000, 4000);
  const Seconds slowed = attention + std::min(load, attention) * 0.5;
  const Seconds decode = c.DecodeAttention(1, Tokens(2048), true).time;
  EXPECT_NEAR(r.time.attention.value(), ((slowed + decode) * kLayers).value(), kTolerance);
  const double stall = std::max(0.0, (load - slowed).value());
  EXPECT_NEAR(r.time.load_stall.value(), stall * kLayers, kLayers * 1e-9);
}

TEST(SimulatedExecutorTest, BothDirectionsAtOnceShareTheLink) {
  calibration::Record record = NeutralRecord();
  record.operations.at("d2h.flash").bandwidth = BytesPerSecond(1e6);  // always saving
  Seconds stall[2];
  for (const int slowdown : {1, 2}) {
    SimulatedExecutorConfig config = Config(kBudget);
    config.duplex_slowdown = slowdown;
    Bench bench(config, true, record);
    bench.AddDecoding(5000);
    stall[slowdown - 1] = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}}).time.load_stall;
  }
  EXPECT_NEAR(stall[1].value(), 2 * stall[0].value(), 3 * kLayers * 1e-9);
}

TEST(SimulatedExecutorTest, ASaveCountsItsBytesAndScattersAfterwards) {
  Bench bench(Config(kBudget));
  bench.AddPrompt(1000);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 1000, true)}});
  const Bytes layer(1000 * 512 * kHeads);
  const Seconds save = bench.costs.Save(cost::SaveMethod::kFlashD2h, layer, 1).time;
  const Seconds scatter = bench.costs.Scatter(layer, Bytes(16384)).time;
  EXPECT_EQ(r.d2h_bytes, layer * kLayers);
  EXPECT_NEAR(r.d2h_busy.value(), (save * kLayers).value(), kTolerance);
  EXPECT_NEAR(r.scatter_busy.value(), (scatter * kLayers).value(), kTolerance);
  EXPECT_EQ(r.time.save_stall, Seconds(0));
}

TEST(SimulatedExecutorTest, ABlockwiseSaveHasAFragmentPerBlockAndHead) {
  SimulatedExecutorConfig config = Config(kBudget);
  config.save = cost::SaveMethod::kMemcpyPerBlock;
  Bench bench(config);
  bench.AddPrompt(1024);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 1024, true)}});
  const Seconds save =
      bench.costs.Save(cost::SaveMethod::kMemcpyPerBlock, Bytes(16384), 32 * kHeads).time;
  EXPECT_NEAR(r.d2h_busy.value(), (save * kLayers).value(), kTolerance);
  EXPECT_EQ(r.scatter_busy, Seconds(0));
}

TEST(SimulatedExecutorTest, ASaveThatUsesSmsSlowsTheCompute) {
  calibration::Record record = NeutralRecord();
  record.slowdowns.at("d2h.direct").value = 1.5;
  SimulatedExecutorConfig config = Config(kBudget);
  config.save = cost::SaveMethod::kGpuDirect;
  Bench bench(config, true, record);
  bench.AddPrompt(1024);
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 1024, false)}});
  EXPECT_NEAR(r.time.compute.value(),
              (Linear(bench.costs, 1024) * kLayers + r.d2h_busy * 0.5).value(), kTolerance);
}

// The buffers of new K and V are double: the third iteration waits for the saves of the first.
TEST(SimulatedExecutorTest, SlowSavesStallTheIterationAfterTheNext) {
  calibration::Record record = NeutralRecord();
  record.operations.at("d2h.flash").bandwidth = BytesPerSecond(0.5e9);
  Bench bench(Config(kBudget), true, record);
  bench.AddPrompt(6000);
  SimTime start, saves_done[3];
  for (const int i : {0, 1, 2}) {
    const PrefillPiece chunk = Whole(0, i * 2000, (i + 1) * 2000, false);
    const IterationResult r = bench.Run(
        {.ticket = static_cast<kvcache::SaveTicket>(i + 1), .decodes = {}, .prefills = {chunk}},
        start);
    if (i < 2) {
      EXPECT_EQ(r.time.save_stall, Seconds(0)) << "iteration " << i;
    } else {
      ASSERT_GT(saves_done[0], start);
      EXPECT_NEAR(r.time.save_stall.value(), (saves_done[0] - start).value(), 1e-9);
    }
    saves_done[i] = bench.executor.SavesDone();
    start = start + r.time.duration;
  }
}

// Layers 1 and 2 reuse the KV buffer of the layer before: they wait for the rest of its save.
TEST(SimulatedExecutorTest, ASegmentWaitsForTheSaveOfTheLayerBefore) {
  calibration::Record record = NeutralRecord();
  record.operations.at("d2h.flash").bandwidth = BytesPerSecond(0.1e9);
  for (const bool segmented : {true, false}) {
    SimulatedExecutorConfig config = Config(kBudget);
    config.layer_segmented = segmented;
    Bench bench(config, true, record);
    bench.AddPrompt(2000);
    PrefillPiece piece = Whole(0, 0, 2000, false);
    piece.layer_end = 3;
    const IterationResult r = bench.Run({.ticket = 1, .decodes = {}, .prefills = {piece}});
    const cost::CostModel& c = bench.costs;
    const Seconds save = c.Save(cost::SaveMethod::kFlashD2h, Bytes(2000 * 512 * kHeads), 1).time;
    const Seconds beside = Prefill(c, 0, 2000) + c.OutputAndMlp(0, Tokens(2000)).time;
    ASSERT_GT(save, beside);
    EXPECT_NEAR(r.time.save_stall.value(), segmented ? 2 * (save - beside).value() : 0, 4e-9);
  }
}

TEST(SimulatedExecutorTest, SavesCompleteInOrderAndNotBeforeTheirTime) {
  Bench bench(Config(kBudget));
  bench.AddPrompt(1000);
  EXPECT_EQ(bench.executor.SavesDone(), SimTime());
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 1000, true)}});
  EXPECT_GT(bench.executor.SavesDone(), SimTime());
  EXPECT_LT(bench.executor.SavesDone(), SimTime() + r.time.duration + Seconds(0.001));
}

}  // namespace
}  // namespace sparseserve::serving
