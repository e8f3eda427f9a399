// More KV than HBM by a factor of hundreds, on the whole path from the generator to the summary.
#include <gtest/gtest.h>

#include "tests/sim/serving/test_systems.h"
#include "traces/generator.h"

namespace sparseserve::serving {
namespace {

// HBM for 32K tokens of KV, prompts of 32K on average, one every two seconds.
TEST(OverloadTest, SparseServeCompletesLongPromptsWithAPoolOfOnePrompt) {
  traces::SyntheticOptions options;
  options.prompt = {.kind = traces::LengthKind::kNormal,
                    .mean = 32768,
                    .standard_deviation = 8192,
                    .min = Tokens(1024),
                    .max = Tokens(65536)};
  options.output = {.kind = traces::LengthKind::kConstant, .mean = 512};
  options.num_requests = 200;
  options.arrivals = {.kind = traces::ArrivalKind::kPoisson, .rate_per_s = 0.5};
  SystemConfig config = Shipped("sparseserve");
  config.memory.kv_pool = Bytes(std::int64_t{4} << 30);
  config.memory.dram = Bytes(std::int64_t{256} << 30);
  metrics::Collector collector;
  const auto requests = traces::GenerateSynthetic(options);
  const RunResult run = RunSimulation(config, *requests, {}, collector, {});
  EXPECT_EQ(run.summary.completed, 200);
  EXPECT_EQ(run.summary.failed, 0);
  EXPECT_EQ(run.summary.total_output_tokens, Tokens(200 * 512));
  EXPECT_LE(run.summary.kv.hbm_peak_blocks, run.summary.kv.hbm_capacity_blocks);
}

}  // namespace
}  // namespace sparseserve::serving
