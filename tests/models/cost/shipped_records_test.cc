// The records of calibration/devices reproduce the figures they cite (their sources stand in the
// files).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "models/cost/cost_model.h"
#include "sim/config/calibration_loader.h"
#include "sim/config/machine_loader.h"
#include "sim/config/model_loader.h"
#include "tests/models/cost/cost_fixtures.h"

namespace sparseserve::cost {
namespace {

constexpr const char* kMeasured = "cpu-2core";  // the others are published and assumed
constexpr const char* kNames[] = {"a100-40g-pcie4", "a100-80g", "gh200", "h100-sxm-pcie5",
                                  "h200-sxm"};
constexpr std::int64_t kMany = 100'000;  // blocks: launches no longer matter

calibration::Record Shipped(const std::string& name) {
  return config::LoadCalibration("calibration/devices/" + name + ".yaml");
}

// Link and HBM are made ample, so that the record alone speaks.
CostModel ModelOf(const std::string& name) {
  hardware::Machine machine = TestMachine();
  machine.link.h2d_bandwidth = BytesPerSecond(1e12);
  machine.link.d2h_bandwidth = BytesPerSecond(1e12);
  machine.host.dram_bandwidth = BytesPerSecond(8e12);
  return CostModel(Llama3_8b(), machine, Shipped(name), {});
}

double RateOf(Estimate estimate, std::int64_t bytes) {
  return static_cast<double>(bytes) / estimate.time.value();
}

double LoadRate(const CostModel& cost, LoadMethod method, std::int64_t block, std::int64_t count) {
  return RateOf(cost.Load(method, Bytes(block), count), block * count);
}

double SaveRate(const CostModel& cost, SaveMethod method, std::int64_t block, std::int64_t count) {
  return RateOf(cost.Save(method, Bytes(block), count), block * count);
}

TEST(ShippedRecords, EachLoadsIsCompleteAndNamedAsItsFile) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("calibration/devices")) {
    if (entry.path().stem() != kMeasured) names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, std::vector<std::string>(std::begin(kNames), std::end(kNames)));
  for (const std::string& name : names) {
    const calibration::Record record = Shipped(name);
    EXPECT_EQ(record.name, name);
    const CostModel cost(Llama3_8b(), TestMachine(), record,
                         {.tensor_parallel = 8, .gpus_sharing_host = 8});
    EXPECT_GT(cost.Provenance().size(), 20u);
    for (const auto& [operation, curve] : record.operations) {
      EXPECT_EQ(ExplainFault(curve), "") << name << " " << operation;
      EXPECT_NE(curve.source.kind, calibration::Kind::kMeasured) << name << " " << operation;
    }
  }
}

// Of what the cost model reads; points that no fit had seen.
TEST(ShippedRecords, TheMeasuredRecordIsWithinTenPercentOnPointsHeldOut) {
  const calibration::Record record = Shipped(kMeasured);
  ASSERT_TRUE(record.provenance.has_value());
  for (const std::string name :
       {"h2d.memcpy", "h2d.flash", "d2h.memcpy", "d2h.direct", "d2h.flash", "cpu.scatter", "gemm",
        "attention.prefill", "attention.decode_full", "attention.decode_sparse", "score", "topk",
        "elementwise"}) {
    const calibration::Curve& curve = record.operations.at(name);
    EXPECT_EQ(ExplainFault(curve), "") << name;
    EXPECT_EQ(curve.source.kind, calibration::Kind::kMeasured) << name;
    ASSERT_TRUE(curve.holdout_error.has_value()) << name;
    EXPECT_LE(curve.holdout_error->median, 0.1) << name;
  }
}

