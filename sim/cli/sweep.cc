#include <iostream>

#include "sim/cli/command.h"
#include "sim/cli/points.h"
#include "sim/config/sweep_file.h"
#include "sim/config/value_text.h"
#include "sim/core/atomic_file.h"
#include "sim/core/error.h"
#include "sim/plan/contrast.h"
#include "sim/plan/store.h"
#include "sim/plan/sweep.h"
#include "sim/plan/workers.h"
#include "sim/report/progress.h"
#include "sim/report/sweep_table.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;
using Outcomes = std::vector<std::optional<plan::Outcome>>;

constexpr const char* kUsage =
    "usage: sparseserve sweep SWEEP.yaml --out STORE.sqlite [options]\n"
    "       sparseserve sweep show STORE.sqlite [--contrast AXIS] [--baseline LABEL] [--metric "
    "NAME]\n"
    "       sparseserve sweep export STORE.sqlite [--csv FILE]\n"
    "       sparseserve sweep merge STORE.sqlite PART.sqlite...\n\n"
    "Runs an experiment along axes, with several seeds (configs/sweeps; the keys of a sweep:\n"
    "configs/README.md). Each finished point is stored at once, so a run that was stopped, even\n"
    "killed, goes on when the same command is given again, and a sweep that was changed runs only\n"
    "what is new. `show` compares along one axis, seed by seed; `export` writes every point as "
    "CSV.\n"
    "Parts of a sweep may run on several machines (--shard) and be merged, or under mpirun in a\n"
    "build with MPI; scripts/sweep.slurm does it on a Slurm cluster.\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve sweep configs/sweeps/eviction.yaml --out out/eviction.sqlite\n"
    "  sparseserve sweep show out/eviction.sqlite --metric kv.block_loads --metric mean_itl_ms\n"
    "  sparseserve sweep show out/crossover.sqlite --map workload.prompt.mean,batch\n"
    "  sparseserve sweep configs/sweeps/eviction.yaml --out out/part1.sqlite --shard 1/4\n"
    "  sparseserve sweep merge out/all.sqlite out/part1.sqlite out/part2.sqlite\n";

[[noreturn]] void Fail(std::string key, std::string what, std::string expected,
                       std::string hint = "") {
  throw InputError({{}, std::move(key), std::move(what), std::move(expected), std::move(hint)});
}

plan::Shard ParseShard(const std::string& text) {
  if (text.empty()) return {};
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) Fail("--shard", "'" + text + "' is no part", "I/N, such as 2/5");
  const std::int64_t count = ParseInteger(text.substr(slash + 1), "shard", 1, 1'000'000);
  return {ParseInteger(text.substr(0, slash), "shard", 1, count) - 1, count};
}

plan::Sweep TableOf(const config::SweepFile& file) {
  plan::Sweep sweep{.name = file.name,
                    .axes = file.AxisNames(),
                    .points = {},
                    .contrast = file.contrast,
                    .metrics = file.metrics};
  for (const auto& point : file.points)
    sweep.points.push_back({point.key, point.labels, point.place.replication, point.seed});
  return sweep;
}

Outcomes FindAll(const plan::Sweep& sweep, plan::Store& store) {
  Outcomes outcomes;
  for (const plan::SweepPoint& point : sweep.points) outcomes.push_back(store.Find(point.key));
  return outcomes;
}

// Runs what the store lacks; the first process of several keeps the store.
void RunMissing(const config::SweepFile& file, const plan::Sweep& sweep, plan::Store& store,
                const plan::Shard& shard, std::int64_t threads, plan::Workers& workers) {
  std::vector<std::size_t> missing;
  std::size_t in_shard = 0;
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    if (!shard.Has(i)) continue;
    ++in_shard;
    if (!store.Find(sweep.points[i].key)) missing.push_back(i);
  }
  std::cerr << missing.size() << " of " << in_shard << " points to run\n";
  const StopOnSignal on_signal;
  report::JobProgress progress;
  std::size_t done = 0;
  const auto take = [&](std::size_t ordinal, const plan::Outcome& outcome) {
    store.Put(sweep.points[ordinal].key, outcome);
    ++done;
    progress.Show(std::to_string(done) + "/" + std::to_string(missing.size()) + " points",
                  static_cast<double>(done) / static_cast<double>(missing.size()));
  };
  workers.Run(
      missing, threads,
      [&](std::size_t ordinal, const serving::ProgressFunction& on_progress) {
        const auto& place = file.points[ordinal].place;
        return RunPoint(file.Load(place), place.system, on_progress);
      },
      take, on_signal.stop());
}

