#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <mutex>

#include "sim/cli/command.h"
#include "sim/cli/commit.h"  // written by commit.cmake
#include "sim/cli/points.h"
#include "sim/cli/run_gnuplot.h"
#include "sim/config/plan_file.h"
#include "sim/core/atomic_file.h"
#include "sim/core/error.h"
#include "sim/metrics/figures.h"
#include "sim/plan/planner.h"
#include "sim/plan/store.h"
#include "sim/report/plan_table.h"
#include "sim/report/progress.h"
#include "sim/serving/simulation.h"
#include "traces/workload.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve plan PLAN.yaml [options]\n\n"
    "How many GPUs does a demand need, with which system and settings, and what bounds each? For "
    "every\n"
    "candidate of the plan (configs/plans; keys: configs/README.md) the highest rate that holds "
    "the\n"
    "service level is searched, per seed; then whole replicas are counted, priced and ranked, and "
    "the\n"
    "best choice is simulated at the demanded rate with other seeds. Leaves in DIR: plan.md and\n"
    "plan.csv (the ranking), best_config_topn.csv and pareto.csv (AIConfigurator's columns),\n"
    "pareto.gp and, with gnuplot, pareto.svg, and plan.sqlite: every run so far, from which a "
    "plan\n"
    "that was stopped goes on. Exit code 3: no candidate holds the service level.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve plan configs/plans/mooncake.yaml\n"
    "  sparseserve plan configs/plans/mooncake.yaml --set workload.num_requests=300 --demand "
    "10/s\n";

// Rates so low that no two requests meet: what a system does unloaded.
constexpr double kUnloadedRate = 1e-3;
constexpr std::int64_t kUnloadedRequests = 20;

// Requests per second that a recorded trace has at speed 1.
double RecordedRate(const config::Experiment& experiment) {
  traces::Workload workload = experiment.workload;
  workload.speed = 1;
  const double rate = serving::ScanWorkload(*traces::OpenWorkload(workload)).rate();
  if (rate > 0) return rate;
  throw InputError({{},
                    "workload.path",
                    "the trace has no rate: its requests arrive at once",
                    "",
                    "set workload.arrivals: poisson"});
}

// The runs of a plan, remembered in its store. Thread-safe.
class Runs {
 public:
  Runs(const config::PlanFile& file, const std::string& store, std::atomic<bool> const& stop)
      : file_(file),
        build_(BuildDigest()),
        store_(store, "plan", plan::OpenMode::kCreate),
        stop_(stop) {}

  // Requests per second that a recorded trace has by itself; 0 for a generator.
  void set_recorded_rate(double rate) { recorded_rate_ = rate; }

  plan::Outcome Run(std::size_t candidate, const plan::RunSpec& spec) {
    const config::PlanFile::Place& place = file_.candidates[candidate];
    config::Variation variation = file_.VariationOf(place);
    const config::Experiment plain = variation.Load();
    variation.Set("seed",
                  std::to_string(variation.seed() + static_cast<std::uint64_t>(spec.seed_offset)));
    variation.Set("hardware.time_scale", fmt::format("{}", spec.time_scale));
    variation.Set("hardware.replicas",
                  std::to_string(spec.replicas * plain.systems[place.system].replicas));
    // As many requests for each replica, so that the run lasts as long.
    const auto scale = [&](const char* key, std::int64_t count) {
      if (count > 0) variation.Set(key, std::to_string(count * spec.replicas));
    };
    scale("workload.num_requests", plain.workload.num_requests);
    scale("warmup_requests", plain.warmup_requests);
    // A window that the seed chooses has a rate of its own.
    const bool own_rate = plain.workload.random_window;
    config::SetRate(variation, plain, spec.rate,
                    own_rate ? RecordedRate(variation.Load()) : recorded_rate_);
    return RunOnce(variation, place.system, Patience::kWhileItKeepsUp);
  }

