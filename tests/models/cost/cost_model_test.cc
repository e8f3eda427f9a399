#include "models/cost/cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/core/error.h"
#include "tests/models/cost/cost_fixtures.h"

namespace sparseserve::cost {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr double kHbm = 0.8 * 1.555e12;  // B/s reached in TestRecord on TestMachine
constexpr double kCompute = 0.8 * 312e12;
constexpr double kKernel = 2e-6;

TEST(CostModelTest, OneTokenOfProjectionIsBoundByItsWeights) {
  // q, k, v of Llama-3-8B: 4096 x (32 + 2 x 8) x 128 weights of 2 B. GEMM in and out: (4096 + 6144)
  // x 2 B; norm, rotation and cache write: (4 x 4096 + 2 x 6144) x 2 B and two kernels.
  const double gemm = (4096.0 * 6144 * 2 + 10240 * 2) / kHbm + kKernel;
  const double elementwise = (4 * 4096 + 2 * 6144) * 2 / kHbm + 2 * kKernel;
  EXPECT_NEAR(TestModel().Projection(Tokens(1)).time.value(), gemm + elementwise, 1e-12);
}

TEST(CostModelTest, ManyTokensOfProjectionAreBoundByCompute) {
  const double gemm = 2 * 4096.0 * 6144 * 8192 / kCompute + kKernel;
  const double elementwise = (4 * 4096 + 2 * 6144) * 2.0 * 8192 / kHbm + 2 * kKernel;
  EXPECT_NEAR(TestModel().Projection(Tokens(8192)).time.value(), gemm + elementwise, 1e-10);
}

TEST(CostModelTest, OneTokenReadsTheWeightsOfOutputAndMlp) {
  const double weights = (4096.0 * 4096 + 3 * 4096.0 * 14336) * 2;
  const double time = TestModel().OutputAndMlp(0, Tokens(1)).time.value();
  EXPECT_GT(time, weights / kHbm + 5 * kKernel);
  EXPECT_LT(time, 1.01 * weights / kHbm + 5 * kKernel);
}

TEST(CostModelTest, AnMlpWithoutAGateHasTwoMatrices) {
  llm::Architecture model = Llama3_8b();
  const double gated = TestModel(model).OutputAndMlp(0, Tokens(1)).time.value();
  model.gated_mlp = false;
  const double plain = TestModel(model).OutputAndMlp(0, Tokens(1)).time.value();
  // The gate's weights, bound by memory; what it writes for one token is a ten-thousandth of that.
  const double gate = 4096.0 * 14336 * 2 / kHbm;
  EXPECT_NEAR(gated - plain, gate, 2e-3 * gate);
}

TEST(CostModelTest, ADenseModelHasOneLayerKind) {
  const CostModel cost = TestModel();
  EXPECT_EQ(cost.num_layer_kinds(), 1);
  EXPECT_EQ(cost.LayerKind(0), 0);
  EXPECT_EQ(cost.LayerKind(31), 0);
}

TEST(CostModelTest, AMixtureWithDenseLayersHasTwoKinds) {
  const CostModel cost = TestModel(Mixture());
  EXPECT_EQ(cost.num_layer_kinds(), 2);
  EXPECT_EQ(cost.LayerKind(2), 0);
  EXPECT_EQ(cost.LayerKind(3), 1);
  EXPECT_EQ(cost.LayerKind(60), 1);
  EXPECT_EQ(cost.OutputAndMlp(3, Tokens(8)).time, cost.OutputAndMlp(60, Tokens(8)).time);
  EXPECT_NE(cost.OutputAndMlp(2, Tokens(8)).time, cost.OutputAndMlp(3, Tokens(8)).time);
}

TEST(CostModelTest, AMixtureReadsMoreExpertsForMoreTokens) {
  // One token touches 8 + 1 of 257 experts; 64 tokens about 87 % of them.
  const CostModel cost = TestModel(Mixture());
  const double expert = 3.0 * 7168 * 2048;  // B
  const double one = cost.OutputAndMlp(3, Tokens(1)).time.value();
  const double many = cost.OutputAndMlp(3, Tokens(64)).time.value();
  EXPECT_NEAR(many - one, (222.5 - 8) * expert / kHbm, 0.05 * (many - one));
}

TEST(CostModelTest, PrefillCountsItsQueryKeyPairsExactly) {
  // Far from the tail's cap and the memory bound: pairs x 4 x 128 x 32 FLOPs + half of 108 tiles.
  const PrefillSpan span{Tokens(4096), Tokens(32768)};
  const double pairs = (32768.0 * 32769 - 4096.0 * 4097) / 2;
  const double tail = 0.5 * 108 * 128 * 32768.0 * 4 * 128;
  const double expected = (pairs * 4 * 128 * 32 + tail) / kCompute + kKernel;
  EXPECT_NEAR(TestModel().PrefillAttention({&span, 1}).time.value(), expected, 1e-9);
}

TEST(CostModelTest, ChunkedPrefillTakesLongerThanWholeAndShortChunksLongest) {
  const CostModel cost = TestModel(Lwm7b());
  const PrefillSpan whole{Tokens(0), Tokens(32768)};
  double last = cost.PrefillAttention({&whole, 1}).time.value();
  for (const std::int64_t chunk : {8192, 2048, 1024, 512, 128}) {
    double total = 0;
    for (std::int64_t begin = 0; begin < 32768; begin += chunk) {
      const PrefillSpan span{Tokens(begin), Tokens(begin + chunk)};
      total += cost.PrefillAttention({&span, 1}).time.value();
    }
    EXPECT_GT(total, last) << "chunk " << chunk;
    last = total;
  }
}

TEST(CostModelTest, SpansOfOneBatchShareALaunch) {
  const CostModel cost = TestModel();
  const PrefillSpan spans[] = {{Tokens(0), Tokens(2048)}, {Tokens(4096), Tokens(6144)}};
  const double apart = cost.PrefillAttention({spans, 1}).time.value() +
                       cost.PrefillAttention({spans + 1, 1}).time.value();
  EXPECT_LT(cost.PrefillAttention(spans).time.value(), apart - kKernel);
  EXPECT_EQ(cost.PrefillAttention({}).time, Seconds(0));
  const PrefillSpan empty{Tokens(100), Tokens(100)};
  EXPECT_EQ(cost.PrefillAttention({&empty, 1}).time, Seconds(0));
}

TEST(CostModelTest, DecodeAttentionReadsTheKeysAndValues) {
  // Llama-3-8B: 8 x 2 x 128 x 2 B per token; queries and outputs 2 x 4096 x 2 B per request.
  const double bytes = 65536.0 * 4096 + 4 * 16384;
  EXPECT_NEAR(TestModel().DecodeAttention(4, Tokens(65536), false).time.value(),
              bytes / kHbm + 2 * kKernel, 1e-11);
}

TEST(CostModelTest, SparseDecodeHasItsOwnEfficiency) {
  calibration::Record record = TestRecord();
  record.efficiencies["attention.decode_sparse.memory"].value = 0.4;
  const CostModel cost(Llama3_8b(), TestMachine(), record, {});
  const double full = cost.DecodeAttention(4, Tokens(65536), false).time.value() - 2 * kKernel;
  const double sparse = cost.DecodeAttention(4, Tokens(65536), true).time.value() - 2 * kKernel;
  EXPECT_NEAR(sparse, 2 * full, 1e-11);
}

TEST(CostModelTest, ScoreReadsMetadataAndTopKFollowsItsCurve) {
  const CostModel cost = TestModel();
  // 131072 tokens in blocks of 32, 8 KV heads, 512 B each.
  EXPECT_NEAR(cost.Score(8 * 4096, Bytes(512)).time.value(), 8 * 4096 * 512 / kHbm + kKernel,
              1e-12);
  EXPECT_NEAR(cost.TopK(64, 8192).time.value(), 5e-6 + 64 * 8192 * 4 / 1e12, 1e-12);
  EXPECT_EQ(cost.TopK(64, 0).time, Seconds(0));
}

TEST(CostModelTest, TransfersFollowTheirCurves) {
  const CostModel cost = TestModel();
  const Bytes block(16384);
  const double bytes = 1000 * 16384.0;
  EXPECT_NEAR(cost.Load(LoadMethod::kMemcpyPerBlock, block, 1000).time.value(),
              1000 * 5e-6 + bytes / 25e9, 1e-12);
  EXPECT_NEAR(cost.Load(LoadMethod::kFlashH2d, block, 1000).time.value(), 10e-6 + bytes / 20e9,
              1e-12);
  EXPECT_NEAR(cost.Save(SaveMethod::kMemcpyPerBlock, block, 1000).time.value(),
              1000 * 4e-6 + bytes / 25e9, 1e-12);
  EXPECT_NEAR(cost.Save(SaveMethod::kGpuDirect, block, 1000).time.value(), 5e-6 + bytes / 22e9,
              1e-12);
  EXPECT_NEAR(cost.Save(SaveMethod::kFlashD2h, block, 1000).time.value(), 4e-6 + bytes / 23e9,
              1e-12);
  EXPECT_NEAR(cost.Scatter(Bytes(16'384'000), block).time.value(), 1000 * 10e-9 + bytes / 40e9,
              1e-12);
}

TEST(CostModelTest, ABlockSizeOutsideTheCurveIsExtrapolated) {
  const CostModel cost = TestModel();
  EXPECT_FALSE(cost.Load(LoadMethod::kFlashH2d, Bytes(4096), 10).extrapolated);
  EXPECT_TRUE(cost.Load(LoadMethod::kFlashH2d, Bytes(656), 10).extrapolated);
  EXPECT_TRUE(cost.Save(SaveMethod::kMemcpyPerBlock, Bytes(65536), 10).extrapolated);
  EXPECT_FALSE(cost.Projection(Tokens(1 << 20)).extrapolated);
}

TEST(CostModelTest, SlowdownsAreThoseOfTheRecord) {
  const CostModel cost = TestModel();
  EXPECT_EQ(cost.ComputeSlowdown(LoadMethod::kMemcpyPerBlock), 1.05);
  EXPECT_EQ(cost.ComputeSlowdown(LoadMethod::kFlashH2d), 1.1);
  EXPECT_EQ(cost.ComputeSlowdown(SaveMethod::kMemcpyPerBlock), 1.06);
  EXPECT_EQ(cost.ComputeSlowdown(SaveMethod::kGpuDirect), 1.5);
  EXPECT_EQ(cost.ComputeSlowdown(SaveMethod::kFlashD2h), 1.07);
}

TEST(CostModelTest, WeightsOfOneByteRunOnTheFp8Units) {
  hardware::Machine machine = TestMachine();
  machine.gpu.fp8_flops = machine.gpu.bf16_flops * 2;
  const double flops = ProjectionFlopsPerToken(Mixture()).value() * 65536;
  const double bf16 = TestModel(Mixture()).Projection(Tokens(65536)).time.value();
  const CostModel fp8(Mixture(), machine, TestRecord(), {});
  EXPECT_NEAR(bf16 - fp8.Projection(Tokens(65536)).time.value(), flops / kCompute / 2, 1e-9);
  // 16-bit weights do not.
  const CostModel dense(Llama3_8b(), machine, TestRecord(), {});
  EXPECT_EQ(dense.Projection(Tokens(8192)).time, TestModel().Projection(Tokens(8192)).time);
}

TEST(CostModelTest, PrefillReadsItsContextOncePer108QueryTiles) {
  hardware::Machine machine = TestMachine();
  machine.gpu.bf16_flops = FlopsPerSecond(1e20);  // memory alone
  const CostModel cost(Llama3_8b(), machine, TestRecord(), {});
  const auto time = [&](std::int64_t begin, std::int64_t end) {
    const PrefillSpan span{Tokens(begin), Tokens(end)};
    return cost.PrefillAttention({&span, 1}).time.value() - kKernel;
  };
  EXPECT_NEAR(time(98304, 100352), (100352.0 * 4096 + 2048 * 16384) / kHbm, 1e-9);
  const double passes = 55296.0 / (108 * 128);
  EXPECT_NEAR(time(0, 55296), (passes * 55296 * 4096 + 55296.0 * 16384) / kHbm, 1e-8);
}

TEST(CostModelTest, AMeasuredCurveReplacesTheRoofline) {
  calibration::Record record = TestRecord();
  calibration::Curve gemm;
  gemm.source = {calibration::Kind::kMeasured, "here"};
  gemm.grid = {{1, 4096}, {1 << 20, 1 << 28}, {1e-3, 1e-3, 2e-3, 2e-3}};
  gemm.valid_items = {1, 4096};
  record.operations["gemm"] = gemm;
  record.efficiencies.erase("gemm.compute");  // no longer needed
  record.efficiencies.erase("gemm.memory");
  const CostModel cost(Llama3_8b(), TestMachine(), record, {});
  const double elementwise = (4 * 4096 + 2 * 6144) * 2 / kHbm + 2 * kKernel;
  EXPECT_NEAR(cost.Projection(Tokens(1)).time.value(), 1e-3 + elementwise, 1e-12);
  EXPECT_FALSE(cost.Projection(Tokens(1)).extrapolated);
  EXPECT_TRUE(cost.Projection(Tokens(4097)).extrapolated);
  EXPECT_THAT(cost.Provenance(), Contains("gemm: measured, here"));
}

TEST(CostModelTest, SmallKernelsTakeTheirShareOfAMeasuredLayer) {
  calibration::Record record = TestRecord();
  calibration::Curve& layer = record.operations["elementwise"];
  layer.source = {calibration::Kind::kMeasured, "here"};
  // As the bench counts a token of Llama-3-8B: norms, rotation, activation.
  const double token = 2.0 * (4 * 4096 + 2 * 4096 + 3 * 2048 + 3 * 14336);
  layer.grid = {{1, 8}, {token}, {30e-6, 100e-6}};
  layer.valid_items = {1, 8};
  layer.valid_item_bytes = {token, token};
  const CostModel cost(Llama3_8b(), TestMachine(), record, {});
  const double projection = (4096.0 * 6144 * 2 + 10240 * 2) / kHbm + kKernel;
  // (4 x 4096 + 2 x 6144) of its elements belong to the projection, (4 x 4096 + 3 x 14336) to the
  // MLP.
  const double share = 28672.0 / (28672 + 59392);
  const Estimate one = cost.Projection(Tokens(1));
  EXPECT_NEAR(one.time.value(), projection + share * 30e-6, 1e-12);
  EXPECT_FALSE(one.extrapolated);
  EXPECT_TRUE(cost.Projection(Tokens(9)).extrapolated);
  EXPECT_THAT(cost.Provenance(), Contains("elementwise: measured, here"));
}

TEST(CostModelTest, TheTailOfPrefillIsThatOfTheMeasuredKernelsTiles) {
  const PrefillSpan span{Tokens(4096), Tokens(32768)};
  const double pairs = (32768.0 * 32769 - 4096.0 * 4097) / 2;
  calibration::Record record = TestRecord();
  record.counts["attention.query_tile_rows"] = {32, {calibration::Kind::kMeasured, "here"}};
  const CostModel cost(Llama3_8b(), TestMachine(), record, {});
  const double tail = 0.5 * 108 * 32 * 32768.0 * 4 * 128;
  const double expected = (pairs * 4 * 128 * 32 + tail) / kCompute + kKernel;
  EXPECT_NEAR(cost.PrefillAttention({&span, 1}).time.value(), expected, 1e-9);
}

TEST(CostModelTest, ProvenanceNamesWhatWasUsed) {
  const std::vector<std::string> used = TestModel().Provenance();
  EXPECT_THAT(used, Contains("h2d.flash: published, source of h2d.flash"));
  EXPECT_THAT(used, Contains("efficiencies.gemm.compute: assumed, for tests"));
  EXPECT_EQ(std::count(used.begin(), used.end(), "efficiencies.allreduce.link: assumed, for tests"),
            0);
}

std::string ErrorOf(const hardware::Machine& machine, const calibration::Record& record,
                    CostConfig config) {
  try {
    const CostModel cost(Llama3_8b(), machine, record, config);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(CostModelTest, AnIncompleteRecordIsRefused) {
  calibration::Record record = TestRecord();
  record.file = "calibration/devices/x.yaml";
  record.operations.erase("h2d.flash");
  EXPECT_EQ(ErrorOf(TestMachine(), record, {}),
            "calibration/devices/x.yaml: operations.h2d.flash: missing key; expected a curve; the "
            "cost model needs it");
  record = TestRecord();
  record.efficiencies.erase("score.memory");
  EXPECT_THAT(ErrorOf(TestMachine(), record, {}),
              HasSubstr("test-record: efficiencies.score.memory: missing key"));
  record = TestRecord();
  record.operations.erase("cpu.scatter");
  EXPECT_THAT(ErrorOf(TestMachine(), record, {}),
              HasSubstr("test-record: operations.cpu.scatter: missing key; expected a curve"));
}

TEST(CostModelTest, ImpossibleParallelismIsRefused) {
  EXPECT_THAT(ErrorOf(TestMachine(), TestRecord(), {.tensor_parallel = 16}),
              HasSubstr("tensor_parallel: '16' is out of range; expected 1 to the 8 GPUs"));
  EXPECT_THAT(ErrorOf(TestMachine(), TestRecord(), {.tensor_parallel = 3}),
              HasSubstr("3 does not divide the 32 query heads"));
  EXPECT_THAT(ErrorOf(TestMachine(), TestRecord(), {.tensor_parallel = 0}),
              HasSubstr("tensor_parallel: '0' is out of range"));
  for (const std::int64_t sharing : {0, 9}) {
    EXPECT_THAT(ErrorOf(TestMachine(), TestRecord(), {.gpus_sharing_host = sharing}),
                HasSubstr("gpus_sharing_host: '" + std::to_string(sharing) + "' is out of range"));
  }
  hardware::Machine machine = TestMachine();
  machine.gpu.gpu_link_bandwidth = BytesPerSecond(0);
  EXPECT_THAT(ErrorOf(machine, TestRecord(), {.tensor_parallel = 2}),
              HasSubstr("no link between its GPUs"));
}

}  // namespace
}  // namespace sparseserve::cost