// The bench and the cost model count the work of a layer alike: of the model that was measured, no
// batch of its range lies beside a curve.
TEST(ShippedRecords, TheMeasuredModelLiesWithinItsCurves) {
  const hardware::Machine machine = config::LoadMachine("models/hardware/configs/cpu-2core.yaml");
  const llm::Architecture model = config::LoadModel("models/llm/configs/small-live.yaml");
  const CostModel cost(model, machine, Shipped(kMeasured), {});
  for (const std::int64_t tokens : {1, 8, 512}) {
    EXPECT_FALSE(cost.Projection(Tokens(tokens)).extrapolated) << tokens;
    EXPECT_FALSE(cost.OutputAndMlp(0, Tokens(tokens)).extrapolated) << tokens;
    EXPECT_FALSE(cost.Head(Tokens(tokens)).extrapolated) << tokens;
  }
}

TEST(ShippedRecords, EachMachineWorksWithItsRecord) {
  int machines = 0;
  for (const auto& entry : std::filesystem::directory_iterator("models/hardware/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    const hardware::Machine machine = config::LoadMachine(entry.path());
    const std::string record = machine.calibration.empty() ? machine.name : machine.calibration;
    const CostModel cost(Llama3_8b(), machine, Shipped(record),
                         {.gpus_sharing_host = machine.num_gpus});
    // A token of a layer's weights, and one block, take microseconds: nothing is off by 1000.
    const double layer =
        (cost.Projection(Tokens(1)).time + cost.OutputAndMlp(0, Tokens(1)).time).value();
    const double slower = machine.name == kMeasured ? 100 : 1;  // a CPU
    EXPECT_GT(layer, 50e-6 * slower) << machine.name;
    EXPECT_LT(layer, 500e-6 * slower) << machine.name;
    EXPECT_LT(cost.Load(LoadMethod::kFlashH2d, Bytes(16384), 1).time, Seconds(50e-6));
    ++machines;
  }
  EXPECT_EQ(machines, 6);
}

// A token of one KV head is 512 B: what the storing kernel saves in a decode step. Copies per block
// wait for a whole block; no published figure covers smaller ones.
TEST(ShippedRecords, TheStoringKernelSavesTokensInRangeAndCopiesWholeBlocks) {
  for (const char* name : kNames) {
    const CostModel cost = ModelOf(name);
    EXPECT_FALSE(cost.Save(SaveMethod::kGpuDirect, Bytes(512), 256).extrapolated) << name;
    EXPECT_FALSE(cost.Save(SaveMethod::kMemcpyPerBlock, Bytes(16384), 256).extrapolated) << name;
    EXPECT_TRUE(cost.Save(SaveMethod::kMemcpyPerBlock, Bytes(512), 256).extrapolated) << name;
    // SGLang #21631: 35 of 49.3 GiB/s at 512 B.
    const double ratio = SaveRate(cost, SaveMethod::kGpuDirect, 512, 1'000'000) /
                         SaveRate(cost, SaveMethod::kGpuDirect, 32768, kMany);
    EXPECT_NEAR(ratio, 0.71, 0.02) << name;
  }
}

TEST(ShippedRecords, A100LoadsOfSparseServe) {
  const CostModel cost = ModelOf("a100-40g-pcie4");
  for (const std::int64_t block : {4096, 8192, 16384, 32768}) {
    EXPECT_LE(LoadRate(cost, LoadMethod::kMemcpyPerBlock, block, kMany), 5.0e9 * (1 + 1e-9));
    EXPECT_GE(LoadRate(cost, LoadMethod::kFlashH2d, block, kMany), 0.999 * 20e9);
    EXPECT_LE(SaveRate(cost, SaveMethod::kMemcpyPerBlock, block, kMany), 6.0e9 * (1 + 1e-5));
    EXPECT_GE(SaveRate(cost, SaveMethod::kFlashD2h, block, kMany), 0.999 * 23e9);
    EXPECT_FALSE(cost.Load(LoadMethod::kFlashH2d, Bytes(block), kMany).extrapolated);
  }
  // The bound is just reached by the largest block.
  EXPECT_NEAR(LoadRate(cost, LoadMethod::kMemcpyPerBlock, 32768, 1), 5e9, 1);
  EXPECT_NEAR(SaveRate(cost, SaveMethod::kMemcpyPerBlock, 32768, 1), 6e9, 1e4);
  EXPECT_TRUE(cost.Load(LoadMethod::kFlashH2d, Bytes(656), kMany).extrapolated);
}

TEST(ShippedRecords, H100TransfersOfSmallBlocks) {
  const CostModel cost = ModelOf("h100-sxm-pcie5");
  // torchcomms #2195: 3.55 us a copy; SGLang #37231: 28.4 GB/s of 656 B rows.
  EXPECT_GT(cost.Load(LoadMethod::kMemcpyPerBlock, Bytes(4096), 1).time, Seconds(3.55e-6));
  EXPECT_NEAR(LoadRate(cost, LoadMethod::kFlashH2d, 656, 1'000'000), 28.4e9, 0.1e9);
  // vLLM #42212: within 5 % of the peak (52 GB/s) from 8 to 32 KB; 8 KB comes to 6 % here.
  EXPECT_GT(LoadRate(cost, LoadMethod::kFlashH2d, 8192, kMany), 0.93 * 52e9);
  EXPECT_NEAR(LoadRate(cost, LoadMethod::kFlashH2d, 16384, kMany), 50e9, 0.6e9);
  EXPECT_NEAR(SaveRate(cost, SaveMethod::kFlashD2h, 16384, kMany), 52e9, 0.1e9);
  EXPECT_NEAR(SaveRate(cost, SaveMethod::kGpuDirect, 65536, kMany), 52.8e9, 0.3e9);
}

TEST(ShippedRecords, H200DecodeOfTileOps) {
  // Llama-8B, batch 32, 4096 tokens each: 135 us on H200 (4.8 TB/s).
  hardware::Machine machine = TestMachine();
  machine.gpu.hbm_bandwidth = BytesPerSecond(4.8e12);
  machine.gpu.bf16_flops = FlopsPerSecond(989e12);
  const CostModel cost(Llama3_8b(), machine, Shipped("h200-sxm"), {});
  EXPECT_NEAR(cost.DecodeAttention(32, Tokens(32 * 4096), false).time.value(), 135e-6, 6e-6);
}

TEST(ShippedRecords, TopKOfSglangAndFlashInfer) {
  const CostModel cost = ModelOf("h100-sxm-pcie5");
  EXPECT_NEAR(cost.TopK(4, 8192).time.value(), 5.0e-6, 0.2e-6);
  EXPECT_NEAR(cost.TopK(256, 262144).time.value(), 230e-6, 1e-6);
  EXPECT_NEAR(cost.TopK(64, 65536).time.value(), 16.7e-6, 0.15 * 16.7e-6);
}

TEST(ShippedRecords, InterferenceOfPegaflow) {
  for (const char* name : kNames) {
    const CostModel cost = ModelOf(name);
    EXPECT_EQ(cost.ComputeSlowdown(SaveMethod::kFlashD2h), 1.046);
    EXPECT_EQ(cost.ComputeSlowdown(SaveMethod::kGpuDirect), 1.472);
    EXPECT_GT(cost.ComputeSlowdown(LoadMethod::kFlashH2d), 1.046);
    EXPECT_LT(cost.ComputeSlowdown(LoadMethod::kFlashH2d), 1.472);
  }
}

// The scatter keeps up with the copy it follows, on every machine, as FlashD2H needs.
TEST(ShippedRecords, ScatterIsFasterThanItsCopy) {
  for (const char* name : kNames) {
    const CostModel cost = ModelOf(name);
    const Bytes bytes(16384 * kMany);
    EXPECT_LT(cost.Scatter(bytes, Bytes(16384)).time,
              cost.Save(SaveMethod::kFlashD2h, Bytes(16384), kMany).time)
        << name;
  }
}

}  // namespace
}  // namespace sparseserve::cost