  // The median gap between tokens when no two requests meet, of the first candidate.
  Seconds UnloadedGap() {
    const config::PlanFile::Place& place = file_.candidates.front();
    config::Variation variation = file_.VariationOf(place);
    config::SetRate(variation, variation.Load(), kUnloadedRate, recorded_rate_);
    variation.Set("workload.num_requests", std::to_string(kUnloadedRequests));
    variation.Set("warmup_requests", "0");
    const plan::Outcome outcome = RunOnce(variation, place.system, Patience::kUntilDone);
    if (!outcome.feasible) {
      throw InputError({{},
                        "slo.tbt_p99_decode_iterations",
                        "the first candidate cannot run: " + outcome.note,
                        "",
                        ""});
    }
    return Seconds(outcome.figures[*metrics::FindFigure("median_itl_ms")] / 1e3);
  }

 private:
  plan::Outcome RunOnce(const config::Variation& variation, std::size_t system, Patience patience) {
    const config::Experiment experiment = variation.Load();
    std::string key;
    {
      const std::lock_guard lock(mutex_);
      key = config::PointKey(experiment, system, build_, digests_);
      if (std::optional<plan::Outcome> known = store_.Find(key)) return *known;
    }
    const plan::Outcome outcome = RunPoint(
        experiment, system,
        [&](std::int64_t) {
          if (stop_) throw plan::Interrupted();
        },
        patience);
    const std::lock_guard lock(mutex_);
    store_.Put(key, outcome);
    return outcome;
  }

  const config::PlanFile& file_;
  const std::string build_;
  double recorded_rate_ = 0;
  std::mutex mutex_;  // of what follows
  plan::Store store_;
  config::FileDigests digests_;
  const std::atomic<bool>& stop_;
};

// The rate that the workload has in itself: of a trace at speed 1.
double OwnRate(const config::PlanFile& file) {
  config::Variation variation = file.VariationOf(file.candidates.front());
  const config::Experiment experiment = variation.Load();
  if (experiment.workload.arrivals.kind != traces::ArrivalKind::kAsRecorded) return 0;
  return RecordedRate(experiment);
}

std::string SloText(const config::PlanFile& file, const plan::Slo& slo) {
  std::string text;
  const auto add = [&](const char* name, const std::optional<Seconds>& limit) {
    if (limit)
      text += fmt::format("{}{} <= {:.4g} s", text.empty() ? "" : ", ", name, limit->value());
  };
  add("TTFT", slo.per_request.ttft);
  add("TPOT", slo.per_request.tpot);
  add("E2E", slo.per_request.e2el);
  add("TBT P99", slo.tbt_p99);
  if (file.tbt_p99_decode_iterations)
    text += fmt::format(" ({} unloaded median gaps)", *file.tbt_p99_decode_iterations);
  add("mean delay", slo.delay_mean);
  add("delay P95", slo.delay_p95);
  add("delay P99", slo.delay_p99);
  const char* name = slo.definition == plan::SloDefinition::kVllm        ? "vllm"
                     : slo.definition == plan::SloDefinition::kDistServe ? "distserve"
                                                                         : "sarathi";
  if (slo.definition == plan::SloDefinition::kSarathi) return std::string(name) + ": " + text;
  return fmt::format("{}: {} for {:.4g} % of requests", name, text, slo.attainment * 100);
}

// All files take their names together.
void WriteFiles(const std::string& directory, const report::PlanView& view) {
  const std::pair<const char*, std::string> texts[] = {
      {"plan.md", report::PlanText(view, report::Style::kMarkdown)},
      {"plan.csv", report::PlanCsv(view)},
      {"best_config_topn.csv", report::BestConfigCsv(view, SPARSESERVE_VERSION)},
      {"pareto.csv", report::ParetoCsv(view, SPARSESERVE_VERSION)},
      {"pareto.gp", report::ParetoScript(view)}};
  std::vector<std::unique_ptr<AtomicFile>> files;
  for (const auto& [name, text] : texts) {
    files.push_back(std::make_unique<AtomicFile>(directory + "/" + name));
    files.back()->Append(text);
    files.back()->Seal();
  }
  for (const auto& file : files) file->Commit();
  if (view.result.feasible && !RunGnuplot(directory, "pareto.gp"))
    std::cerr << "no gnuplot here: pareto.gp draws pareto.svg where there is one\n";
}

