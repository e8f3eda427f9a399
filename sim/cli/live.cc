#include <filesystem>
#include <iostream>

#include "sim/cli/command.h"
#include "sim/cli/run_files.h"
#include "sim/core/error.h"
#include "sim/live/live_run.h"
#include "sim/report/comparison.h"
#include "sim/report/comparison_text.h"
#include "sim/report/progress.h"
#include "sim/report/run_reader.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve live EXPERIMENT.yaml --backend cpu|cuda [options]\n\n"
    "Serves the requests of the experiment for real: the scheduler and the KV cache that are\n"
    "simulated drive real kernels on a model with random weights, and the times are measured. "
    "Then\n"
    "simulates the same and compares. Each system leaves in DIR/SYSTEM/\n"
    "  measured/    the live run; selection.trace holds which blocks it selected\n"
    "  replayed/    the simulation with these selections: the same accesses, so loads must be "
    "equal\n"
    "  predicted/   the simulation with a locality model fitted to them (or, when all KV stays in\n"
    "               HBM, without any)\n"
    "with the files of simulate in each, and comparison.md. Calibrate first, with the same model "
    "and\n"
    "threads: sparseserve calibrate --help.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve live configs/live/small.yaml --backend cpu\n"
    "  sparseserve live configs/live/small.yaml --set 'systems=[sparseserve]' --fast --out "
    "out/live\n";

struct LiveOptions {
  std::string out;
  RunFiles files;
  live::LiveConfig live;
};

serving::RunResult Measure(const config::Experiment& experiment, std::size_t index,
                           const serving::WorkloadBounds& bounds, const LiveOptions& options,
                           const std::string& directory, report::Progress& progress) {
  const serving::SystemConfig& system = experiment.systems[index];
  RunFiles files = options.files;
  files.directory = directory + "/measured";
  serving::RunOptions run;
  run.progress = progress.OfRun();
  if (system.choice.kv_home == serving::KvHome::kDram)
    run.record_selection = files.directory + "/selection.trace";
  std::filesystem::create_directories(files.directory);
  return RunAndWrite(experiment, index, files, run,
                     [&](traces::RequestStream& requests, metrics::Collector& collector,
                         const serving::RunOptions& with_sinks) {
                       return live::RunLive(system, options.live, requests, bounds, experiment.slo,
                                            collector, with_sinks)
                           .run;
                     });
}

serving::RunResult Predict(const config::Experiment& experiment, std::size_t index,
                           const serving::SystemConfig& system, RunFiles files,
                           const std::string& directory) {
  files.directory = directory;
  return RunAndWrite(experiment, index, files, {},
                     [&](traces::RequestStream& requests, metrics::Collector& collector,
                         const serving::RunOptions& with_sinks) {
                       return serving::RunSimulation(system, requests, experiment.slo, collector,
                                                     with_sinks);
                     });
}

// The realised overlap of a replayed recording as the locality to ask for.
void FitLocality(const serving::RunResult& replayed, serving::SystemConfig& system) {
  if (replayed.overlap.empty()) return;
  system.locality.overlap.clear();
  double most = 0;
  for (const auto& point : replayed.overlap) {
    most = std::max(most, point.realised);
    system.locality.overlap.push_back({point.window, std::min(most, 1.0)});
  }
}

void RunOne(const config::Experiment& experiment, std::size_t index,
            const serving::WorkloadBounds& bounds, const LiveOptions& options,
            report::Progress& progress) {
  serving::SystemConfig system = experiment.systems[index];
  const std::string directory = options.out + "/" + system.choice.name;
  Measure(experiment, index, bounds, options, directory, progress);
  const report::RunFigures measured = report::ReadRunFigures(directory + "/measured");
  std::cout << "\n## " << system.choice.name << "\n";
  const auto compare = [&](const std::string& name) {
    const report::Comparison comparison =
        report::Compare(measured, report::ReadRunFigures(directory + "/" + name));
    std::cout << "\nmeasured (A) and " << name << " (B)\n\n" << report::ComparisonText(comparison);
  };
  if (system.choice.kv_home == serving::KvHome::kDram) {
    system.selection_trace = directory + "/measured/selection.trace";
    const serving::RunResult replayed =
        Predict(experiment, index, system, options.files, directory + "/replayed");
    compare("replayed");
    system.selection_trace.clear();
    FitLocality(replayed, system);
  }
  Predict(experiment, index, system, options.files, directory + "/predicted");
  compare("predicted");
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("backend", Text("NAME", "cpu"), "cpu or cuda")(
      "set", Texts("KEY=VALUE"), "replace a value of the file (repeatable)")(
      "out", Text("DIR"), "directory for results (default: out/NAME of the experiment)")(
      "seed", Text("N"), "of all random streams, the weights among them")(
      "fast", "do not wait for arrivals while nothing runs")("compute-threads", Text("N", "1"),
                                                             "cpu: threads that compute")(
      "transfer-threads", Text("N", "1"), "cpu: threads of each copy lane")(
      "scatter-threads", Text("N", "1"), "threads that scatter saved fragments")(
      "timeline", "also write timeline.json (Chrome trace events)")(
      "timeline-window", Text("BEGIN:END", "0s:30s"), "part of the run that the timeline shows");
  return options;
}

LiveOptions ReadOptions(const po::variables_map& values) {
  LiveOptions options;
  options.out = values["out"].as<std::string>();
  options.files.timeline = values.count("timeline") != 0;
  ParseWindow(values["timeline-window"].as<std::string>(), options.files);
  options.live.backend = values["backend"].as<std::string>();
  options.live.real_time = values.count("fast") == 0;
  const auto threads = [&](const char* name) {
    return static_cast<int>(ParseInteger(values[name].as<std::string>(), name, 1, 1024));
  };
  options.live.device.compute_threads = threads("compute-threads");
  options.live.device.transfer_threads = threads("transfer-threads");
  options.live.device.scatter_threads = threads("scatter-threads");
  return options;
}

}  // namespace

int Live(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("experiment", Text(""));
  const po::variables_map values = Parse(arguments, all, {"experiment"}, "live");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples;
    return kDone;
  }
  const config::Experiment experiment =
      LoadExperimentFile(values, "live", "try configs/live/small.yaml");
  LiveOptions run = ReadOptions(values);
  if (run.out.empty()) run.out = "out/" + experiment.name;
  try {
    const serving::WorkloadBounds bounds =
        serving::ScanWorkload(*traces::OpenWorkload(experiment.workload));
    for (const serving::SystemConfig& system : experiment.systems)
      serving::CheckFeasible(system, bounds);
    report::Progress progress(bounds.num_requests *
                              static_cast<std::int64_t>(experiment.systems.size()));
    for (std::size_t i = 0; i < experiment.systems.size(); ++i)
      RunOne(experiment, i, bounds, run, progress);
  } catch (const InputError& error) {
    throw config::Locate(error, experiment.source);
  } catch (const kernels::BackendUnavailable& error) {
    throw InputError({.where = {},
                      .key = "--backend",
                      .what = error.what(),
                      .expected = "",
                      .hint = "--backend cpu runs everywhere"});
  }
  std::cerr << "results in " << run.out << "\n";
  return kDone;
}

}  // namespace sparseserve::cli