std::optional<std::int64_t> ReadReplications(const po::variables_map& values) {
  const std::string text = values["replications"].as<std::string>();
  if (text.empty()) return std::nullopt;
  return ParseInteger(text, "replications", 1, 1000);
}

int Run(const po::variables_map& values, const std::string& path) {
  const std::string out = values["out"].as<std::string>();
  if (out.empty()) Fail("sweep", "no store is given", "--out STORE.sqlite");
  const plan::Shard shard = ParseShard(values["shard"].as<std::string>());
  const std::int64_t threads = ReadThreads(values["threads"].as<std::string>());
  const config::SweepFile file = config::LoadSweepFile(
      path, values["set"].as<std::vector<std::string>>(),
      FindDataRoot(values["data"].as<std::string>()), BuildDigest(), ReadReplications(values));
  const plan::Sweep sweep = TableOf(file);
  plan::Workers workers;
  if (!workers.is_first()) {  // works for the first one, which keeps the store
    workers.Serve([&](std::size_t ordinal, const serving::ProgressFunction& on_progress) {
      const auto& place = file.points[ordinal].place;
      return RunPoint(file.Load(place), place.system, on_progress);
    });
    return kDone;
  }
  plan::Store store(out, "sweep", plan::OpenMode::kCreate);
  store.SetSweep(sweep);
  try {
    RunMissing(file, sweep, store, shard, threads, workers);
  } catch (const plan::Interrupted&) {
    std::cerr << "stopped; what is finished is in " << out
              << ", and the same command goes on from there\n";
    return kInterrupted;
  }
  const plan::ContrastRequest request{
      .axis = sweep.contrast, .baseline = "", .against_previous = false, .metrics = sweep.metrics};
  std::cout << report::ContrastTable(sweep,
                                     plan::MakeContrast(sweep, FindAll(sweep, store), request));
  std::cerr << "points in " << out << "\n";
  return kDone;
}

void WriteTo(const std::string& path, const std::string& text) {
  if (path.empty()) {
    std::cout << text;
    return;
  }
  AtomicFile file(path);
  file.Append(text);
  file.Commit();
  std::cerr << "written: " << path << "\n";
}

int Show(const po::variables_map& values, const std::string& path) {
  plan::Store store(path, "sweep", plan::OpenMode::kExisting);
  const plan::Sweep sweep = store.ReadSweep();
  plan::ContrastRequest request{.axis = values["contrast"].as<std::string>(),
                                .baseline = values["baseline"].as<std::string>(),
                                .against_previous = values.count("steps") != 0,
                                .metrics = values["metric"].as<std::vector<std::string>>()};
  if (request.axis.empty()) request.axis = sweep.contrast;
  if (request.metrics.empty()) request.metrics = sweep.metrics;
  const Outcomes outcomes = FindAll(sweep, store);
  const plan::Contrast contrast = plan::MakeContrast(sweep, outcomes, request);
  const std::string csv = values["csv"].as<std::string>();
  if (!csv.empty()) WriteTo(csv, report::ContrastCsv(contrast));
  const report::Style style =
      values.count("markdown") != 0 ? report::Style::kMarkdown : report::Style::kTerminal;
  const std::string map = values["map"].as<std::string>();
  if (map.empty()) {
    std::cout << report::ContrastTable(sweep, contrast, style);
    return kDone;
  }
  const std::size_t comma = map.find(',');
  if (comma == std::string::npos) Fail("--map", "'" + map + "' is one axis", "AXIS_X,AXIS_Y");
  std::cout << report::CrossoverText(
      contrast, plan::MakeCrossoverMaps(contrast, map.substr(0, comma), map.substr(comma + 1)),
      style);
  return kDone;
}

int Export(const po::variables_map& values, const std::string& path) {
  plan::Store store(path, "sweep", plan::OpenMode::kExisting);
  const plan::Sweep sweep = store.ReadSweep();
  WriteTo(values["csv"].as<std::string>(), report::PointsCsv(sweep, FindAll(sweep, store)));
  return kDone;
}

