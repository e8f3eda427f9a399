#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/cli/command.h"
#include "sim/cli/commit.h"  // written by commit.cmake
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
    "with the files of simulate in each, and compare.{json,csv,md} in the last two. speed.json "
    "says\n"
    "how fast the machine was during the run against the calibration, by a reference operation "
    "that\n"
    "both sampled (kernels/speed_probe.h). The last two are then made once more for that speed, "
    "all\n"
    "operations slower or faster by that one factor: replayed_at_speed/, predicted_at_speed/. "
    "These "
    "show\n"
    "what is wrong beside the machine's drift; the prediction is predicted/.\n\n"
    "The same locality allows for many selections, and small differences between them can decide\n"
    "whether one more request is admitted. So a system that selects is predicted with several\n"
    "draws of the locality model (locality.draw): predicted/ is the first, predicted/draw-1/ ... "
    "the\n"
    "others; their mean is the prediction, their spread what the model leaves open.\n\n"
    "--repeat N serves all systems N times in turn (round-1/SYSTEM ...), so that differences "
    "between\n"
    "systems have an interval; scripts/live_results tells them. Repeated with one seed they meet "
    "the\n"
    "same requests and selections, and the interval is that of the machine's times. With --seeds N "
    "each\n"
    "round has a seed of its own, so the interval covers requests and selections too: what is "
    "needed\n"
    "where the batch hangs on chance, as under working-set control in a full HBM. Each round is\n"
    "predicted with draws of its own. Calibrate first, with the same model: sparseserve calibrate\n"
    "--help.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve live configs/live/small.yaml --backend cpu\n"
    "  sparseserve live configs/live/thrash.yaml --fast --seeds 6 --out out/thrash\n"
    "  sparseserve live configs/live/small.yaml --set 'systems=[sparseserve]' --fast --out "
    "out/live\n";

struct LiveOptions {
  std::string out;
  RunFiles files;
  std::string backend;
  live::LiveConfig live;
  std::int64_t repeat = 1;  // of each seed
  std::int64_t seeds = 1;
  std::int64_t draws = 1;  // of the locality, with which each run is predicted
};

// How fast the machine was during a run against its calibration.
struct Speed {
  double factor = 1;  // of all operation times; 1 where the record has no probe
  std::string text;   // one line
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
                    live::RunLive(system, backend, options.live, requests, bounds, experiment.slo,
                                  collector, with_sinks);
                left = std::move(result.left);
                return std::move(result.run);
              });
  return left;
}

// Writes into the configuration of the run what `system` has beyond the experiment, so that
// `explain` repeats it.
void Resolve(const serving::SystemConfig& system, config::Experiment& experiment) {
  const auto number = [](double value) { return config::Node::Scalar(fmt::format("{}", value)); };
  config::SetValue(experiment.resolved, "hardware.time_scale", number(system.time_scale));
  config::Node points = config::Node::List();
  for (const auto& point : system.locality.overlap) {
    config::Node& entry = points.items.emplace_back(config::Node::Map());
    entry.Set("window", config::Node::Scalar(std::to_string(point.window)));
    entry.Set("overlap", number(point.overlap));
    entry.Set("context", config::Node::Scalar(std::to_string(point.context.value())));
  }
  config::SetValue(experiment.resolved, "locality.overlap", std::move(points));
  config::SetValue(experiment.resolved, "locality.draw",
                   config::Node::Scalar(std::to_string(system.locality.draw)));
}

serving::RunResult Predict(config::Experiment experiment, std::size_t index,
                           const serving::SystemConfig& system, RunFiles files,
                           const std::string& directory,
                           const serving::MeasuredRun* imposed = nullptr) {
  files.directory = directory;
  Resolve(system, experiment);
  serving::RunOptions run;
  run.imposed = imposed;
  return RunAndWrite(experiment, index, files, run,
                     [&](traces::RequestStream& requests, metrics::Collector& collector,
                         const serving::RunOptions& with_sinks) {
                       return serving::RunSimulation(system, requests, experiment.slo, collector,
                                                     with_sinks);
                     });
}

constexpr const char* kProbe = "probe";  // of the record's latencies

