// Several GPUs: tensor parallelism, shared host links, shared cores and DRAM.
#include <gtest/gtest.h>

#include "models/cost/cost_model.h"
#include "tests/models/cost/cost_fixtures.h"

namespace sparseserve::cost {
namespace {

TEST(CostModelSharing, ASharedSwitchHalvesFlashLoadsAndSparesMemcpy) {
  // Two GPUs share one 25 GB/s uplink: 12.5 GB/s each. A copy per block stays below that.
  const Bytes block(16384);
  const CostModel alone = TestModel();
  const CostModel shared = TestModel(Llama3_8b(), {.gpus_sharing_host = 2});
  const double bytes = 1000 * 16384.0;
  EXPECT_NEAR(shared.Load(LoadMethod::kFlashH2d, block, 1000).time.value(), bytes / 12.5e9, 1e-9);
  EXPECT_NEAR(shared.Save(SaveMethod::kFlashD2h, block, 1000).time.value(), bytes / 12.5e9, 1e-9);
  EXPECT_EQ(shared.Load(LoadMethod::kMemcpyPerBlock, block, 1000).time,
            alone.Load(LoadMethod::kMemcpyPerBlock, block, 1000).time);
}

TEST(CostModelSharing, ScatterIsBoundByThreadsOrByDram) {
  hardware::Machine machine = TestMachine();
  machine.host.num_cores = 16;  // 2 of the 4 threads the curve assumes, for each of 8 GPUs
  const CostModel few_cores(Llama3_8b(), machine, TestRecord(), {.gpus_sharing_host = 8});
  const double bytes = 16'384'000;
  EXPECT_NEAR(few_cores.Scatter(Bytes(16'384'000), Bytes(16384)).time.value(),
              2 * (1000 * 10e-9 + bytes / 40e9), 1e-9);
  machine.host.num_cores = 64;
  machine.host.dram_bandwidth = BytesPerSecond(160e9);
  // Four GPUs on a socket of 80 GB/s, a read and a write each: 10 GB/s.
  const CostModel slow_dram(Llama3_8b(), machine, TestRecord(), {.gpus_sharing_host = 8});
  EXPECT_NEAR(slow_dram.Scatter(Bytes(16'384'000), Bytes(16384)).time.value(), bytes / 10e9, 1e-9);
}

TEST(CostModelSharing, AMeasuredGridOfScatterIsStretchedByMissingThreads) {
  calibration::Record record = TestRecord();
  calibration::Curve& scatter = record.operations.at("cpu.scatter");
  scatter.grid = {{1, 4096}, {4096, 65536}, {1e-3, 1e-3, 1e-3, 1e-3}};
  hardware::Machine machine = TestMachine();
  const auto time = [&](std::int64_t cores) {
    machine.host.num_cores = cores;
    const CostModel cost(Llama3_8b(), machine, record, {.gpus_sharing_host = 8});
    return cost.Scatter(Bytes(16'384'000), Bytes(16384)).time.value();
  };
  EXPECT_DOUBLE_EQ(time(32), 1e-3);  // the 4 threads that the record was measured with
  EXPECT_DOUBLE_EQ(time(8), 4e-3);
  EXPECT_DOUBLE_EQ(time(4), 4e-3);  // no less than one
}

TEST(CostModelSharing, AMeasuredAllReduceReplacesTheRoofline) {
  calibration::Record record = TestRecord();
  const CostConfig config{.tensor_parallel = 4};
  const auto time = [&] {
    return CostModel(Llama3_8b(), TestMachine(), record, config)
        .OutputAndMlp(0, Tokens(16))
        .time.value();
  };
  const double roofline = 7e-6 + 1.5 * 16 * 8192 / 240e9;  // a kernel, a hop, the bytes
  const double before = time();
  calibration::Curve& measured = record.operations["allreduce"];
  measured.source = {calibration::Kind::kMeasured, "here"};
  measured.launch = Seconds(1e-3);
  record.efficiencies.erase("allreduce.link");  // no longer needed
  EXPECT_NEAR(time() - before, 2 * (1e-3 - roofline), 1e-9);
}

TEST(CostModelSharing, TensorParallelismDividesTheWorkAndAddsTwoAllReduces) {
  calibration::Record record = TestRecord();
  record.latencies["kernel"].value = 0;
  hardware::Machine machine = TestMachine();
  machine.gpu.gpu_link_latency = Seconds(7e-6);
  const CostModel one(Llama3_8b(), machine, record, {});
  const CostModel four(Llama3_8b(), machine, record, {.tensor_parallel = 4});
  const auto kv = [](const CostModel& cost) {
    return cost.DecodeAttention(4, Tokens(65536), true).time.value();
  };
  EXPECT_NEAR(kv(four), kv(one) / 4, 1e-10);
  // 16 tokens x 4096 x 2 B, 2 x 3/4 of it over 0.8 x 300 GB/s, twice.
  const double on_links = 2 * 1.5 * 16 * 8192 / 240e9;
  const double quarter = one.OutputAndMlp(0, Tokens(16)).time.value() / 4;
  const double time = four.OutputAndMlp(0, Tokens(16)).time.value();
  EXPECT_NEAR(time, quarter + 2 * 7e-6 + on_links, 0.02 * quarter);
  machine.gpu.gpu_link_bandwidth = machine.gpu.gpu_link_bandwidth / 2;
  const CostModel slow_links(Llama3_8b(), machine, record, {.tensor_parallel = 4});
  EXPECT_NEAR(slow_links.OutputAndMlp(0, Tokens(16)).time.value() - time, on_links, 1e-12);
}

TEST(CostModelSharing, OneGpuNeedsNoAllReduce) {
  calibration::Record record = TestRecord();
  record.efficiencies.erase("allreduce.link");
  hardware::Machine machine = TestMachine();
  const double before =
      CostModel(Llama3_8b(), machine, record, {}).OutputAndMlp(0, Tokens(16)).time.value();
  machine.gpu.gpu_link_latency = Seconds(1);
  machine.gpu.gpu_link_bandwidth = BytesPerSecond(0);
  EXPECT_EQ(CostModel(Llama3_8b(), machine, record, {}).OutputAndMlp(0, Tokens(16)).time.value(),
            before);
}

TEST(CostModelSharing, EveryGpuHoldsTheWholeLatent) {
  calibration::Record record = TestRecord();
  record.efficiencies["attention.decode.compute"].value = 1;
  hardware::Machine machine = TestMachine();
  machine.gpu.bf16_flops = FlopsPerSecond(1e18);  // memory alone
  const CostModel one(Mixture(), machine, record, {});
  const CostModel eight(Mixture(), machine, record, {.tensor_parallel = 8});
  const double alone = one.DecodeAttention(1, Tokens(1 << 20), true).time.value();
  EXPECT_NEAR(eight.DecodeAttention(1, Tokens(1 << 20), true).time.value(), alone, 1e-3 * alone);
}

TEST(CostModelSharing, AStagedSaveCrossesTheDramThreeTimes) {
  hardware::Machine machine = TestMachine();
  machine.gpus_per_switch = 1;
  machine.host.dram_bandwidth = BytesPerSecond(120e9);  // 60 GB/s a socket, for four GPUs each
  const CostModel cost(Llama3_8b(), machine, TestRecord(), {.gpus_sharing_host = 8});
  const double bytes = 1000 * 16384.0;
  const auto save = [&](SaveMethod method) {
    return cost.Save(method, Bytes(16384), 1000).time.value();
  };
  EXPECT_NEAR(save(SaveMethod::kFlashD2h), bytes / (60e9 / 4 / 3), 1e-9);
  EXPECT_NEAR(save(SaveMethod::kGpuDirect), bytes / (60e9 / 4), 1e-9);
}

}  // namespace
}  // namespace sparseserve::cost
