#include "sim/report/summary_json.h"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/sim/report/test_runs.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::ElementsAre;

serving::RunResult RunOf(const metrics::ServiceLevel& slo = {}) {
  serving::RunResult run;
  run.summary = SummaryOfThreeRequests(slo);
  run.budget = {.capacity = Bytes(100),
                .usable = Bytes(90),
                .weights = Bytes(40),
                .activations = Bytes(5),
                .framework = Bytes(10),
                .kv = Bytes(35)};
  run.dram_for_kv = Bytes(500);
  run.cost_provenance = {"h2d.flash: published"};
  run.overlap = {{.window = 1, .asked = 0.8, .realised = 0.79}};
  return run;
}

std::vector<std::string> KeysOf(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& item : json.items()) keys.push_back(item.key());
  return keys;
}

TEST(SummaryJsonTest, HasTheFieldsOfTheContractInTheirOrder) {
  const Json json = Json::parse(SummaryJson(RunOf()));
  std::vector<std::string> expected = {"completed",
                                       "failed",
                                       "duration",
                                       "total_input_tokens",
                                       "total_output_tokens",
                                       "request_throughput",
                                       "request_goodput",
                                       "output_throughput",
                                       "total_token_throughput"};
  for (const std::string name : {"ttft", "tpot", "itl", "e2el"})
    for (const std::string statistic : {"mean", "median", "std", "p99"})
      expected.push_back(statistic + "_" + name + "_ms");
  for (const std::string name :
       {"system", "model", "hardware", "calibration", "fidelity", "seed", "saturated",
        "extrapolated", "scheduling_delay", "batch", "kv", "time_share", "iterations", "perf",
        // not of the contract
        "schema", "slo_attainment", "warmup_requests", "selection", "replicas", "memory_per_gpu",
        "lane_busy", "overlap", "eviction_replay_block_loads", "cost_provenance",
        "ttft_breakdown_ms", "itl_breakdown_ms", "ttft_slowest_1pct", "itl_slowest_1pct",
        "iteration_bound", "batch_bound", "block_reloads"})
    expected.push_back(name);
  EXPECT_EQ(KeysOf(json), expected);
  EXPECT_THAT(KeysOf(json["scheduling_delay"]), ElementsAre("mean_s", "p95_s", "p99_s"));
  EXPECT_THAT(KeysOf(json["batch"]), ElementsAre("mean", "max"));
  EXPECT_THAT(KeysOf(json["kv"]),
              ElementsAre("block_bytes", "hbm_capacity_blocks", "hbm_peak_blocks",
                          "dram_peak_bytes", "hit_rate", "block_loads", "block_loads_per_iteration",
                          "h2d_bytes", "d2h_bytes", "evictions", "preemptions"));
  EXPECT_THAT(KeysOf(json["time_share"]),
              ElementsAre("compute", "attention", "load_stall", "save_stall", "idle", "host"));
  EXPECT_THAT(KeysOf(json["perf"]), ElementsAre("wall_s", "events", "block_touches"));
}

TEST(SummaryJsonTest, ThroughputIsOverFirstArrivalToLastCompletion) {
  const Json json = Json::parse(SummaryJson(RunOf()));
  EXPECT_EQ(json["completed"], 3);
  EXPECT_EQ(json["failed"], 0);
  EXPECT_DOUBLE_EQ(json["duration"], 0.5);
  EXPECT_EQ(json["total_input_tokens"], 350);
  EXPECT_EQ(json["total_output_tokens"], 6);
  EXPECT_DOUBLE_EQ(json["request_throughput"], 6);
  EXPECT_DOUBLE_EQ(json["output_throughput"], 12);
  EXPECT_DOUBLE_EQ(json["total_token_throughput"], 712);
  EXPECT_TRUE(json["request_goodput"].is_null());
  EXPECT_TRUE(json["slo_attainment"].is_null());
}

// By hand from the table in test_runs.h. 1e-5: samples are kept in single precision.
void ExpectStatistics(const Json& json, const std::string& name, double mean, double median,
                      double std, double p99) {
  EXPECT_NEAR(json["mean_" + name + "_ms"], mean, 1e-5 * mean);
  EXPECT_NEAR(json["median_" + name + "_ms"], median, 1e-5 * median);
  EXPECT_NEAR(json["std_" + name + "_ms"], std, 1e-5 * std);
  EXPECT_NEAR(json["p99_" + name + "_ms"], p99, 1e-5 * p99);
}

