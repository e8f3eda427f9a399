#include <atomic>
#include <exception>
#include <iostream>
#include <memory>
#include <thread>

#include "sim/cli/command.h"
#include "sim/cli/points.h"
#include "sim/cli/run_files.h"
#include "sim/config/experiment.h"
#include "sim/core/atomic_file.h"
#include "sim/core/error.h"
#include "sim/report/html_report.h"
#include "sim/report/progress.h"
#include "sim/report/run_directory.h"
#include "sim/report/summary_json.h"
#include "sim/report/table.h"
#include "sim/serving/simulation.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve simulate EXPERIMENT.yaml [options]\n\n"
    "Runs every system of the experiment on the same requests and compares them. Each run leaves\n"
    "summary.json, requests.csv, iterations.csv and config.resolved.yaml in DIR/SYSTEM/\n"
    "(sim/report/README.md). The keys of an experiment: configs/README.md. What can be named "
    "there\n"
    "lies in configs/systems, models/llm/configs, models/hardware/configs, "
    "calibration/devices.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve simulate configs/run/longbench.yaml\n"
    "  sparseserve simulate configs/run/mooncake.yaml --set 'systems=[vllm-so, sparseserve]' \\\n"
    "      --set memory.eviction=sieve --set workload.num_requests=500 --out out/sieve\n";

struct SimulateOptions {
  std::string out;
  RunFiles files;  // directory by system
  std::string record_selection;
  std::int64_t threads = 1;
  bool report = false;  // also report.html of all systems
};

// Runs one system and leaves its files in `out`/NAME.
serving::RunResult RunSystem(const config::Experiment& experiment, std::size_t index,
                             const SimulateOptions& options, report::Progress& progress) {
  const serving::SystemConfig& system = experiment.systems[index];
  RunFiles files = options.files;
  files.directory = options.out + "/" + system.choice.name;
  serving::RunOptions run;
  run.progress = progress.OfRun();
  run.record_selection = options.record_selection;
  return RunAndWrite(experiment, index, files, run,
                     [&](traces::RequestStream& requests, metrics::Collector& collector,
                         const serving::RunOptions& with_sinks) {
                       return serving::RunSimulation(system, requests, experiment.slo, collector,
                                                     with_sinks);
                     });
}

