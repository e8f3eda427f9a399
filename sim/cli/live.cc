#include <filesystem>
#include <iostream>

#include "sim/cli/command.h"
#include "sim/cli/run_files.h"
#include "sim/core/atomic_file.h"
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
    "  replayed/    the simulation with these selections on the measured clock: the same batches "
    "and\n"
    "               accesses, so loads must be equal, and each part stands beside its prediction\n"
    "  predicted/   the simulation with a locality model fitted to the selections (or, when all "
    "KV\n"
    "               stays in HBM, without any)\n"
    "with the files of simulate in each, and compare.{json,csv,md} in the last two. Calibrate "
    "first,\n"
    "with the same model: sparseserve calibrate --help.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve live configs/live/small.yaml --backend cpu\n"
    "  sparseserve live configs/live/small.yaml --set 'systems=[sparseserve]' --fast --out "
    "out/live\n";

struct LiveOptions {
  std::string out;
  RunFiles files;
  std::string backend;
  bool real_time = true;
};

live::LiveRecord Measure(const config::Experiment& experiment, std::size_t index,
                         const serving::WorkloadBounds& bounds, const LiveOptions& options,
                         kernels::Backend& backend, const std::string& directory,
                         report::Progress& progress) {
  const serving::SystemConfig& system = experiment.systems[index];
  RunFiles files = options.files;
  files.directory = directory + "/measured";
  serving::RunOptions run;
  run.progress = progress.OfRun();
  if (system.choice.kv_home == serving::KvHome::kDram)
    run.record_selection = files.directory + "/selection.trace";
  MakeOutputDirectory(files.directory);
  live::LiveRecord left;
  RunAndWrite(experiment, index, files, run,
              [&](traces::RequestStream& requests, metrics::Collector& collector,
                  const serving::RunOptions& with_sinks) {
                live::LiveResult result =
                    live::RunLive(system, backend, options.real_time, requests, bounds,
                                  experiment.slo, collector, with_sinks);
                left = std::move(result.left);
                return std::move(result.run);
              });
  return left;
}

serving::RunResult Predict(const config::Experiment& experiment, std::size_t index,
                           const serving::SystemConfig& system, RunFiles files,
                           const std::string& directory,
                           const serving::MeasuredRun* imposed = nullptr) {
  files.directory = directory;
  serving::RunOptions run;
  run.imposed = imposed;
  return RunAndWrite(experiment, index, files, run,
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
            kernels::Backend& backend, report::Progress& progress) {
  serving::SystemConfig system = experiment.systems[index];
  const std::string directory = options.out + "/" + system.choice.name;
  const live::LiveRecord left =
      Measure(experiment, index, bounds, options, backend, directory, progress);
  const report::RunFigures measured = report::ReadRunFigures(directory + "/measured");
  std::cout << "\n## " << system.choice.name << "\n";
  const auto compare = [&](const std::string& name) {
    const report::Comparison comparison =
        report::Compare(measured, report::ReadRunFigures(directory + "/" + name));
    std::cout << "\nmeasured (A) and " << name << " (B)\n\n" << report::ComparisonText(comparison);
    report::WriteComparison(directory + "/" + name, comparison);
  };
  if (system.choice.kv_home == serving::KvHome::kDram) {
    system.selection_trace = directory + "/measured/selection.trace";
    const serving::RunResult replayed =
        Predict(experiment, index, system, options.files, directory + "/replayed", &left.timing);
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
      "fast", "do not wait for arrivals while nothing runs")(
      "timeline", "also write timeline.json (Chrome trace events)")(
      "timeline-window", Text("BEGIN:END", "0s:30s"), "part of the run that the timeline shows");
  return options;
}

LiveOptions ReadOptions(const po::variables_map& values) {
  LiveOptions options;
  options.out = values["out"].as<std::string>();
  options.files.timeline = values.count("timeline") != 0;
  ParseWindow(values["timeline-window"].as<std::string>(), options.files);
  options.backend = values["backend"].as<std::string>();
  options.real_time = values.count("fast") == 0;
  return options;
}

// Scales are questions to the simulation.
void RefuseWhatIfs(const serving::SystemConfig& system) {
  const auto refuse = [](double scale, const char* key, const char* what) {
    if (scale != 1) throw InputError({{}, key, what, "1", ""});
  };
  refuse(system.link_scale, "hardware.link_scale", "a live run has the link that there is");
  refuse(system.time_scale, "hardware.time_scale", "a live run takes the time that it takes");
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
  if (experiment.systems.front().fidelity.sampled) {
    throw InputError({.where = config::PlaceOf(experiment.source, "fidelity.mode"),
                      .key = "fidelity.mode",
                      .what = "a live run serves every lane",
                      .expected = "exact",
                      .hint = ""});
  }
  try {
    const serving::WorkloadBounds bounds =
        serving::ScanWorkload(*traces::OpenWorkload(experiment.workload));
    for (const serving::SystemConfig& system : experiment.systems)
      serving::CheckFeasible(system, bounds);
    config::CheckWarmup(experiment, bounds.num_requests);
    RefuseWhatIfs(experiment.systems.front());
    const auto backend = kernels::MakeBackend(run.backend, kernels::DefaultBackendConfig());
    report::Progress progress(bounds.num_requests *
                              static_cast<std::int64_t>(experiment.systems.size()));
    for (std::size_t i = 0; i < experiment.systems.size(); ++i)
      RunOne(experiment, i, bounds, run, *backend, progress);
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
