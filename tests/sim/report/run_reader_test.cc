#include "sim/report/run_reader.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <set>
#include <sstream>
#include <vector>

#include "sim/core/error.h"
#include "sim/report/iterations_csv.h"
#include "sim/report/run_directory.h"
#include "sim/report/summary_json.h"
#include "tests/sim/report/test_runs.h"

namespace sparseserve::report {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using enum Metric;

// The three requests of test_runs.h, as a run leaves them.
void WriteRun(const std::string& path) {
  RunDirectory directory(path);
  IterationsCsv csv(directory.Stage(kIterationsFile));
  metrics::IterationRecord first;
  first.begin = Ms(0);
  first.end = Ms(100);
  first.num_prefills = 1;
  first.compute = Seconds(0.06);
  first.attention = Seconds(0.04);
  csv.OnIteration(first);
  metrics::IterationRecord second;
  second.index = 1;
  second.begin = Ms(100);
  second.end = Ms(250);
  second.num_decodes = 3;
  second.compute = Seconds(0.07);
  second.attention = Seconds(0.045);
  second.load_stall = Seconds(0.025);
  second.host = Seconds(0.0075);
  csv.OnIteration(second);
  serving::RunResult run;
  run.summary = SummaryOfThreeRequests();
  directory.Stage(kSummaryFile, SummaryJson(run));
  directory.Commit();
}

std::string ErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(RunReaderTest, ADirectoryGivesWhatTheRunWrote) {
  const TemporaryDirectory folder;
  WriteRun(folder / "run");
  const RunFigures figures = ReadRunFigures(folder / "run");
  EXPECT_EQ(figures.kind, "run");
  EXPECT_EQ(figures.source, folder / "run");
  EXPECT_EQ(figures.system, "sparseserve");
  EXPECT_EQ(figures.model, "lwm-7b");
  EXPECT_EQ(figures.hardware, "a100");
  EXPECT_EQ(figures.seed, "7");
  EXPECT_EQ(figures.num_requests, 3);
  EXPECT_THAT(figures[kCompleted], Optional(3.0));
  EXPECT_THAT(figures[kDuration], Optional(0.5));
  EXPECT_THAT(figures[kMeanTtft], Optional(250.0));
  EXPECT_THAT(figures[kP99Ttft], Optional(DoubleNear(397, 1e-3)));
  EXPECT_THAT(figures[kMeanTpot], Optional(87.5));
  EXPECT_THAT(figures[kMeanItl], Optional(DoubleNear(250.0 / 3, 1e-9)));
  EXPECT_THAT(figures[kIterations], Optional(2.0));
  EXPECT_THAT(figures[kMedianIteration], Optional(DoubleNear(125, 1e-6)));
  EXPECT_THAT(figures[kP95Iteration], Optional(DoubleNear(147.5, 1e-4)));
  EXPECT_THAT(figures[kDecodeIterations], Optional(1.0));
  EXPECT_THAT(figures[kMedianDecodeIteration], Optional(DoubleNear(150, 1e-6)));
  EXPECT_THAT(figures[kMeanDecodes], Optional(1.5));
  EXPECT_THAT(figures[kMeanPrefills], Optional(0.5));
  EXPECT_THAT(figures[kMeanCompute], Optional(DoubleNear(65, 1e-9)));
  EXPECT_THAT(figures[kMeanLoadStall], Optional(DoubleNear(12.5, 1e-9)));
  EXPECT_THAT(figures[kComputeShare], Optional(DoubleNear(26, 1e-9)));
  EXPECT_THAT(figures[kIdleShare], Optional(DoubleNear(50, 1e-9)));
  EXPECT_THAT(figures[kHitRate], Optional(DoubleNear(75, 1e-9)));
  EXPECT_THAT(figures[kBlockLoads], Optional(10.0));
  EXPECT_THAT(figures[kH2dBytes], Optional(163840.0));
  EXPECT_THAT(figures[kLoadBandwidth], Optional(DoubleNear(163840 / 0.03 / 1e9, 1e-12)));
  ASSERT_TRUE(figures.busy);
  EXPECT_EQ(figures.busy->duration_s, 0.5);
  EXPECT_EQ(figures.busy->num_iterations, 2);
  EXPECT_THAT(figures.busy->parts_s,
              ElementsAre(DoubleNear(0.13, 1e-12), DoubleNear(0.085, 1e-12),
                          DoubleNear(0.025, 1e-12), DoubleNear(0, 1e-12), DoubleNear(0.0075, 1e-12),
                          // 150 ms of the second iteration are 147.5 ms of parts
                          DoubleNear(0.0025, 1e-12)));
  EXPECT_NEAR(figures.busy->total_s(), 0.25, 1e-12);
}

TEST(RunReaderTest, ASummaryAloneKnowsNoDurationsOfIterations) {
  const TemporaryDirectory folder;
  WriteRun(folder / "run");
  const RunFigures figures = ReadRunFigures(folder / "run/summary.json");
  EXPECT_THAT(figures[kMeanTtft], Optional(250.0));
  EXPECT_THAT(figures[kIterations], Optional(2.0));
  EXPECT_FALSE(figures[kMedianIteration]);
  EXPECT_FALSE(figures.busy);
}

TEST(RunReaderTest, ADirectoryThatIsTornIsRefused) {
  const TemporaryDirectory folder;
  const std::string run = folder / "run";
  const std::string file = run + "/iterations.csv";
  const auto error_with = [&](const std::string& text) {
    WriteFile(file, text);
    return ErrorOf([&] { ReadRunFigures(run); });
  };
  WriteRun(run);
  const std::string whole = ReadFile(file);
  EXPECT_EQ(error_with(whole), "no error");
  const std::size_t row = whole.find('\n') + 1;
  const std::string header = whole.substr(0, row);
  const std::string first = whole.substr(row, whole.find('\n', row) + 1 - row);
  EXPECT_THAT(error_with(header + first), HasSubstr(file + ": holds 1 rows; expected the 2 iter"));
  EXPECT_THAT(error_with(whole + first), HasSubstr("holds more rows; expected the 2 iterations"));
  EXPECT_THAT(error_with(whole.substr(0, whole.size() - 30)),
              HasSubstr(file + ":3: "));  // cut off within the last row
  EXPECT_THAT(error_with(""), HasSubstr("the file is empty"));
  EXPECT_THAT(error_with("a,b\n1,2\n3,4\n"), HasSubstr(file + ":1: begin_s: column is missing"));
  const auto error_in_row = [&](const std::string& bad) {
    std::string text = header + first + bad;
    return error_with(text);
  };
  const std::string rest = ",0,0,0,0,0,0,0,0,0,0\n";
  EXPECT_THAT(error_in_row("1,0,x,0.25,1,0,0,0,0,0,0,0,0" + rest),
              HasSubstr(file + ":3: begin_s: 'x' is out of range or no number; expected seconds"));
  EXPECT_THAT(error_in_row("1,0,0.1,nan,1,0,0,0,0,0,0,0,0" + rest), HasSubstr("end_s: 'nan'"));
  EXPECT_THAT(error_in_row("1,0,0.5,0.25,1,0,0,0,0,0,0,0,0" + rest),
              HasSubstr("end_s: before begin_s"));
  EXPECT_THAT(error_in_row("1,0,0.1,0.25,-1,0,0,0,0,0,0,0,0" + rest),
              HasSubstr("num_decodes: '-1' is out of range"));
  EXPECT_THAT(error_in_row("1,0,0.1,0.25,1,0,0,0,0,9223372036.8,0,0,0" + rest),
              HasSubstr("the times add up to more than 292 years"));
  std::filesystem::remove(file);
  EXPECT_THAT(ErrorOf([&] { ReadRunFigures(run); }), HasSubstr(file + ": no such file"));
}

TEST(RunReaderTest, AFolderOfRunsNamesOne) {
  const TemporaryDirectory folder;
  WriteRun(folder / "vllm");
  EXPECT_EQ(ErrorOf([&] { ReadRunFigures(folder.path()); }),
            folder.path() +
                ": holds no summary.json; expected the directory of a run; did you "
                "mean '" +
                (folder / "vllm") + "'?");
}

constexpr const char* kVllm =
    R"({"model_id": "org/m", "num_prompts": 5, "request_rate": "inf", "request_goodput": null,
        "duration": 2, "completed": 4, "failed": 0, "total_input_tokens": 400,
        "total_output_tokens": 40, "request_throughput": 2, "output_throughput": 20,
        "mean_ttft_ms": 200, "p99.9_ttft_ms": 9, "mean_tpot_ms": 50, "latencies": [1, 2, 3, 4]})";

