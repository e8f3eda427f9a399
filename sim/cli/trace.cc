#include <fmt/format.h>

#include <iostream>

#include "sim/cli/command.h"
#include "sim/config/value_text.h"
#include "sim/config/workload_reader.h"
#include "sim/config/yaml_reader.h"
#include "sim/core/error.h"
#include "traces/statistics.h"
#include "traces/workload.h"
#include "traces/writer.h"

namespace sparseserve::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kUsage =
    "usage: sparseserve trace info TRACE [options]\n"
    "       sparseserve trace convert TRACE --out FILE [--to FORMAT] [options]\n"
    "       sparseserve trace generate longbench|synthetic --out FILE [--to FORMAT] [options]\n\n"
    "info prints sizes, rate and burstiness; convert rewrites; generate makes a trace. TRACE is a\n"
    "Mooncake JSONL, an Azure, BurstGPT or Vidur CSV, or our own CSV; its format is recognised.\n"
    "What stands under `workload` in an experiment can be given as --set (configs/README.md).\n\n";
constexpr const char* kExamples =
    "\nexamples\n"
    "  sparseserve trace info traces/samples/mooncake.jsonl\n"
    "  sparseserve trace convert azure.csv --out first.jsonl --to mooncake --set "
    "num_requests=1000\n"
    "  sparseserve trace generate longbench --out longbench.csv --set rate=0.2/s --seed 7\n";

[[noreturn]] void Reject(std::string what, std::string expected) {
  throw InputError({.where = {},
                    .key = "trace",
                    .what = std::move(what),
                    .expected = std::move(expected),
                    .hint = "see 'sparseserve trace --help'"});
}

// The options as the `workload` map of an experiment, read by the same strict reader.
traces::Workload ReadOptions(const std::string& source, const std::string& path,
                             const po::variables_map& values) {
  config::Node root = config::Node::Map();
  root.where.file = "command line";
  config::Node workload = config::Node::Map();
  workload.where = root.where;
  workload.Set("source", config::Node::Scalar(source));
  if (!path.empty()) workload.Set("path", config::Node::Scalar(path));
  root.Set("workload", std::move(workload));
  for (const std::string& assignment : values["set"].as<std::vector<std::string>>()) {
    config::ApplyOverride(root, "workload." + assignment);
  }
  config::MapReader reader(root);
  traces::Workload result;
  const auto seed = static_cast<std::uint64_t>(
      ParseInteger(values["seed"].as<std::string>(), "seed", 0, INT64_MAX));
  config::ReadWorkload(reader, seed, FindDataRoot(values["data"].as<std::string>()), result);
  reader.Finish();
  return result;
}

void PrintLengths(const char* name, const traces::LengthStatistics& s) {
  fmt::print("  {:<16} p50 {:.0f}, mean {:.0f}, p99 {:.0f}, max {}; {} in all\n", name, s.p50,
             s.mean, s.p99, s.max.value(), s.total.value());
}

int PrintInfo(const traces::Workload& workload) {
  const auto stream = traces::OpenWorkload(workload);
  const traces::TraceStatistics s = traces::Measure(*stream);
  fmt::print("{}\n", workload.path);
  fmt::print("  requests         {}\n", s.num_requests);
  fmt::print("  span             {:.3f} s, from {:.3f} s on\n", s.span.value(),
             s.first_arrival.seconds());
  fmt::print("  rate             {:.4f} requests/s\n", s.rate_per_s);
  fmt::print(
      "  arrival ties     {} requests share their predecessor's time; {} distinct times, at most "
      "{} at one\n",
      s.num_ties, s.num_ticks, s.largest_tick);
  fmt::print("  burstiness       {:.2f} (coefficient of variation of the gaps; Poisson is 1)\n",
             s.gap_cv);
  PrintLengths("prompt tokens", s.prompt);
  PrintLengths("output tokens", s.output);
  return kDone;
}

int Write(const traces::Workload& workload, const po::variables_map& values) {
  const std::string out = values["out"].as<std::string>();
  if (out.empty()) Reject("--out is missing", "the file to write");
  traces::WriteOptions options;
  const auto format = traces::FormatByName(values["to"].as<std::string>());
  if (!format)
    Reject("unknown format '" + values["to"].as<std::string>() + "'", "sparseserve or mooncake");
  options.format = *format;
  const auto stream = traces::OpenWorkload(workload);
  const std::int64_t count = traces::WriteTrace(*stream, out, options);
  fmt::print("{} requests written to {}\n", count, out);
  return kDone;
}

}  // namespace

int Trace(const Arguments& arguments) {
  po::options_description options = CommonOptions();
  options.add_options()("out", Text("FILE"), "file to write")(
      "to", Text("FORMAT", "sparseserve"), "format to write: sparseserve or mooncake")(
      "set", Texts("KEY=VALUE"), "a key of the workload, e.g. num_requests=100 (repeatable)")(
      "seed", Text("N", "1"), "of generated lengths and arrivals");
  po::options_description hidden;
  hidden.add_options()("action", Text(""))("what", Text(""));
  po::options_description all;
  all.add(options).add(hidden);
  const po::variables_map values = Parse(arguments, all, {"action", "what"}, "trace");
  if (values.count("help") != 0) {
    std::cout << kUsage << options << kExamples;
    return kDone;
  }
  const std::string action = values["action"].as<std::string>();
  const std::string what = values["what"].as<std::string>();
  if (action.empty()) Reject("nothing to do", "info, convert or generate");
  if (what.empty())
    Reject("'" + action + "' of what?",
           action == "generate" ? "longbench or synthetic" : "a trace file");
  if (action == "info") return PrintInfo(ReadOptions("trace", what, values));
  if (action == "convert") return Write(ReadOptions("trace", what, values), values);
  if (action == "generate" && what != "longbench" && what != "synthetic")
    Reject("no generator is called '" + what + "'", "longbench or synthetic");
  if (action == "generate") return Write(ReadOptions(what, "", values), values);
  Reject("unknown action '" + action + "'", "info, convert or generate");
}

}  // namespace sparseserve::cli
