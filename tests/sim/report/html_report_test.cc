#include "sim/report/html_report.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "sim/core/error.h"
#include "sim/report/html_assets.h"
#include "sim/report/html_conclusion.h"
#include "sim/report/html_run.h"
#include "tests/temporary_directory.h"

namespace sparseserve::report {
namespace {

using nlohmann::json;
using test::TemporaryDirectory;
using test::WriteFile;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::ThrowsMessage;
using enum Metric;

json SummaryOf(const std::string& system) {
  json summary = {{"schema", "sparseserve-summary/1"},
                  {"system", system},
                  {"model", "m"},
                  {"hardware", "h"},
                  {"seed", 1},
                  {"saturated", false},
                  {"extrapolated", false},
                  {"completed", 2},
                  {"failed", 0},
                  {"duration", 2.0},
                  {"total_input_tokens", 20},
                  {"total_output_tokens", 4},
                  {"request_throughput", 1.0},
                  {"output_throughput", 2.0},
                  {"iterations", 2},
                  {"replicas", 1}};
  for (const char* latency : {"ttft", "tpot", "itl", "e2el"})
    for (const char* what : {"mean", "median", "std", "p99"})
      summary[std::string(what) + "_" + latency + "_ms"] = 5.0;
  summary["kv"] = {{"block_loads", 1}, {"h2d_bytes", 100}, {"d2h_bytes", 50}, {"hit_rate", 0.75}};
  summary["lane_busy"] = {{"h2d_s", 0.5}, {"d2h_s", 0.25}};
  summary["perf"] = {{"block_touches", 4}};
  summary["time_share"] = {{"compute", 0.5},    {"attention", 0.25}, {"load_stall", 0.25},
                           {"save_stall", 0.0}, {"host", 0.0},       {"idle", 0.0}};
  return summary;
}

void WriteRun(const std::string& directory, const json& summary) {
  std::filesystem::create_directories(directory);
  WriteFile(directory + "/summary.json", summary.dump());
  WriteFile(directory + "/config.resolved.yaml", "name: </script><script>alert(1)</script>\n");
  WriteFile(directory + "/requests.csv", "id,ttft_ms,tpot_ms,e2el_ms\n0,10,1.5,20\n1,30,,30\n");
  WriteFile(directory + "/iterations.csv",
            "begin_s,end_s,num_decodes,num_prefills,num_waiting,compute_s,attention_s,load_stall_s,"
            "save_stall_s,host_s,block_loads,block_touches,h2d_bytes,d2h_bytes,hbm_used_bytes,"
            "dram_used_bytes,h2d_busy_s\n"
            "0,1,1,1,3,0.5,0.25,0.25,0,0,1,4,100,50,1000000000,2000000000,0.5\n"
            "1,2,1,0,1,0.5,0.25,0.25,0,0,0,0,0,0,1000000000,2000000000,0\n");
}

std::string Page(const std::vector<std::string>& directories, const std::string& title = "") {
  return HtmlReport(directories, title);
}

json DataOf(const std::string& page) {
  const std::string open = R"(<script type="application/json" id="data">)";
  const std::size_t begin = page.find(open) + open.size();
  return json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

TEST(HtmlReportTest, HostileTextsStayTexts) {
  const TemporaryDirectory directory;
  WriteRun(directory / "plain", SummaryOf("plain"));
  const std::string evil = "</script><script>alert(1)</script><!--\"'&\xe2\x80\xa8{{DATA}}";
  json summary = SummaryOf(evil);
  summary["model"] = "<img src=x onerror=alert(1)>";
  summary["saturated"] = true;
  WriteRun(directory / "evil", summary);
  const std::string plain = Page({directory / "plain"});
  const std::string page = Page({directory / "evil"}, "<b onclick='x'>\"&");
  for (const char* part : {"<script", "</script", "<!--", "<img", "onerror=alert(1)>", "<b "})
    EXPECT_EQ(Count(page, part), Count(plain, part)) << part;
  EXPECT_THAT(page, HasSubstr("<title>&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;</title>"));
  EXPECT_THAT(page, HasSubstr("&lt;/script&gt;&lt;script&gt;alert(1)"));  // in the warning
  const json run = DataOf(page)["runs"][0];
  EXPECT_EQ(run["name"], evil);
  EXPECT_THAT(run["config"].get<std::string>(), HasSubstr("</script>"));
}

TEST(HtmlReportTest, ThePageAsksForNothing) {
  const TemporaryDirectory directory;
  WriteRun(directory / "a", SummaryOf("a"));
  const std::string page = Page({directory / "a"});
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* part : {" src=", "<link", "@import", "url(", "sourceMappingURL"})
    EXPECT_EQ(Count(page, part), 0u) << part;
  EXPECT_THAT(page, HasSubstr("Dygraph"));
}

TEST(HtmlReportTest, SeriesAreMeansOverTimeAndReplicas) {
  const TemporaryDirectory directory;
  json summary = SummaryOf("a");
  summary["replicas"] = 2;
  WriteRun(directory / "a", summary);
  const json series = DataOf(Page({directory / "a"}))["runs"][0]["series"];
  const auto mean = [&](const char* name) {
    const auto values = series[name]["mean"].get<std::vector<double>>();
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  };
  // 2 s in equal buckets; one replica of two was idle throughout.
  EXPECT_NEAR(mean("batch"), (2 + 1) / 2.0 / 2, 0.01);
  EXPECT_NEAR(mean("queue"), (3 + 1) / 2.0 / 2, 0.01);
  EXPECT_NEAR(mean("hbm"), 0.5, 0.01);
  EXPECT_NEAR(mean("h2d_busy"), 100 * 0.5 / 2 / 2, 0.1);
  EXPECT_NEAR(mean("compute"), 25, 0.1);
  EXPECT_NEAR(mean("iteration"), 50, 0.1);
  EXPECT_EQ(series["hit"]["mean"].front(), 75);
  EXPECT_TRUE(series["hit"]["mean"].back().is_null());
}

TEST(HtmlReportTest, ALiveRunComparesItsPredictions) {
  const TemporaryDirectory directory;
  json predicted = SummaryOf("a");
  predicted["mean_ttft_ms"] = 6.0;
  WriteRun(directory / "out/a/measured", SummaryOf("a"));
  WriteRun(directory / "out/a/predicted", predicted);
  const std::string page = Page({directory / "out"});
  const json data = DataOf(page);
  ASSERT_EQ(data["comparisons"].size(), 1u);
  EXPECT_EQ(data["runs"][data["comparisons"][0]["b"].get<int>()]["role"], "predicted");
  for (const json& row : data["comparisons"][0]["rows"]) {
    EXPECT_NEAR(row["error"].get<double>(), row["metric"] == "mean_ttft_ms" ? 20 : 0, 1e-9) << row;
    EXPECT_EQ(row["exceeded"].get<bool>(), row["metric"] == "mean_ttft_ms") << row;
  }
  EXPECT_THAT(page, HasSubstr("a, measured against predicted: beyond the tolerance of 10 %"));
}

TEST(HtmlReportTest, RunsOfOneNameAreToldApartByTheirPaths) {
  const TemporaryDirectory directory;
  WriteRun(directory / "x/a", SummaryOf("a"));
  WriteRun(directory / "y/a", SummaryOf("a"));
  const json runs = DataOf(Page({directory / "x", directory / "y"}))["runs"];
  EXPECT_EQ(runs[0]["label"], directory / "x/a");
  EXPECT_EQ(runs[1]["label"], directory / "y/a");
}

TEST(HtmlReportTest, ABreakdownIsShownInTheOrderOfItsParts) {
  const TemporaryDirectory directory;
  json summary = SummaryOf("a");
  summary["ttft_breakdown_ms"] = {{"host", 2.0}, {"queue", 3.0}, {"new part", 1.0}};
  WriteRun(directory / "a", summary);
  const json breakdown = DataOf(Page({directory / "a"}))["runs"][0]["breakdown"];
  EXPECT_EQ(breakdown["ttft"],
            json::parse(R"([{"part":"queue","ms":3.0},{"part":"host","ms":2.0}])"));
  EXPECT_THAT(breakdown["itl"], IsEmpty());
}

TEST(HtmlReportTest, RequestsOfTheWarmUpAreInNoDistribution) {
  const TemporaryDirectory directory;
  json summary = SummaryOf("a");
  summary["warmup_requests"] = 1;
  WriteRun(directory / "a", summary);
  const json cdf = DataOf(Page({directory / "a"}))["runs"][0]["cdf"];
  EXPECT_EQ(cdf["ttft"]["value"], json({30}));
  EXPECT_THAT(cdf["tpot"]["value"], IsEmpty());
}

TEST(HtmlReportTest, WhatIsNoRunIsRefused) {
  const TemporaryDirectory directory;
  const auto refusal = [&](const std::string& path, const std::string& text) {
    EXPECT_THAT([&] { Page({directory / path}); }, ThrowsMessage<InputError>(HasSubstr(text)));
  };
  refusal("none", "none: no such directory");
  std::filesystem::create_directories(directory / "empty");
  refusal("empty", "empty: holds no run");
  WriteRun(directory / "torn", SummaryOf("a"));
  WriteFile(directory / "torn/requests.csv", "ttft_ms,tpot_ms,e2el_ms\n1,2,x\n");
  refusal("torn", "requests.csv:2: e2el_ms: 'x' is out of range or no number");
  WriteFile(directory / "torn/requests.csv", "ttft_ms,tpot_ms\n");
  refusal("torn", "e2el_ms");
  for (std::size_t i = 0; i <= kMaxReportRuns; ++i)
    WriteRun(directory / ("many/" + std::to_string(i)), SummaryOf("a"));
  refusal("many", "33 runs do not fit one report; expected at most 32");
}

TEST(ThinnedCdfTest, FewValuesAreAllKept) {
  std::vector<float> values = {3, 1, 2};
  const Cdf cdf = ThinnedCdf(values);
  ASSERT_EQ(cdf.size(), 3u);
  EXPECT_EQ(cdf[0].value, 1);
  EXPECT_NEAR(cdf[0].share, 100 / 3.0, 1e-9);
  EXPECT_EQ(cdf[2].share, 100);
  std::vector<float> none;
  EXPECT_THAT(ThinnedCdf(none), IsEmpty());
}

TEST(ThinnedCdfTest, PointsAreOrderStatisticsAndDenseInTheTail) {
  for (const std::size_t count : {501u, 12'031u, 1'000'000u}) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = static_cast<float>((i * 7919) % count + 1);  // each of 1..count once
    const Cdf cdf = ThinnedCdf(values);
    EXPECT_LE(cdf.size(), 500u);
    EXPECT_EQ(cdf.front().value, 1);
    EXPECT_EQ(cdf.back().value, static_cast<float>(count));
    const auto size = static_cast<double>(count);
    for (const CdfPoint& point : cdf) EXPECT_NEAR(point.share, 100 * point.value / size, 1e-5);
    for (std::size_t i = 1; i < cdf.size(); ++i) {
      const double widest = cdf[i].share > 99.1 ? 100 / size + 0.011 : 100 / size + 0.26;
      EXPECT_LE(cdf[i].share - cdf[i - 1].share, widest) << count << " " << cdf[i].share;
      EXPECT_GT(cdf[i].value, cdf[i - 1].value);
    }
  }
}

ReportRun RunWith(const std::string& name, double throughput, double ttft_ms) {
  ReportRun run;
  run.name = name;
  run.figures[kOutputThroughput] = throughput;
  run.figures[kMeanTtft] = ttft_ms;
  return run;
}

TEST(ConclusionsTest, TheBestIsNamedWithItsDistanceAndItsEquals) {
  const std::vector runs = {RunWith("a", 100, 3000), RunWith("b", 199, 1500),
                            RunWith("c", 200, 500)};
  EXPECT_THAT(Conclusions(runs),
              ElementsAre("Highest output throughput: c, 200 tok/s, 2.00 times that of a (100 "
                          "tok/s); within 1 % of it: b.",
                          "Lowest TTFT mean: c, 500 ms, 6.00 times lower than a (3.00 s)."));
}

TEST(ConclusionsTest, EqualsHaveNoWinner) {
  const std::vector runs = {RunWith("a", 100, 10), RunWith("b", 100.8, 10)};
  EXPECT_THAT(Conclusions(runs), ElementsAre("output throughput: all within 1 % of 101 tok/s.",
                                             "TTFT mean: all within 1 % of 10.0 ms."));
}

TEST(ConclusionsTest, OneRunSaysWhatItServesAndWhereItsTimeGoes) {
  ReportRun run = RunWith("a", 100, 10);
  run.figures.model = "m";
  run.figures.hardware = "h";
  run.figures[kComputeShare] = 30;
  run.figures[kLoadStallShare] = 60;
  const std::vector runs = {run};
  const auto sentences = Conclusions(runs);
  ASSERT_EQ(sentences.size(), 2u);
  EXPECT_THAT(sentences[0], AllOf(HasSubstr("a serves m on h with 100 tok/s of output"),
                                  HasSubstr("TTFT 10.0 ms on average (unknown at P99)")));
  EXPECT_EQ(sentences[1], "For 60.0 % of the time compute waits for KV blocks from DRAM.");
}

TEST(WarningsTest, FlagsFailuresAndDifferencesAreTold) {
  std::vector runs = {RunWith("a", 1, 1), RunWith("b", 1, 1), RunWith("c", 1, 1)};
  EXPECT_THAT(Warnings(runs), IsEmpty());
  runs[0].saturated = runs[2].saturated = true;
  runs[1].extrapolated = true;
  runs[1].failed = 3;
  runs[1].figures.num_requests = 7;
  runs[2].figures.seed = "2";
  EXPECT_THAT(Warnings(runs),
              AllOf(Contains(HasSubstr("a and c: saturated.")),
                    Contains(HasSubstr("b: extrapolated.")), Contains("b: 3 of 7 requests failed."),
                    Contains(HasSubstr("The runs differ in seed (, 2)"))));
}

}  // namespace
}  // namespace sparseserve::report
