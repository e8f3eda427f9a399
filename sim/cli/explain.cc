#include <filesystem>
#include <iostream>
#include <thread>

#include "sim/cli/command.h"
#include "sim/config/experiment.h"
#include "sim/core/error.h"
#include "sim/plan/what_if.h"
#include "sim/report/explanation.h"
#include "sim/report/progress.h"
#include "sim/report/run_directory.h"
#include "sim/report/summary_json.h"
#include "sim/serving/simulation.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve explain DIR [options]\n\n"
    "Says where the time to the first token (TTFT) and between tokens (TBT) of a run went, what "
    "bound\n"
    "its iterations and batches, and what would change it. DIR is the directory of one run, such "
    "as\n"
    "simulate leaves in out/NAME/SYSTEM. Its configuration is simulated again: as it was, which "
    "must\n"
    "give the stored figures, and with one thing changed at a time, for several seeds. Of a live "
    "run\n"
    "(DIR/measured) the measured times are explained, and the what-ifs are those of its "
    "prediction.\n\n";
constexpr const char* kWhatIfs =
    "\nwhat-ifs\n"
    "  quick  1 GB of HBM for KV, 1 GB/s of host link (both directions, calibrated transfers "
    "too),\n"
    "         1 step of w, 1 ms of host overhead, and 25 % of each\n"
    "  full   also every eviction policy, half and double T_max and R_max\n"
    "  The interval is that of the paired differences over the seeds (Student's t): the seeds of "
    "the\n"
    "  base meet the same requests. What a change does within it may be the luck of the "
    "schedule.\n";
constexpr const char* kExamples =
    "\nexamples (after 'sparseserve simulate configs/run/longbench.yaml')\n"
    "  sparseserve explain out/longbench/sparseserve\n"
    "  sparseserve explain out/longbench/vllm --what-if none\n"
    "  sparseserve explain out/longbench/sparseserve --what-if full --seeds 5 --json -\n";

struct ExplainOptions {
  std::string directory;
  std::vector<std::string> overrides;
  std::string data_root;
  std::int64_t threads = 1;
  std::int64_t seeds = 3;
  plan::Extent extent = plan::Extent::kQuick;
  bool json = false;
};

// The base of one seed: what stood in the directory, with --set on top.
config::Experiment LoadBase(const ExplainOptions& options, std::optional<std::uint64_t> seed) {
  const auto path = std::filesystem::path(options.directory) / report::kConfigFile;
  std::vector<std::string> overrides = options.overrides;
  if (seed) overrides.push_back("seed=" + std::to_string(*seed));
  config::Experiment experiment =
      config::LoadExperiment(path.string(), overrides, options.data_root);
  if (experiment.systems.size() == 1) return experiment;
  throw InputError({.where = {},
                    .key = "systems",
                    .what = std::to_string(experiment.systems.size()) + " systems",
                    .expected = "one: a result is that of one system",
                    .hint = ""});
}

serving::RunResult Run(const serving::SystemConfig& system, const config::Experiment& experiment,
                       const serving::ProgressFunction& progress) {
  const auto requests = traces::OpenWorkload(experiment.workload);
  metrics::Collector collector;
  serving::RunOptions options;
  options.progress = progress;
  return serving::RunSimulation(system, *requests, experiment.slo, collector, options);
}

std::int64_t CheckedRequests(const config::Experiment& experiment) {
  const serving::WorkloadBounds bounds =
      serving::ScanWorkload(*traces::OpenWorkload(experiment.workload));
  serving::CheckFeasible(experiment.systems.front(), bounds);
  return bounds.num_requests;
}

report::WhatIfTable TableOf(const plan::WhatIfResult& result, std::vector<std::string> left_out,
                            std::int64_t num_seeds) {
  report::WhatIfTable table;
  table.num_seeds = num_seeds;
  table.left_out = std::move(left_out);
  table.base_saturated = result.base_saturated;
  table.seeds_differ = result.seeds_differ;
  for (std::size_t f = 0; f < plan::kNumFigures; ++f) {
    table.figures.emplace_back(plan::kFigureNames[f]);
    const std::optional<plan::Interval>& base = result.base[f];
    table.base.push_back(base ? std::optional(base->mean) : std::nullopt);
  }
  for (const plan::WhatIfEffect& effect : result.effects) {
    report::WhatIfRow& row = table.rows.emplace_back();
    row.name = effect.name;
    row.note = effect.failure;
    row.saturated = effect.saturated;
    if (!effect.failure.empty()) continue;
    for (const std::optional<plan::Interval>& change : effect.changes) {
      row.cells.push_back(
          change ? std::optional(report::WhatIfCell{change->mean, change->low, change->high})
                 : std::nullopt);
    }
  }
  return table;
}

// Each seed has its own arrivals, lengths and selections, the same for the base and every change.
report::WhatIfTable RunChanges(const ExplainOptions& options, const config::Experiment& base) {
  std::vector<std::string> left_out;
  const std::vector<plan::Change> changes =
      plan::WhatIfs(base.systems.front(), options.extent, left_out);
  if (changes.empty()) return TableOf({}, {}, 0);
  std::vector<config::Experiment> experiments;
  std::vector<serving::SystemConfig> systems;
  std::int64_t requests = 0;
  for (std::int64_t i = 0; i < options.seeds; ++i) {
    experiments.push_back(LoadBase(options, base.seed + static_cast<std::uint64_t>(i)));
    requests += CheckedRequests(experiments.back());
    systems.push_back(experiments.back().systems.front());
    systems.back().memory.replay_evictions.clear();
  }
  report::Progress progress(requests * static_cast<std::int64_t>(changes.size() + 1));
  const auto run = [&](const serving::SystemConfig& system, std::size_t seed) {
    return Run(system, experiments[seed], progress.OfRun()).summary;
  };
  return TableOf(plan::RunWhatIfs(systems, changes, run, options.threads), std::move(left_out),
                 options.seeds);
}

