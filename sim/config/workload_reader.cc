#include "sim/config/workload_reader.h"

#include <filesystem>
#include <span>

namespace sparseserve::config {
namespace {

using traces::ArrivalKind;
using traces::LengthKind;
using traces::WorkloadSource;

constexpr EnumName<WorkloadSource> kSources[] = {{"trace", WorkloadSource::kTrace},
                                                 {"longbench", WorkloadSource::kLongBench},
                                                 {"synthetic", WorkloadSource::kSynthetic}};
constexpr EnumName<ArrivalKind> kArrivals[] = {{"as-recorded", ArrivalKind::kAsRecorded},
                                               {"constant", ArrivalKind::kConstant},
                                               {"poisson", ArrivalKind::kPoisson},
                                               {"gamma", ArrivalKind::kGamma}};
constexpr EnumName<traces::Tokenizer> kTokenizers[] = {{"llama2", traces::Tokenizer::kLlama2},
                                                       {"llama3", traces::Tokenizer::kLlama3}};
constexpr EnumName<traces::OutputLengths> kOutputs[] = {
    {"natural", traces::OutputLengths::kNatural},
    {"gen-cap", traces::OutputLengths::kGenerationCap}};
constexpr EnumName<traces::Mix> kMixes[] = {{"tasks", traces::Mix::kTasks},
                                            {"samples", traces::Mix::kSamples}};
constexpr EnumName<LengthKind> kLengths[] = {{"constant", LengthKind::kConstant},
                                             {"uniform", LengthKind::kUniform},
                                             {"normal", LengthKind::kNormal},
                                             {"lognormal", LengthKind::kLogNormal},
                                             {"exponential", LengthKind::kExponential}};

void ReadArrivals(MapReader& reader, bool generated, traces::ArrivalOptions& arrivals) {
  const std::span<const EnumName<ArrivalKind>> kinds(kArrivals);
  arrivals.kind = generated ? ArrivalKind::kPoisson : ArrivalKind::kAsRecorded;
  reader.OptionalEnum(
      "arrivals", arrivals.kind, generated ? kinds.subspan(1) : kinds,
      {.doc = generated ? "arrival process" : "a trace's own times, or a process that draws them"});
  const Field rate{.doc = "requests per second, in the mean",
                   .min = 1e-6,
                   .max = 1e9,
                   .real = RealKind::kPerSecond};
  if (arrivals.kind == ArrivalKind::kAsRecorded) {
    if (reader.Has("rate")) {
      reader.AddProblem("rate", {"recorded arrivals have their own rate", "",
                                 "use `speed` to scale it, or `arrivals: poisson`"});
    }
    double ignored = 0;
    if (reader.Has("rate")) reader.Optional("rate", ignored, rate);
  } else {
    reader.Required("rate", arrivals.rate_per_s, rate);
  }
  reader.Optional("cv", arrivals.cv,
                  {.doc = "gamma: deviation of the gaps over their mean", .min = 0.01, .max = 100});
}

void ReadLengths(MapReader& parent, const char* key, traces::LengthDistribution& lengths) {
  MapReader reader = parent.OptionalMap(key, "synthetic: distribution of the lengths, in tokens");
  reader.OptionalEnum("kind", lengths.kind, kLengths, {.doc = "kind of distribution"});
  reader.Optional("mean", lengths.mean,
                  {.doc = "tokens; not used by uniform", .min = 1, .max = 1e9});
  reader.Optional("standard_deviation", lengths.standard_deviation,
                  {.doc = "tokens; normal and lognormal", .max = 1e9});
  reader.Optional("min", lengths.min, {.doc = "shortest", .min = 1, .max = 1e9});
  reader.Optional("max", lengths.max, {.doc = "longest", .min = 1, .max = 1e9});
  if (lengths.min > lengths.max) {
    reader.AddProblem(reader.Has("min") ? "min" : "max", {"min is above max", "min <= max", ""});
  }
}

constexpr EnumName<bool> kWindows[] = {{"first", false}, {"random", true}};

void ReadTrace(MapReader& reader, traces::Workload& workload) {
  reader.Required("path", workload.path, {.doc = "trace: the file; relative to this file"});
  std::string format = "auto";
  reader.Optional("format", format, {.doc = "trace: its format", .one_of = traces::FormatNames()});
  if (const auto known = traces::FormatByName(format)) workload.read.format = *known;
  reader.Optional("max_bad_rows", workload.read.max_bad_rows,
                  {.doc = "trace: malformed rows to skip and count"});
  reader.Optional("mooncake_block_tokens", workload.read.mooncake_block_tokens,
                  {.doc = "trace: prompt tokens per entry of hash_ids", .min = 1});
  reader.Optional("shift_to_zero", workload.read.shift_to_zero,
                  {.doc = "trace: the first request arrives at 0"});
  reader.OptionalEnum(
      "window", workload.random_window, kWindows,
      {.doc = "trace: which num_requests, the first ones or successive ones that the "
              "seed chooses"});
  reader.Optional("spread_ties", workload.spread_ties,
                  {.doc = "trace: spread the requests of one recorded tick up to the next"});
  reader.Optional("speed", workload.speed,
                  {.doc = "divides recorded times; 2 doubles the rate", .min = 1e-6, .max = 1e6});
}

void ReadLongBench(MapReader& reader, const std::string& data_root,
                   traces::LongBenchOptions& options) {
  options.table = "traces/longbench_lengths.csv";
  reader.Optional("table", options.table,
                  {.doc = "longbench: lengths per sample; relative to the directory of --data"});
  if (options.table.front() != '/') {
    options.table = (std::filesystem::path(data_root) / options.table).lexically_normal().string();
  }
  reader.Optional("tasks", options.tasks, {.doc = "longbench: tasks to draw from"});
  reader.OptionalEnum("tokenizer", options.tokenizer, kTokenizers,
                      {.doc = "longbench: whose token counts"});
  reader.OptionalEnum("output", options.output, kOutputs,
                      {.doc = "longbench: what a model wrote, or the task's generation cap"});
  reader.OptionalEnum("mix", options.mix, kMixes,
                      {.doc = "longbench: tasks or samples equally likely"});
}

}  // namespace

void ReadWorkload(MapReader& root, std::uint64_t seed, const std::string& data_root,
                  traces::Workload& workload) {
  MapReader reader = root.Map("workload", "the requests");
  if (!reader.RequiredEnum("source", workload.source, kSources,
                           {.doc = "a recorded trace or a generator"})) {
    return reader.Ignore();
  }
  const bool generated = workload.source != WorkloadSource::kTrace;
  ReadArrivals(reader, generated, workload.arrivals);
  workload.num_requests = generated ? 1000 : 0;
  reader.Optional("num_requests", workload.num_requests,
                  {.doc = generated ? "how many" : "the first so many; 0: all",
                   .min = generated ? 1.0 : 0.0,
                   .max = 1e9});
  reader.Optional("max_prompt", workload.max_prompt,
                  {.doc = "longer prompts are cut to it; 0: no cap"});
  reader.Optional("max_output", workload.max_output,
                  {.doc = "longer outputs are cut to it; 0: no cap"});
  reader.Optional("drop_longer", workload.drop_longer,
                  {.doc = "leave longer requests out instead of cutting them"});
  workload.seed = seed;
  switch (workload.source) {
    case WorkloadSource::kTrace:
      ReadTrace(reader, workload);
      break;
    case WorkloadSource::kLongBench:
      ReadLongBench(reader, data_root, workload.longbench);
      workload.longbench.arrivals = workload.arrivals;
      workload.longbench.num_requests = workload.num_requests;
      workload.longbench.seed = seed;
      break;
    case WorkloadSource::kSynthetic:
      ReadLengths(reader, "prompt", workload.synthetic.prompt);
      ReadLengths(reader, "output", workload.synthetic.output);
      workload.synthetic.arrivals = workload.arrivals;
      workload.synthetic.num_requests = workload.num_requests;
      workload.synthetic.seed = seed;
      break;
  }
}

}  // namespace sparseserve::config