TEST(SummaryJsonTest, LatenciesFollowVllmsDefinitions) {
  const Json json = Json::parse(SummaryJson(RunOf()));
  // 100, 250, 400: squares of deviations 150^2 + 0 + 150^2 over 3; p99 at rank 1.98.
  ExpectStatistics(json, "ttft", 250, 250, 122.4744871, 397);
  // 75, 100; the request of one token has none; p99 at rank 0.99.
  ExpectStatistics(json, "tpot", 87.5, 87.5, 12.5, 99.75);
  // 50, 100, 100.
  ExpectStatistics(json, "itl", 83.3333333, 100, 23.5702260, 100);
  // 250, 350, 400.
  ExpectStatistics(json, "e2el", 333.3333333, 350, 62.3609564, 399);
  // 0, 0.05, 0.3.
  EXPECT_NEAR(json["scheduling_delay"]["mean_s"], 0.1166667, 1e-6);
  EXPECT_NEAR(json["scheduling_delay"]["p95_s"], 0.275, 1e-6);
  EXPECT_NEAR(json["scheduling_delay"]["p99_s"], 0.295, 1e-6);
}

TEST(SummaryJsonTest, GoodputCountsRequestsThatMeetAllLimits) {
  const Json json = Json::parse(
      SummaryJson(RunOf({.ttft = Seconds(0.26), .tpot = Seconds(0.11), .e2el = std::nullopt})));
  EXPECT_DOUBLE_EQ(json["request_goodput"], 4);  // requests 0 and 1 in 0.5 s
  EXPECT_DOUBLE_EQ(json["slo_attainment"], 2.0 / 3.0);
}

TEST(SummaryJsonTest, CountersAndSharesAreThoseOfTheIterations) {
  const Json json = Json::parse(SummaryJson(RunOf()));
  EXPECT_EQ(json["iterations"], 2);
  EXPECT_DOUBLE_EQ(json["batch"]["mean"], 1.5);
  EXPECT_EQ(json["batch"]["max"], 2);
  EXPECT_EQ(json["kv"], Json::parse(R"({"block_bytes": 16384, "hbm_capacity_blocks": 1000,
      "hbm_peak_blocks": 900, "dram_peak_bytes": 123456, "hit_rate": 0.75, "block_loads": 10,
      "block_loads_per_iteration": 10.0, "h2d_bytes": 163840, "d2h_bytes": 4096, "evictions": 5,
      "preemptions": 1})"));
  const Json& share = json["time_share"];  // of 0.5 s
  EXPECT_DOUBLE_EQ(share["compute"], 0.26);
  EXPECT_DOUBLE_EQ(share["attention"], 0.17);
  EXPECT_DOUBLE_EQ(share["load_stall"], 0.05);
  EXPECT_DOUBLE_EQ(share["save_stall"], 0.005);
  EXPECT_DOUBLE_EQ(share["host"], 0.015);
  EXPECT_DOUBLE_EQ(share["idle"], 0.5);
  EXPECT_EQ(json["perf"]["events"], 11);
  EXPECT_EQ(json["perf"]["block_touches"], 40);
}

TEST(SummaryJsonTest, LabelsAndExtensionsAreCopied) {
  const Json json = Json::parse(SummaryJson(RunOf()));
  EXPECT_EQ(json["system"], "sparseserve");
  EXPECT_EQ(json["model"], "lwm-7b");
  EXPECT_EQ(json["hardware"], "a100");
  EXPECT_EQ(json["calibration"], "a100-40g");
  EXPECT_EQ(json["fidelity"], "exact");
  EXPECT_EQ(json["seed"], 7);
  // By the definition in README.md: none waits in the first half of the arrivals, one in the
  // second.
  EXPECT_EQ(json["saturated"], true);
  EXPECT_EQ(json["extrapolated"], false);
  EXPECT_EQ(json["schema"], kSummarySchema);
  EXPECT_EQ(json["selection"], "arkvale");
  EXPECT_EQ(json["replicas"], 1);
  EXPECT_EQ(json["memory_per_gpu"]["equation"], RunOf().budget.Explain());
  EXPECT_EQ(json["memory_per_gpu"]["hbm_kv_bytes"], 35);
  EXPECT_EQ(json["memory_per_gpu"]["dram_kv_bytes"], 500);
  EXPECT_EQ(json["overlap"], Json::parse(R"([{"window": 1, "asked": 0.8, "realised": 0.79}])"));
  EXPECT_EQ(json["cost_provenance"], Json::parse(R"(["h2d.flash: published"])"));
  EXPECT_DOUBLE_EQ(json["lane_busy"]["h2d_s"], 0.03);
}

