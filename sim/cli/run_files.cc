#include "sim/cli/run_files.h"

#include <iostream>
#include <utility>

#include "sim/cli/command.h"
#include "sim/config/value_text.h"
#include "sim/core/error.h"
#include "sim/report/iterations_csv.h"
#include "sim/report/requests_csv.h"
#include "sim/report/run_directory.h"
#include "sim/report/summary_json.h"
#include "sim/report/timeline_json.h"

namespace sparseserve::cli {
namespace {

constexpr std::size_t kMaxSlices = 200'000;  // of a timeline: what a viewer still opens at ease

// Gathering smaller blocks takes longer, and no curve tells how much.
void WarnOfOtherBlocks(const serving::SystemConfig& system) {
  const auto& counts = system.calibration.counts;
  const auto measured = counts.find("attention.block_tokens");
  const auto here = static_cast<double>(system.selection.block_tokens.value());
  if (measured == counts.end() || measured->second.value == here) return;
  std::cerr << "warning: attention of the record " << system.calibration.name
            << " was measured with blocks of " << measured->second.value
            << " tokens, selection.block_tokens is " << here
            << ": its times are those of the former (calibrate --block-tokens)\n";
}

}  // namespace

serving::RunResult RunAndWrite(const config::Experiment& experiment, std::size_t index,
                               const RunFiles& files, serving::RunOptions options,
                               const RunFunction& run) {
  const serving::SystemConfig& system = experiment.systems[index];
  report::RunDirectory directory(files.directory);
  report::IterationsCsv iterations(directory.Stage(report::kIterationsFile));
  serving::Timelines timelines(files.timeline_begin, files.timeline_end, kMaxSlices);
  metrics::Collector collector(&iterations, experiment.warmup_requests);
  const auto requests = traces::OpenWorkload(experiment.workload);
  options.timelines = files.timeline ? &timelines : nullptr;
  serving::RunResult result = run(*requests, collector, options);

  report::WriteRequestsCsv(collector.requests(), directory.Stage(report::kRequestsFile));
  config::Node resolved = experiment.resolved;
  config::Node only = config::Node::List();
  only.items.push_back(experiment.resolved.Find("systems")->items[index]);
  resolved.Set("systems", std::move(only));
  directory.Stage(report::kConfigFile, config::ToYaml(resolved));
  if (files.timeline) {
    std::vector<report::TimelineProcess> processes;
    for (const serving::Timeline& timeline : timelines.replicas()) {
      const std::string number = std::to_string(processes.size());
      const bool is_only = timelines.replicas().size() == 1;
      processes.push_back({system.choice.name + (is_only ? "" : " replica " + number), &timeline});
    }
    directory.Stage(report::kTimelineFile, report::TimelineJson(processes));
  }
  directory.Stage(report::kSummaryFile, report::SummaryJson(result));
  directory.Commit();
  return result;
}

void ParseWindow(const std::string& text, RunFiles& files) {
  const std::size_t colon = text.find(':');
  Seconds begin, end;
  if (colon == std::string::npos || config::ParseText(text.substr(0, colon), begin) ||
      config::ParseText(text.substr(colon + 1), end) || end <= begin) {
    throw InputError({.where = {},
                      .key = "--timeline-window",
                      .what = "'" + text + "' is no window",
                      .expected = "BEGIN:END with units, such as 100s:105s",
                      .hint = ""});
  }
  files.timeline_begin = SimTime() + begin;
  files.timeline_end = SimTime() + end;
}

std::vector<config::Experiment> LoadExperimentSeeds(
    const boost::program_options::variables_map& values, const std::string& verb,
    const std::string& hint, std::int64_t num_seeds) {
  const std::string path = values["experiment"].as<std::string>();
  if (path.empty()) {
    throw InputError({.where = {},
                      .key = verb,
                      .what = "no experiment is given",
                      .expected = "sparseserve " + verb + " EXPERIMENT.yaml",
                      .hint = hint});
  }
  std::vector<std::string> overrides = values["set"].as<std::vector<std::string>>();
  const std::string seed = values["seed"].as<std::string>();
  if (!seed.empty())
    overrides.push_back("seed=" + std::to_string(ParseInteger(seed, "seed", 0, INT64_MAX)));
  const std::string root = FindDataRoot(values["data"].as<std::string>());
  std::vector<config::Experiment> experiments{config::LoadExperiment(path, overrides, root)};
  WarnOfOtherBlocks(experiments.front().systems.front());
  for (std::int64_t i = 1; i < num_seeds; ++i) {
    std::vector<std::string> with_seed = overrides;
    with_seed.push_back("seed=" +
                        std::to_string(experiments.front().seed + static_cast<std::uint64_t>(i)));
    experiments.push_back(config::LoadExperiment(path, with_seed, root));
  }
  return experiments;
}

config::Experiment LoadExperimentFile(const boost::program_options::variables_map& values,
                                      const std::string& verb, const std::string& hint) {
  return std::move(LoadExperimentSeeds(values, verb, hint, 1).front());
}

}  // namespace sparseserve::cli