plan::Extent ParseExtent(const std::string& text) {
  if (text == "none") return plan::Extent::kNone;
  if (text == "quick") return plan::Extent::kQuick;
  if (text == "full") return plan::Extent::kFull;
  throw InputError({.where = {},
                    .key = "--what-if",
                    .what = "'" + text + "' is not known",
                    .expected = "none, quick or full",
                    .hint = ""});
}

ExplainOptions ReadOptions(const po::variables_map& values) {
  ExplainOptions options;
  options.directory = values["directory"].as<std::string>();
  if (options.directory.empty()) {
    throw InputError({.where = {},
                      .key = "explain",
                      .what = "no result is given",
                      .expected = "sparseserve explain DIR",
                      .hint = "simulate leaves one in out/NAME/SYSTEM"});
  }
  const std::string json = values["json"].as<std::string>();
  if (!json.empty() && json != "-") {
    throw InputError({.where = {},
                      .key = "--json",
                      .what = "'" + json + "' is no destination",
                      .expected = "-",
                      .hint = ""});
  }
  options.json = json == "-";
  options.overrides = values["set"].as<std::vector<std::string>>();
  options.extent = ParseExtent(values["what-if"].as<std::string>());
  options.seeds = ParseInteger(values["seeds"].as<std::string>(), "seeds", 1, 1000);
  const std::string threads = values["threads"].as<std::string>();
  options.threads = threads.empty() ? std::max(1U, std::thread::hardware_concurrency())
                                    : ParseInteger(threads, "threads", 1, 1024);
  options.data_root = FindDataRoot(values["data"].as<std::string>());
  return options;
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("set", Texts("KEY=VALUE"),
                        "replace a value of the run's configuration (repeatable)")(
      "what-if", Text("EXTENT", "quick"), "none, quick or full: see below")(
      "seeds", Text("N", "3"), "seeds of base and what-ifs, from the run's own on")(
      "threads", Text("N"), "simulations at once (default: all cores); changes no result")(
      "json", Text("-"), "'-': print all as JSON on standard output, not the tables");
  return options;
}

// What runs here against what is stored; told only where they should agree.
std::optional<bool> CheckReproduced(const ExplainOptions& options,
                                    const serving::RunResult& result) {
  if (!options.overrides.empty()) return std::nullopt;
  const bool same = report::IsSameSummary(options.directory, report::SummaryJson(result));
  if (!same) {
    std::cerr << "warning: " << options.directory
              << " holds other figures than its configuration gives now: it is of another version "
                 "or of other inputs; what follows is of the run made now\n";
  }
  return same;
}

void Print(const report::Explanation& explanation, const report::WhatIfTable& table,
           const std::string& note) {
  std::cout << explanation.system << ": " << explanation.model << " on " << explanation.hardware
            << note << "\n\n";
  for (const std::string& line : report::Conclusions(explanation)) std::cout << line << "\n";
  for (const std::string& line : report::WhatIfConclusions(table)) std::cout << line << "\n";
  if (explanation.completed == 0) return;
  std::cout << "\n" << report::ExplanationText(explanation);
  if (const std::string text = report::WhatIfText(table); !text.empty()) std::cout << "\n" << text;
}

void ExplainRun(const ExplainOptions& options, const config::Experiment& base, bool measured) {
  report::Explanation explanation;
  std::optional<bool> reproduced;
  std::string note;
  if (measured) {
    explanation = report::ReadExplanation(options.directory);
    note = ", measured (what-ifs: against its prediction)";
  } else {
    report::Progress progress(CheckedRequests(base));
    const serving::RunResult result = Run(base.systems.front(), base, progress.OfRun());
    reproduced = CheckReproduced(options, result);
    explanation = report::Explain(result.summary);
    if (!options.overrides.empty()) note = ", changed by --set";
    if (reproduced && *reproduced) note = ", figures reproduced";
  }
  const report::WhatIfTable table = RunChanges(options, base);
  if (options.json) {
    std::cout << report::ExplanationJson(options.directory, reproduced, explanation, table);
  } else {
    Print(explanation, table, note);
  }
}

}  // namespace

int Explain(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("directory", Text(""));
  const po::variables_map values = Parse(arguments, all, {"directory"}, "explain");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kWhatIfs << kExamples;
    return kDone;
  }
  const ExplainOptions run = ReadOptions(values);
  const bool measured = report::IsMeasured(run.directory);
  if (measured && !run.overrides.empty()) {
    throw InputError({.where = {},
                      .key = "--set",
                      .what = run.directory + " was measured: it is what it is",
                      .expected = "a simulated result",
                      .hint = "'predicted' beside it"});
  }
  const config::Experiment base = LoadBase(run, std::nullopt);
  try {
    ExplainRun(run, base, measured);
  } catch (const InputError& error) {
    throw config::Locate(error, base.source);
  }
  return kDone;
}

}  // namespace sparseserve::cli
