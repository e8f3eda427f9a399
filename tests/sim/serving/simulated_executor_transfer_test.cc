// The loads and saves of an iteration, with times computed by hand from the cost model.
#include "sim/serving/simulated_executor.h"

#include <gtest/gtest.h>

#include "tests/sim/serving/executor_bench.h"

namespace sparseserve::serving {
namespace {

// Nothing of the layer runs beside the load of a pure decode, so it is all stall; the second step
// selects what is resident by then.
TEST(SimulatedExecutorTransferTest, LoadsStallTheLayerAndOnlyLoadsDo) {
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

TEST(SimulatedExecutorTransferTest, PrefillAttentionHidesLoadsAndIsSlowedByThem) {
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

TEST(SimulatedExecutorTransferTest, BlocksJustLoadedAreReadFaster) {
  calibration::Record record = NeutralRecord();
  record.slowdowns["cold.h2d.flash"] = {2, {calibration::Kind::kAssumed, "for tests"}};
  Bench bench(Config(kBudget), true, record);
  bench.AddDecoding(5000);
  const Seconds decode = bench.costs.DecodeAttention(1, Tokens(2048), true).time;
  IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
  ASSERT_EQ(r.loads, r.touches);
  EXPECT_NEAR(r.time.attention.value(), (decode * kLayers).value() / 2, kTolerance);
  r = bench.Run({.ticket = 2, .decodes = {0}, .prefills = {}}, SimTime(1'000'000'000));
  ASSERT_EQ(r.loads, 0);
  EXPECT_NEAR(r.time.attention.value(), (decode * kLayers).value(), kTolerance);
  EXPECT_DOUBLE_EQ(bench.costs.AfterLoad(cost::LoadMethod::kFlashH2d, 0.5), 0.75);
  EXPECT_EQ(bench.costs.AfterLoad(cost::LoadMethod::kMemcpyPerBlock, 1), 1);
}

TEST(SimulatedExecutorTransferTest, BothDirectionsAtOnceShareTheLink) {
  calibration::Record record = NeutralRecord();
  record.operations.at("d2h.flash").bandwidth = BytesPerSecond(1e6);  // always saving
  const IterationPlan plan{.ticket = 1, .decodes = {0}, .prefills = {}};
  Bench alone(Config(kBudget), true, record);
  alone.AddDecoding(5000);
  const IterationResult free = alone.Run(plan);
  const double rates = static_cast<double>(free.h2d_bytes.value()) / free.h2d_busy.value() + 1e6;
  for (const double share : {0.5, 2.0}) {  // of what both directions reach by themselves
    SimulatedExecutorConfig config = Config(kBudget);
    config.duplex_bandwidth = BytesPerSecond(rates * share);
    Bench bench(config, true, record);
    bench.AddDecoding(5000);
    const double slowdown = std::max(1.0, 1 / share);
    EXPECT_NEAR(bench.Run(plan).time.load_stall.value(), slowdown * free.time.load_stall.value(),
                3 * kLayers * 1e-9);
  }
}

TEST(SimulatedExecutorTransferTest, ASaveCountsItsBytesAndScattersAfterwards) {
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

TEST(SimulatedExecutorTransferTest, ABlockwiseSaveHasAFragmentPerBlockAndHead) {
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

TEST(SimulatedExecutorTransferTest, ASaveThatUsesSmsSlowsTheCompute) {
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
TEST(SimulatedExecutorTransferTest, SlowSavesStallTheIterationAfterTheNext) {
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
TEST(SimulatedExecutorTransferTest, ASegmentWaitsForTheSaveOfTheLayerBefore) {
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

TEST(SimulatedExecutorTransferTest, SavesCompleteInOrderAndNotBeforeTheirTime) {
  Bench bench(Config(kBudget));
  bench.AddPrompt(1000);
  EXPECT_EQ(bench.executor.SavesDone(), SimTime());
  const IterationResult r =
      bench.Run({.ticket = 1, .decodes = {}, .prefills = {Whole(0, 0, 1000, true)}});
  EXPECT_GT(bench.executor.SavesDone(), SimTime());
  EXPECT_LT(bench.executor.SavesDone(), SimTime() + r.time.duration + Seconds(0.001));
}

// On a measured clock that is faster than the predicted one, no lane may fall behind from iteration
// to iteration: each ends with what it had left at the predicted end.
TEST(SimulatedExecutorTransferTest, LanesDoNotPileUpOnAMeasuredClock) {
  MeasuredRun run;
  run.durations.assign(8, Seconds(1e-5));  // less than the saves alone
  run.saved_before.assign(8, 0);
  SimulatedExecutorConfig config = Config(kBudget);
  config.imposed = &run;
  Bench bench(config);
  bench.AddDecoding(5000);
  SimTime at;
  for (kvcache::SaveTicket ticket = 1; ticket <= 8; ++ticket) {
    const IterationResult r =
        bench.executor.Execute(at, {.ticket = ticket, .decodes = {0}, .prefills = {}}, bench.table);
    EXPECT_GT(r.d2h_busy, Seconds(1e-5));
    EXPECT_EQ(r.time.duration, Seconds(1e-5));
    EXPECT_EQ(r.time.save_stall, Seconds(0)) << ticket;
    EXPECT_EQ(r.time.load_stall > Seconds(0), ticket == 1) << ticket;
    at = at + r.time.duration;
  }
}

calibration::Record WithHostWork() {
  calibration::Record record = NeutralRecord();
  const auto constant = [&](const char* name, double launch, double per_item) {
    calibration::Curve& curve = record.operations[name];
    curve.launch = Seconds(launch);
    curve.per_item = Seconds(per_item);
  };
  constant("host.iteration", 1e-3, 1e-4);
  constant("host.select", 30e-6, 1e-8);
  constant("host.attend", 50e-6, 1e-8);
  record.latencies["handover"].value = 20e-6;
  return record;
}

// The host decides what to load, then the load runs and wakes compute; where nothing is loaded, the
// tables are what compute waits for.
TEST(SimulatedExecutorTransferTest, HostWorkOfTheRecordDelaysLoadsAndAttention) {
  Bench bench(Config(kBudget), true, WithHostWork());
  bench.AddDecoding(5000);
  const double units = kBudget * kHeads;
  IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
  const Seconds load =
      bench.costs.Load(cost::LoadMethod::kFlashH2d, Bytes(16384), kBudget * kHeads).time;
  const double loaded = 30e-6 + 1e-8 * units + load.value() + 20e-6;
  ASSERT_GT(loaded, 50e-6 + 1e-8 * units);
  EXPECT_NEAR(r.time.load_stall.value(), loaded * kLayers, kLayers * 3e-9);
  EXPECT_NEAR(r.time.host.value(), (kHost + Seconds(1.1e-3)).value(), kLayers * 3e-9);
  r = bench.Run({.ticket = 2, .decodes = {0}, .prefills = {}}, SimTime(1'000'000'000));
  EXPECT_EQ(r.loads, 0);
  EXPECT_EQ(r.time.load_stall, Seconds(0));
  EXPECT_NEAR(r.time.host.value(), kHost.value() + 1.1e-3 + (50e-6 + 1e-8 * units) * kLayers,
              kLayers * 3e-9);
}

// Once a layer, whether there is anything to save or, with one copy per block, not yet.
TEST(SimulatedExecutorTransferTest, HandingOverASaveIsHostTimeOfItsLayer) {
  calibration::Record record = NeutralRecord();
  record.latencies["save_handover"].value = 7e-6;
  for (const cost::SaveMethod save :
       {cost::SaveMethod::kFlashD2h, cost::SaveMethod::kMemcpyPerBlock}) {
    SimulatedExecutorConfig config = Config(kBudget);
    config.save = save;
    Bench bench(config, true, record);
    bench.AddDecoding(5000);  // its last block is not full
    const IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
    EXPECT_NEAR(r.time.host.value(), kHost.value() + 7e-6 * kLayers, kLayers * 3e-9);
  }
  Bench resident(Config(kBudget), false, record);
  resident.AddDecoding(5000);
  const IterationResult r = resident.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
  EXPECT_NEAR(r.time.host.value(), kHost.value(), 1e-9);
}

TEST(SimulatedExecutorTransferTest, PrefillAttentionHidesHostWork) {
  for (const bool offloads : {true, false}) {
    Bench bench(Config(kBudget), offloads, WithHostWork());
    bench.AddDecoding(5000);
    bench.AddPrompt(4000);
    const IterationResult r =
        bench.Run({.ticket = 1, .decodes = {0}, .prefills = {Whole(1, 2000, 4000, true)}});
    ASSERT_GT(Prefill(bench.costs, 2000, 4000), Seconds(2e-4));
    EXPECT_NEAR(r.time.host.value(), (kHost + Seconds(1.2e-3)).value(), 1e-9) << offloads;
  }
}

TEST(SimulatedExecutorTransferTest, HostWorkHasACurveOfItsOwnWhereKvStaysInHbm) {
  calibration::Record record = WithHostWork();
  const auto host = [](const calibration::Record& measured) {
    Bench bench(Config(kBudget), false, measured);
    bench.AddDecoding(5000);
    return bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}}).time.host.value();
  };
  const double units = kBudget * kHeads;
  const double without = kHost.value() + 1.1e-3 + (50e-6 + 1e-8 * units) * kLayers;
  EXPECT_NEAR(host(record), without, kLayers * 3e-9);
  record.operations["host.attend_resident"] = record.operations["host.attend"];
  record.operations["host.attend_resident"].launch = Seconds(80e-6);
  EXPECT_NEAR(host(record), without + 30e-6 * kLayers, kLayers * 3e-9);
}

TEST(SimulatedExecutorTransferTest, WithAllKvInHbmTheHostBuildsTablesWhereBlocksAreChosen) {
  for (const std::int64_t budget : {std::int64_t{0}, kBudget}) {
    Bench bench(Config(budget), false, WithHostWork());
    bench.AddDecoding(5000);
    const IterationResult r = bench.Run({.ticket = 1, .decodes = {0}, .prefills = {}});
    const double tables = budget > 0 ? (50e-6 + 1e-8 * kBudget * kHeads) * kLayers : 0;
    EXPECT_NEAR(r.time.host.value(), kHost.value() + 1.1e-3 + tables, kLayers * 3e-9);
  }
}

}  // namespace
}  // namespace sparseserve::serving