double ReadDemand(const po::variables_map& values, double of_file, double own) {
  const std::string text = values["demand"].as<std::string>();
  if (text.empty()) return of_file > 0 ? of_file : own;
  double demand = 0;
  const config::Field field{.min = 1e-6, .max = 1e6, .real = config::RealKind::kPerSecond};
  if (const auto complaint = config::ParseText(text, demand, field)) {
    throw InputError({{}, "--demand", complaint->what, complaint->expected, complaint->hint});
  }
  return demand;
}

std::int64_t ReadSeeds(const po::variables_map& values, std::int64_t of_file) {
  const std::string text = values["seeds"].as<std::string>();
  return text.empty() ? of_file : ParseInteger(text, "seeds", 1, 100);
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("out", Text("DIR"),
                        "directory for results (default: out/NAME of the plan)")(
      "set", Texts("KEY=VALUE"),
      "replace a value of the experiment, for all candidates (repeatable)")(
      "demand", Text("RATE"), "such as 12/s, instead of the plan's")(
      "seeds", Text("N"), "searches per candidate, instead of the plan's")(
      "threads", Text("N"), "runs at once (default: all cores); changes no result");
  return options;
}

int MakeAndShow(const po::variables_map& values, config::PlanFile& file, const std::string& out) {
  const StopOnSignal on_signal;
  MakeOutputDirectory(out);
  Runs runs(file, out + "/plan.sqlite", on_signal.stop());
  const double recorded = OwnRate(file);
  runs.set_recorded_rate(recorded);
  const config::Experiment first = file.VariationOf(file.candidates.front()).Load();
  const double own =
      recorded > 0 ? recorded * first.workload.speed : first.workload.arrivals.rate_per_s;
  if (file.tbt_p99_decode_iterations)
    file.slo.tbt_p99 = runs.UnloadedGap() * *file.tbt_p99_decode_iterations;
  plan::PlanRequest request{.demand = ReadDemand(values, file.demand, own),
                            .criteria = plan::CriteriaOf(file.slo),
                            .grid = {.reference = own, .precision = file.precision},
                            .seeds = ReadSeeds(values, file.seeds),
                            .verify_seeds = file.verify_seeds,
                            .num_verified = file.num_verified};
  report::JobProgress progress;
  const plan::PlanResult result = plan::MakePlan(
      request, file.described, ReadThreads(values["threads"].as<std::string>()),
      [&](std::size_t candidate, const plan::RunSpec& spec) { return runs.Run(candidate, spec); },
      [&](double done) { progress.Show("searching", done); }, on_signal.stop());
  const report::PlanView view{.name = file.name,
                              .slo = SloText(file, file.slo),
                              .axes = file.AxisNames(),
                              .precision = file.precision,
                              .request = request,
                              .candidates = file.described,
                              .result = result};
  WriteFiles(out, view);
  std::cout << report::PlanText(view);
  std::cerr << "results in " << out << "\n";
  return result.feasible ? kDone : kInfeasible;
}

}  // namespace

int Plan(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("plan", Text(""));
  const po::variables_map values = Parse(arguments, all, {"plan"}, "plan");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples;
    return kDone;
  }
  const std::string path = values["plan"].as<std::string>();
  if (path.empty()) {
    throw InputError({{},
                      "plan",
                      "no plan is given",
                      "sparseserve plan PLAN.yaml",
                      "try configs/plans/mooncake.yaml"});
  }
  config::PlanFile file = config::LoadPlanFile(path, values["set"].as<std::vector<std::string>>(),
                                               FindDataRoot(values["data"].as<std::string>()));
  std::string out = values["out"].as<std::string>();
  if (out.empty()) out = "out/" + file.name;
  try {
    return MakeAndShow(values, file, out);
  } catch (const plan::Interrupted&) {
    std::cerr << "stopped; what is finished is in " << out
              << "/plan.sqlite, and the same command goes on from there\n";
    return kInterrupted;
  }
}

}  // namespace sparseserve::cli