std::string Today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{:04}-{:02}-{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

// Who measured what, where and when, and how fast the machine was.
Speed WriteSpeed(const config::Experiment& experiment, const live::LiveRecord& left,
                 const calibration::Record& record, const kernels::Backend& backend,
                 const std::string& directory) {
  const auto& speed = left.speed;
  const auto probe = record.latencies.find(kProbe);
  const kernels::DeviceInfo device = backend.Describe();
  const calibration::Provenance made = record.provenance.value_or(calibration::Provenance{});
  nlohmann::ordered_json json = {{"experiment", experiment.name}, {"date", Today()},
                                 {"commit", SPARSESERVE_COMMIT},  {"backend", backend.name()},
                                 {"device", device.name},         {"driver", device.driver},
                                 {"runtime", device.runtime},     {"record", record.name},
                                 {"record_date", made.date},      {"record_commit", made.commit}};
  const auto add = [&](const char* name, const kernels::SpeedSamples& samples) {
    json[name] = {{"mean_s", samples.mean().value()},
                  {"standard_error", samples.standard_error()},
                  {"samples", samples.times.size()}};
  };
  Speed result;
  if (probe == record.latencies.end()) {
    result.text = "machine: the record " + record.name +
                  " has no latencies.probe, so nothing is "
                  "known about its speed then";
    json["calibration_s"] = nullptr;
    json["factor"] = nullptr;
  } else {
    // A run of a few iterations has no samples between them.
    kernels::SpeedSamples all = speed.between;
    if (all.times.size() < 10) {
      for (const auto* around : {&speed.before, &speed.after})
        all.times.insert(all.times.end(), around->times.begin(), around->times.end());
    }
    result.factor = all.mean().value() / probe->second.value;
    result.text = fmt::format(
        "machine: the reference operation took {:.4g} ms when {} was measured, {:.4g} ms during "
        "the run (x {:.3f}, standard error {:.1f} %, {} samples), {:.4g} ms before, {:.4g} ms "
        "after",
        probe->second.value * 1e3, record.name, all.mean().value() * 1e3, result.factor,
        all.standard_error() * 100, all.times.size(), speed.before.mean().value() * 1e3,
        speed.after.mean().value() * 1e3);
    json["calibration_s"] = probe->second.value;
    json["factor"] = result.factor;
  }
  add("before", speed.before);
  add("during", speed.between);
  add("after", speed.after);
  AtomicFile file(directory + "/speed.json");
  file.Append(json.dump(2) + "\n");
  file.Commit();
  return result;
}

// How far the judged figures of a prediction spread over draws of the locality.
std::string SpreadText(const std::vector<report::Comparison>& draws) {
  std::string text =
      fmt::format("\nover {} draws of the locality (mean, least to most)", draws.size());
  for (const report::MetricInfo& info : report::Metrics()) {
    if (!info.is_key) continue;
    std::vector<double> values;
    for (const report::Comparison& draw : draws) {
      const std::optional<double>& b = draw.metrics[static_cast<std::size_t>(info.metric)].b;
      if (b) values.push_back(*b);
    }
    if (values.size() < draws.size()) continue;
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    const double mean =
        std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    text += fmt::format("\n  {}: {:.4g} ({:.4g} to {:.4g}) {}", info.title, mean, *least, *most,
                        info.unit);
  }
  return text + "\n";
}

// Makes the simulation `name` of a measured run, with so many draws of the locality, and sets it
// beside the run: as calibrated, and with the machine as fast as it was.
class Predictor {
 public:
  Predictor(const config::Experiment& experiment, std::size_t index, const RunFiles& files,
            std::string directory, double speed)
      : experiment_(experiment),
        index_(index),
        files_(files),
        directory_(std::move(directory)),
        speed_(speed),
        measured_(report::ReadRunFigures(directory_ + "/measured")) {}

  // Returns the first one, as calibrated.
  serving::RunResult Run(const serving::SystemConfig& system, const std::string& name,
                         std::int64_t draws, const serving::MeasuredRun* imposed) const {
    serving::RunResult first = RunAt(1, system, name, draws, imposed);
    if (speed_ != 1) RunAt(speed_, system, name + "_at_speed", draws, imposed);
    return first;
  }

 private:
  serving::RunResult RunAt(double speed, serving::SystemConfig system, const std::string& name,
                           std::int64_t draws, const serving::MeasuredRun* imposed) const {
    system.time_scale = speed;
    serving::RunResult first;
    std::vector<report::Comparison> comparisons;
    for (std::int64_t draw = 0; draw < draws; ++draw, ++system.locality.draw) {
      const std::string where =
          directory_ + "/" + name + (draw > 0 ? "/draw-" + std::to_string(draw) : "");
      serving::RunResult run = Predict(experiment_, index_, system, files_, where, imposed);
      comparisons.push_back(report::Compare(measured_, report::ReadRunFigures(where)));
      report::WriteComparison(where, comparisons.back());
      if (draw == 0) first = std::move(run);
    }
    std::cout << "\nmeasured (A) and " << name << " (B)"
              << (speed != 1 ? fmt::format(", all operations x {:.3f}", speed) : "") << "\n\n"
              << report::ComparisonText(comparisons.front());
    if (draws > 1) std::cout << SpreadText(comparisons);
    return first;
  }

  const config::Experiment& experiment_;
  std::size_t index_;
  const RunFiles& files_;
  std::string directory_;  // of the system
  double speed_;
  report::RunFigures measured_;
};

// `round`: from 0.
void RunOne(const config::Experiment& experiment, std::size_t index,
            const serving::WorkloadBounds& bounds, const LiveOptions& options, std::int64_t round,
            const std::string& directory, kernels::Backend& backend, report::Progress& progress) {
  serving::SystemConfig system = experiment.systems[index];
  const live::LiveRecord left =
      Measure(experiment, index, bounds, options, backend, directory, progress);
  const Speed speed = WriteSpeed(experiment, left, system.calibration, backend, directory);
  std::cout << "\n## " << system.choice.name << "\n\n" << speed.text << "\n";
  const Predictor predictor(experiment, index, options.files, directory, speed.factor);
  const bool selects = system.choice.kv_home == serving::KvHome::kDram;
  if (selects) {
    system.selection_trace = directory + "/measured/selection.trace";
    const serving::RunResult replayed = predictor.Run(system, "replayed", 1, &left.timing);
    system.selection_trace.clear();
    if (!replayed.fitted_overlap.empty()) system.locality.overlap = replayed.fitted_overlap;
    system.locality.draw += round * options.draws;
  }
  predictor.Run(system, "predicted", selects ? options.draws : 1, nullptr);
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("backend", Text("NAME", "cpu"), "cpu or cuda")(
      "set", Texts("KEY=VALUE"), "replace a value of the file (repeatable)")(
      "out", Text("DIR"), "directory for results (default: out/NAME of the experiment)")(
      "seed", Text("N"), "of all random streams, the weights among them")(
      "repeat", Text("N", "1"), "serve all systems so many times, in turn")(
      "seeds", Text("N", "1"), "and with so many seeds, from the experiment's own on")(
      "draws", Text("N", "32"), "draws of the locality with which a run is predicted")(
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
  options.live = {.real_time = values.count("fast") == 0, .probe_speed = true};
  options.repeat = ParseInteger(values["repeat"].as<std::string>(), "repeat", 1, 1000);
  options.seeds = ParseInteger(values["seeds"].as<std::string>(), "seeds", 1, 1000);
  options.draws = ParseInteger(values["draws"].as<std::string>(), "draws", 1, 100);
  return options;
}

// What a run takes at once is known before it starts; the operating system would only tell when it
// is under way, by killing it.
void CheckFits(const serving::SystemConfig& system, const kernels::Backend& backend) {
  const serving::HbmBudget budget = serving::ComputeHbmBudget(system);
  const bool offloads = system.choice.kv_home == serving::KvHome::kDram;
  const Bytes dram = offloads ? serving::DramForKv(system) : Bytes(0);
  const bool is_host = backend.name() == "cpu";  // "HBM" and DRAM are one memory
  const kernels::DeviceInfo device = backend.Describe();
  const Bytes host(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  const auto check = [&](const std::string& parts, Bytes needed, const std::string& what,
                         Bytes present) {
    if (needed <= present) return;
    throw InputError({.where = {},
                      .key = "memory",
                      .what = system.choice.name + " needs " + ToString(needed) + " (" + parts +
                              "), " + what + " has " + ToString(present),
                      .expected = "",
                      .hint = "a smaller memory.kv_pool, memory.dram or model"});
  };
  const std::string in_hbm = "weights " + ToString(budget.weights) + ", KV " + ToString(budget.kv);
  const std::string in_dram = "KV in DRAM " + ToString(dram);
  if (is_host) {
    check(in_hbm + ", " + in_dram, budget.weights + budget.kv + dram, device.name, device.memory);
  } else {
    check(in_hbm, budget.weights + budget.kv, device.name, device.memory);
    check(in_dram, dram, "the host", host);
  }
}

// A record that was measured elsewhere predicts another machine.
void WarnOfOtherDevice(const calibration::Record& record, const kernels::Backend& backend) {
  const std::string here = backend.Describe().name;
  if (!record.provenance || record.provenance->device == here) return;
  std::cerr << "warning: the record " << record.name << " was measured on '"
            << record.provenance->device << "', this is '" << here
            << "': see 'sparseserve calibrate --help'\n";
}

// Scales are questions to the simulation.
void RefuseWhatIfs(const serving::SystemConfig& system) {
  const auto refuse = [](double scale, const char* key, const char* what) {
    if (scale != 1) throw InputError({{}, key, what, "1", ""});
  };
  refuse(system.link_scale, "hardware.link_scale", "a live run has the link that there is");
  refuse(system.time_scale, "hardware.time_scale", "a live run takes the time that it takes");
}

void RefuseSampling(const config::Experiment& experiment) {
  if (!experiment.systems.front().fidelity.sampled) return;
  throw InputError({.where = config::PlaceOf(experiment.source, "fidelity.mode"),
                    .key = "fidelity.mode",
                    .what = "a live run serves every lane",
                    .expected = "exact",
                    .hint = ""});
}

// All systems in turn, with one seed after the other, and so again.
void ServeAll(const std::vector<config::Experiment>& experiments, const LiveOptions& options) {
  std::vector<serving::WorkloadBounds> bounds;  // by seed
  std::int64_t num_requests = 0;
  for (const config::Experiment& experiment : experiments) {
    bounds.push_back(serving::ScanWorkload(*traces::OpenWorkload(experiment.workload)));
    for (const serving::SystemConfig& system : experiment.systems)
      serving::CheckFeasible(system, bounds.back());
    config::CheckWarmup(experiment, bounds.back().num_requests);
    num_requests += bounds.back().num_requests;
  }
  const std::vector<serving::SystemConfig>& systems = experiments.front().systems;
  RefuseWhatIfs(systems.front());
  const auto backend = kernels::MakeBackend(options.backend, kernels::DefaultBackendConfig());
  for (const serving::SystemConfig& system : systems) CheckFits(system, *backend);
  report::Progress progress(num_requests * options.repeat *
                            static_cast<std::int64_t>(systems.size()));
  const std::int64_t rounds = options.repeat * options.seeds;
  for (std::int64_t round = 0; round < rounds; ++round) {
    const auto seed = static_cast<std::size_t>(round % options.seeds);
    const std::string parent =
        options.out + (rounds > 1 ? "/round-" + std::to_string(round + 1) : "");
    for (std::size_t i = 0; i < systems.size(); ++i)
      RunOne(experiments[seed], i, bounds[seed], options, round,
             parent + "/" + systems[i].choice.name, *backend, progress);
  }
  WarnOfOtherDevice(systems.front().calibration, *backend);
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
  LiveOptions run = ReadOptions(values);
  const std::vector<config::Experiment> experiments =
      LoadExperimentSeeds(values, "live", "try configs/live/small.yaml", run.seeds);
  const config::Experiment& experiment = experiments.front();
  if (run.out.empty()) run.out = "out/" + experiment.name;
  RefuseSampling(experiment);
  try {
    ServeAll(experiments, run);
  } catch (const InputError& error) {
    throw config::Locate(error, experiment.source);
  } catch (const std::bad_alloc&) {
    throw InputError({.where = {},
                      .key = "memory",
                      .what = "the memory of the machine does not hold the run",
                      .expected = "",
                      .hint = "a smaller memory.kv_pool, memory.dram or model"});
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