// Runs all systems on `threads` threads; each simulation is single-threaded. The first failure by
// order wins.
std::vector<serving::RunResult> RunAll(const config::Experiment& experiment,
                                       const SimulateOptions& options, std::int64_t num_requests) {
  const std::size_t count = experiment.systems.size();
  std::vector<serving::RunResult> results(count);
  std::vector<std::exception_ptr> failures(count);
  report::Progress progress(num_requests * static_cast<std::int64_t>(count));
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        results[i] = RunSystem(experiment, i, options, progress);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    const auto threads = std::min<std::size_t>(count, static_cast<std::size_t>(options.threads));
    for (std::size_t i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return results;
}

SimulateOptions ReadOptions(const po::variables_map& values) {
  SimulateOptions options;
  options.out = values["out"].as<std::string>();
  options.files.timeline = values.count("timeline") != 0;
  ParseWindow(values["timeline-window"].as<std::string>(), options.files);
  options.record_selection = values["record-selection"].as<std::string>();
  options.threads = ReadThreads(values["threads"].as<std::string>());
  options.report = values.count("report") != 0;
  return options;
}

// What other eviction policies would have made of the same accesses.
void PrintReplays(const std::vector<serving::RunResult>& results) {
  for (const serving::RunResult& result : results) {
    if (result.eviction_replays.empty()) continue;
    std::cout << "\nblock loads of " << result.summary.labels.system << ": "
              << result.summary.totals.block_loads << "; the same accesses under";
    const char* separator = " ";
    for (const auto& replay : result.eviction_replays) {
      std::cout << separator << replay.policy << " " << replay.block_loads;
      separator = ", ";
    }
    std::cout << "\n";
  }
}

// The first system that is sampled speaks for all: they share a model.
void PrintFidelity(const std::vector<serving::RunResult>& results) {
  for (const serving::RunResult& result : results) {
    const std::string& fidelity = result.summary.labels.fidelity;
    if (!fidelity.starts_with("sampled")) continue;
    std::cout << "fidelity " << fidelity << " in systems with KV in DRAM\n";
    return;
  }
}

void PrintResults(const config::Experiment& experiment,
                  const std::vector<serving::RunResult>& results, const std::string& json) {
  if (json == "-") {
    std::string text = "[";
    for (const serving::RunResult& result : results) {
      if (text.size() > 1) text += ",";
      text += "\n" + report::SummaryJson(result);
    }
    std::cout << text << "]\n";
    return;
  }
  const serving::SystemConfig& first = experiment.systems.front();
  std::cout << experiment.name << ": " << first.model.name << " on " << first.machine.name << ", "
            << results.front().budget.Explain() << "\n";
  if (first.fidelity.sampled) PrintFidelity(results);
  std::cout << "\n";
  if (results.size() == 1) {
    std::cout << report::ResultBlock(results.front().summary);
    PrintReplays(results);
    return;
  }
  std::vector<metrics::Summary> summaries;
  summaries.reserve(results.size());
  for (const serving::RunResult& result : results) summaries.push_back(result.summary);
  std::cout << report::ComparisonTable(summaries);
  PrintReplays(results);
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("set", Texts("KEY=VALUE"),
                        "replace a value of the file, e.g. workload.rate=0.3/s (repeatable)")(
      "out", Text("DIR"), "directory for results (default: out/NAME of the experiment)")(
      "json", Text("-"), "print the summaries as JSON on standard output, not the table")(
      "seed", Text("N"), "of all random streams, instead of the file's")(
      "threads", Text("N"), "systems simulated at once (default: all cores); changes no result")(
      "timeline", "also write timeline.json (Chrome trace events)")(
      "timeline-window", Text("BEGIN:END", "0s:30s"), "part of the run that the timeline shows")(
      "report", "also write report.html on all systems (sparseserve report)")(
      "record-selection", Text("FILE"),
      "record which blocks are selected (one system); locality.trace replays it");
  return options;
}

// One page on all systems, in their order.
void WriteReport(const config::Experiment& experiment, const std::string& out) {
  std::vector<std::string> directories;
  for (const serving::SystemConfig& system : experiment.systems)
    directories.push_back(out + "/" + system.choice.name);
  AtomicFile file(out + "/" + std::string(report::kHtmlFile));
  file.Append(report::HtmlReport(directories, experiment.name));
  file.Commit();
}

void CheckRecordable(const config::Experiment& experiment) {
  std::string what;
  const serving::SystemChoice& first = experiment.systems.front().choice;
  if (first.kv_home != serving::KvHome::kDram) what = first.name + " keeps all KV in HBM";
  if (experiment.systems.size() != 1) what = "the experiment runs several systems";
  if (experiment.systems.front().fidelity.sampled) what = "fidelity.mode is sampled";
  if (what.empty()) return;
  throw InputError({.where = {},
                    .key = "--record-selection",
                    .what = what,
                    .expected = "one system with its KV in DRAM, exact",
                    .hint = "add --set 'systems=[sparseserve]'"});
}

}  // namespace

int Simulate(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("experiment", Text(""));
  const po::variables_map values = Parse(arguments, all, {"experiment"}, "simulate");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples;
    return kDone;
  }
  const std::string json = values["json"].as<std::string>();
  if (!json.empty() && json != "-") {
    throw InputError({.where = {},
                      .key = "--json",
                      .what = "'" + json + "' is no destination",
                      .expected = "-",
                      .hint = "summary.json is written to the output directory anyway"});
  }
  const config::Experiment experiment =
      LoadExperimentFile(values, "simulate", "try configs/run/longbench.yaml");
  SimulateOptions run = ReadOptions(values);
  if (run.out.empty()) run.out = "out/" + experiment.name;
  if (!run.record_selection.empty()) CheckRecordable(experiment);
  std::vector<serving::RunResult> results;
  try {
    const serving::WorkloadBounds bounds =
        serving::ScanWorkload(*traces::OpenWorkload(experiment.workload));
    config::CheckWarmup(experiment, bounds.num_requests);
    for (const serving::SystemConfig& system : experiment.systems)
      serving::CheckFeasible(system, bounds);
    results = RunAll(experiment, run, bounds.num_requests);
  } catch (const InputError& error) {
    throw config::Locate(error, experiment.source);
  }
  if (run.report) WriteReport(experiment, run.out);
  PrintResults(experiment, results, json);
  std::cerr << "results in " << run.out << "\n";
  return kDone;
}

}  // namespace sparseserve::cli