TEST(SummaryJsonTest, BreakdownsSumUpToTheLatenciesAndBoundsToTheIterations) {
  const Json json = Json::parse(SummaryJson(RunOf()));
  // Queue 0, 50, 300; the first request's iteration is 60 and 40; the others' 200 and 100 are held.
  EXPECT_EQ(json["ttft_breakdown_ms"], Json::parse(R"({"queue": 116.66666666666667, "held": 100.0,
      "prefill_compute": 20.0, "decode_compute": 0.0, "prefill_attention": 13.333333333333334,
      "decode_attention": 0.0, "load_stall": 0.0, "eviction_stall": 0.0, "save_stall": 0.0,
      "host": 0.0, "recompute": 0.0})"));
  EXPECT_NEAR(json["itl_breakdown_ms"]["held"], 250.0 / 3, 1e-9);
  EXPECT_FALSE(json["itl_breakdown_ms"].contains("queue"));
  const Json& slowest = json["ttft_slowest_1pct"];  // request 2
  EXPECT_EQ(slowest["samples"], 1);
  EXPECT_DOUBLE_EQ(slowest["from_ms"], 400);
  EXPECT_DOUBLE_EQ(slowest["mean_ms"], 400);
  EXPECT_DOUBLE_EQ(slowest["breakdown_ms"]["queue"], 300);
  EXPECT_NEAR(json["itl_slowest_1pct"]["mean_ms"], 100, 1e-9);
  EXPECT_EQ(json["iteration_bound"]["compute"],
            Json::parse(R"({"iterations": 2, "time_s": 0.25})"));
  EXPECT_EQ(json["batch_bound"]["requests"]["iterations"], 2);
  EXPECT_EQ(json["block_reloads"], 0);
}

TEST(SummaryJsonTest, EqualRunsGiveEqualBytesPerfApart) {
  serving::RunResult first = RunOf();
  serving::RunResult second = RunOf();
  EXPECT_EQ(SummaryJson(first), SummaryJson(second));
  second.summary.perf.wall_s = 99;
  Json a = Json::parse(SummaryJson(first));
  Json b = Json::parse(SummaryJson(second));
  EXPECT_NE(a, b);
  a.erase("perf");
  b.erase("perf");
  EXPECT_EQ(a.dump(), b.dump());
}

TEST(SummaryJsonTest, DoublesReadBackTheSame) {
  serving::RunResult run = RunOf();
  run.summary.output_throughput = 0.1 + 0.2;
  run.summary.hit_rate = 2.0 / 3.0;
  const Json json = Json::parse(SummaryJson(run));
  EXPECT_EQ(json["output_throughput"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(json["kv"]["hit_rate"].get<double>(), 2.0 / 3.0);
}

TEST(SummaryJsonTest, RunWithoutRequestsHasNumbersEverywhere) {
  serving::RunResult run;
  run.summary = metrics::Summarize(metrics::Collector(), {}, 1, {}, {}, {});
  const Json json = Json::parse(SummaryJson(run));
  EXPECT_EQ(json["mean_ttft_ms"], 0.0);
  EXPECT_EQ(json["request_throughput"], 0.0);
}

TEST(SummaryJsonTest, NameThatIsNotUtf8DoesNotCostTheResult) {
  serving::RunResult run = RunOf();
  run.summary.labels.model = "bad\xff";
  EXPECT_EQ(Json::parse(SummaryJson(run))["model"], "bad\xEF\xBF\xBD");
}

TEST(SummaryJsonDeathTest, NotANumberIsNeverWritten) {
  serving::RunResult run = RunOf();
  run.summary.batch_mean = std::numeric_limits<double>::quiet_NaN();
  EXPECT_DEATH(SummaryJson(run), "not a number");
}

}  // namespace
}  // namespace sparseserve::report