TEST(RunReaderTest, VllmGivesWhatItWroteAndNothingElse) {
  const TemporaryDirectory folder;
  WriteFile(folder / "v.json", kVllm);
  const RunFigures figures = ReadRunFigures(folder / "v.json");
  EXPECT_EQ(figures.kind, "vLLM benchmark");
  EXPECT_EQ(figures.model, "org/m");
  EXPECT_EQ(figures.num_requests, 5);
  EXPECT_THAT(figures[kMeanTtft], Optional(200.0));
  EXPECT_THAT(figures[kMeanTpot], Optional(50.0));
  EXPECT_THAT(figures[kMeanE2el], Optional(2500.0)) << "from latencies";
  for (const Metric metric : {kMedianTtft, kP99Ttft, kMeanItl, kIterations, kMedianIteration,
                              kHitRate, kBlockLoads, kIdleShare})
    EXPECT_FALSE(figures[metric]) << InfoOf(metric).name;
  EXPECT_FALSE(figures.busy);
}

TEST(RunReaderTest, LatenciesOfNothingAreNotZero) {
  const TemporaryDirectory folder;
  WriteFile(folder / "none.json",
            R"({"completed": 0, "output_throughput": 0, "mean_ttft_ms": 0, "mean_tpot_ms": 0})");
  EXPECT_FALSE(ReadRunFigures(folder / "none.json")[kMeanTtft]);
  WriteFile(folder / "one.json", R"({"completed": 4, "output_throughput": 9, "mean_ttft_ms": 5,
                                     "total_output_tokens": 4, "mean_tpot_ms": 0})");
  const RunFigures single_tokens = ReadRunFigures(folder / "one.json");
  EXPECT_THAT(single_tokens[kMeanTtft], Optional(5.0));
  EXPECT_FALSE(single_tokens[kMeanTpot]);
}