bool SameSweep(const plan::Sweep& a, const plan::Sweep& b) {
  const auto same = [](const plan::SweepPoint& x, const plan::SweepPoint& y) {
    return x.key == y.key && x.labels == y.labels && x.replication == y.replication;
  };
  return a.name == b.name && a.axes == b.axes &&
         std::equal(a.points.begin(), a.points.end(), b.points.begin(), b.points.end(), same);
}

int Merge(const std::string& into, const std::vector<std::string>& parts) {
  if (parts.empty()) Fail("sweep merge", "no part is given", "merge STORE.sqlite PART.sqlite...");
  std::vector<std::unique_ptr<plan::Store>> stores;
  for (const std::string& part : parts)
    stores.push_back(std::make_unique<plan::Store>(part, "sweep", plan::OpenMode::kExisting));
  const plan::Sweep sweep = stores.front()->ReadSweep();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (!SameSweep(sweep, stores[i]->ReadSweep())) {
      Fail(parts[i], "holds another sweep than " + parts.front(),
           "parts of one sweep, run by the same build",
           "give every part the same SWEEP.yaml and --set");
    }
  }
  plan::Store store(into, "sweep", plan::OpenMode::kCreate);
  store.SetSweep(sweep);
  for (const auto& part : stores) store.PutAll(*part);
  std::size_t done = 0;
  for (const auto& outcome : FindAll(sweep, store)) done += outcome ? 1 : 0;
  std::cerr << done << " of " << sweep.points.size() << " points in " << into << "\n";
  return kDone;
}

po::options_description Options() {
  po::options_description options = CommonOptions();
  options.add_options()("out", Text("STORE"), "the store, an SQLite file; made, or gone on with")(
      "set", Texts("KEY=VALUE"), "replace a value of the experiment, for all points (repeatable)")(
      "replications", Text("N"), "runs of each point, instead of the sweep's")(
      "threads", Text("N"), "points at once (default: all cores); changes no result")(
      "shard", Text("I/N"), "run part I of N only, 1 <= I <= N")(
      "contrast", Text("AXIS"), "show: axis to compare along (default: the sweep's)")(
      "baseline", Text("LABEL"), "show: what to compare with (default: the first)")(
      "steps", "show: compare each label with the one before it")(
      "map", Text("X,Y"),
      "show: a map of the first metric over two axes, and where it starts to pay")(
      "metric", Texts("NAME"), "show: figures to compare (repeatable; default: the sweep's)")(
      "csv", Text("FILE"), "show, export: write CSV")("markdown", "show: the tables as Markdown");
  return options;
}

}  // namespace

int Sweep(const Arguments& arguments) {
  const po::options_description options = Options();
  po::options_description all;
  all.add(options).add_options()("word",
                                 po::value<std::vector<std::string>>()->default_value({}, ""));
  const po::variables_map values = Parse(arguments, all, {"word..."}, "sweep");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples;
    return kDone;
  }
  std::vector<std::string> words = values["word"].as<std::vector<std::string>>();
  if (words.empty()) {
    Fail("sweep", "no sweep is given", "sparseserve sweep SWEEP.yaml --out STORE.sqlite",
         "try configs/sweeps/eviction.yaml");
  }
  const std::string verb = words.front();
  const bool is_verb = verb == "show" || verb == "export" || verb == "merge";
  if (is_verb) words.erase(words.begin());
  if (words.empty()) Fail("sweep " + verb, "no store is given", "sweep " + verb + " STORE.sqlite");
  const std::string first = words.front();
  if (verb == "merge") return Merge(first, {words.begin() + 1, words.end()});
  if (words.size() > 1) {
    const std::vector<std::string> verbs = {"show", "export", "merge"};
    const std::string close = is_verb ? "" : ClosestMatch(first, verbs);
    Fail("sweep", "'" + words[1] + "' is one word too many", "one file",
         close.empty() ? "" : "did you mean '" + close + "' by '" + first + "'?");
  }
  if (is_verb && !values["out"].as<std::string>().empty())
    Fail("--out", "sweep " + verb + " makes no store", "--csv FILE for a table in a file");
  if (verb == "show") return Show(values, first);
  if (verb == "export") return Export(values, first);
  return Run(values, first);
}

}  // namespace sparseserve::cli