TEST(RunReaderTest, OfAppendedResultsTheLastIsRead) {
  const TemporaryDirectory folder;
  WriteFile(folder / "v.jsonl",
            "{\"completed\": 1, \"output_throughput\": 1}\n"
            "{\"completed\": 2, \"output_throughput\": 2}\n");
  const RunFigures figures = ReadRunFigures(folder / "v.jsonl");
  EXPECT_THAT(figures[kCompleted], Optional(2.0));
  EXPECT_THAT(figures.remarks, ElementsAre("holds 2 results; the last one is read"));
}

TEST(RunReaderTest, AiperfIsMappedByFormulaAndUnit) {
  const TemporaryDirectory folder;
  const std::string metrics =
      R"("request_count": {"unit": "requests", "avg": 4},
         "error_request_count": {"unit": "requests", "avg": 1},
         "benchmark_duration": {"unit": "ms", "avg": 2000},
         "output_token_throughput": {"unit": "tokens/sec", "avg": 20},
         "time_to_first_token": {"unit": "sec", "avg": 0.2, "p50": 0.125, "p99": 0.5},
         "inter_token_latency": {"unit": "us", "avg": 50000},
         "inter_chunk_latency": {"unit": "ms", "avg": 51, "p99": 90})";
  const std::string config =
      R"("input_config": {"endpoint": {"model_names": ["org/m"]}, "input": {"random_seed": 3}})";
  WriteFile(folder / "flat.json", "{" + config + "," + metrics + "}");
  WriteFile(folder / "nested.json", "{" + config + ", \"records\": {" + metrics + "}}");
  for (const std::string name : {"flat.json", "nested.json"}) {
    const RunFigures figures = ReadRunFigures(folder / name);
    EXPECT_EQ(figures.kind, "AIPerf profile");
    EXPECT_EQ(figures.model, "org/m");
    EXPECT_EQ(figures.seed, "3");
    EXPECT_EQ(figures.num_requests, 5);
    EXPECT_THAT(figures[kDuration], Optional(DoubleNear(2, 1e-12)));
    EXPECT_THAT(figures[kMeanTtft], Optional(DoubleNear(200, 1e-9)));
    EXPECT_THAT(figures[kMedianTtft], Optional(DoubleNear(125, 1e-9)));
    EXPECT_THAT(figures[kMeanTpot], Optional(DoubleNear(50, 1e-9)));
    EXPECT_THAT(figures[kMeanItl], Optional(DoubleNear(51, 1e-9)));
    EXPECT_FALSE(figures[kMeanE2el]);
  }
}

const std::string kBadFiles = "tests/input/compare/";

std::vector<std::pair<std::string, std::string>> BadFiles() {
  std::istringstream table(ReadFile(kBadFiles + "expected.tsv"));
  std::vector<std::pair<std::string, std::string>> files;
  for (std::string line; std::getline(table, line);) {
    if (line.front() == '#') continue;
    const std::size_t tab = line.find('\t');
    files.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  return files;
}

TEST(BadResultTest, EachFileNamesItsFault) {
  for (const auto& [name, expected] : BadFiles()) {
    const std::string error = ErrorOf([&, name = name] { ReadRunFigures(kBadFiles + name); });
    EXPECT_THAT(error, HasSubstr(kBadFiles + name)) << name;
    EXPECT_THAT(error, HasSubstr(expected)) << name;
    EXPECT_EQ(error.find('\n'), error.npos) << "one line: " << error;
  }
}

TEST(BadResultTest, TheTableCoversTheFolder) {
  std::set<std::string> listed;
  for (const auto& file : BadFiles()) listed.insert(file.first);
  std::set<std::string> found = {"missing.json"};  // listed, and not there
  for (const auto& entry : std::filesystem::directory_iterator(kBadFiles)) {
    if (entry.path().filename() != "expected.tsv") found.insert(entry.path().filename());
  }
  EXPECT_EQ(listed, found);
  EXPECT_GE(found.size(), 30U);
}

TEST(BadResultTest, EveryPrefixOfAResultIsAnErrorAndNoCrash) {
  const TemporaryDirectory folder;
  const std::string whole = kVllm;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    WriteFile(folder / "v.json", whole.substr(0, size));
    EXPECT_NE(ErrorOf([&] { ReadRunFigures(folder / "v.json"); }), "no error") << size;
  }
}

}  // namespace
}  // namespace sparseserve::report
