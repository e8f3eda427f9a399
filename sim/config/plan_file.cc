#include "sim/config/plan_file.h"

#include <fmt/format.h>

#include <algorithm>

namespace sparseserve::config {
namespace {

using plan::SloDefinition;

constexpr EnumName<SloDefinition> kDefinitions[] = {{"vllm", SloDefinition::kVllm},
                                                    {"distserve", SloDefinition::kDistServe},
                                                    {"sarathi", SloDefinition::kSarathi}};

void ReadSlo(MapReader& root, PlanFile& file) {
  MapReader reader = root.Map("slo", "what has to hold; 0: no such limit");
  plan::Slo& slo = file.slo;
  reader.RequiredEnum(
      "definition", slo.definition, kDefinitions,
      {.doc = "vllm: a share of requests meets all limits; distserve: the same with "
              "ttft and tpot; sarathi: P99 TBT and scheduling delay"});
  const bool sarathi = slo.definition == SloDefinition::kSarathi;
  std::int64_t num_limits = 0;
  const auto read = [&](const char* key, std::optional<Seconds>& limit, bool applies,
                        const char* doc) {
    Seconds value(0);
    reader.Optional(key, value, {.doc = doc});
    if (value <= Seconds(0)) return;
    if (!applies) {
      reader.AddProblem(key, {"does not belong to this definition", "",
                              sarathi ? "sarathi has tbt_p99 and delay_*" : "see `definition`"});
    }
    limit = value;
    ++num_limits;
  };
  const bool vllm = slo.definition == SloDefinition::kVllm;
  read("ttft", slo.per_request.ttft, !sarathi, "time to first token of a request");
  read("tpot", slo.per_request.tpot, !sarathi, "mean time per further token of a request");
  read("e2el", slo.per_request.e2el, vllm, "end-to-end latency of a request");
  reader.Optional("attainment", slo.attainment,
                  {.doc = "share of requests that must meet the limits",
                   .positive = true,
                   .real = RealKind::kFraction});
  read("tbt_p99", slo.tbt_p99, sarathi, "P99 of the gaps between tokens");
  double iterations = 0;
  reader.Optional("tbt_p99_decode_iterations", iterations,
                  {.doc = "the same, as a multiple of the unloaded median gap of the first system",
                   .max = 1e6});
  if (iterations > 0) {
    if (!sarathi)
      reader.AddProblem("tbt_p99_decode_iterations",
                        {"does not belong to this definition", "", ""});
    file.tbt_p99_decode_iterations = iterations;
    ++num_limits;
  }
  read("delay_mean", slo.delay_mean, sarathi, "mean wait until first scheduled");
  read("delay_p95", slo.delay_p95, sarathi, "its P95");
  read("delay_p99", slo.delay_p99, sarathi, "its P99");
  if (num_limits == 0) reader.AddProblem("", {"no limit is set", "", "for example `ttft: 2s`"});
}

void ReadSearch(MapReader& root, PlanFile& file) {
  MapReader reader = root.OptionalMap("search", "how the highest rate is searched");
  reader.Optional("precision", file.precision,
                  {.doc = "distance of neighbouring rates", .min = 1e-4, .max = 0.5});
  reader.Optional("seeds", file.seeds, {.doc = "searches per candidate", .min = 1, .max = 100});
  reader.Optional("verify_seeds", file.verify_seeds,
                  {.doc = "other seeds that verify a choice", .min = 1, .max = 100});
  reader.Optional("verify", file.num_verified,
                  {.doc = "how many of the ranking are verified", .min = 1, .max = 1000});
  double error = 0;
  reader.Optional(
      "calibration_error", error,
      {.doc = "relative error of operation times; 0: the largest hold-out median of the "
              "calibration, or where it has none the assumption of 0.15",
       .max = 1});
  if (error > 0) file.calibration_error = error;
}

void ReadPrices(MapReader& root, PlanFile& file) {
  MapReader reader = root.OptionalMap(
      "prices", "per GPU and hour by machine, in any currency; of all machines or none");
  for (const std::string& machine : reader.Keys()) {
    double price = 0;
    reader.Required(machine, price, {.doc = "price", .positive = true});
    file.prices[machine] = price;
  }
}

// The error of operation times, and where that figure comes from.
void DescribeError(const PlanFile& file, const calibration::Record& record,
                   plan::Candidate& candidate) {
  if (file.calibration_error) {
    candidate.calibration_error = *file.calibration_error;
    candidate.error_source = "stated in the plan";
    return;
  }
  for (const auto& [name, curve] : record.operations) {
    if (!curve.holdout_error || curve.holdout_error->points == 0) continue;
    candidate.calibration_error =
        std::max(candidate.calibration_error, curve.holdout_error->median);
    candidate.error_source = "largest hold-out median of " + record.name;
  }
  if (candidate.error_source.empty()) {
    candidate.calibration_error = kAssumedCalibrationError;
    candidate.error_source = "assumed: " + record.name + " has no held-out measurement";
  }
}

void AddCandidates(const std::vector<std::size_t>& values, const SourceLoc& prices_at,
                   PlanFile& file) {
  const Experiment experiment = file.VariationOf({values, 0}).Load();
  for (std::size_t s = 0; s < experiment.systems.size(); ++s) {
    const serving::SystemConfig& system = experiment.systems[s];
    file.candidates.push_back({values, s});
    plan::Candidate& candidate = file.described.emplace_back();
    for (std::size_t a = 0; a < values.size(); ++a)
      candidate.labels.push_back(file.axes[a].values[values[a]].label);
    candidate.labels.push_back(system.choice.name);
    candidate.model = system.model.name;
    candidate.machine = system.machine.name;
    candidate.system = system.choice.name;
    candidate.gpus_per_replica = system.tensor_parallel * system.replicas;
    const auto price = file.prices.find(system.machine.name);
    if (price != file.prices.end()) {
      candidate.price_per_gpu_hour = price->second;
    } else if (!file.prices.empty()) {  // by cost and by GPUs at once nothing can be ranked
      std::vector<std::string> priced;
      for (const auto& [machine, value] : file.prices) priced.push_back(machine);
      const std::string close = ClosestMatch(system.machine.name, priced);
      throw InputError({prices_at, "prices",
                        "no price of '" + system.machine.name + "', which the plan compares",
                        "a price for every machine, or none at all",
                        close.empty() ? "" : "is '" + close + "' meant to be it?"});
    }
    DescribeError(file, system.calibration, candidate);
  }
}

}  // namespace

std::vector<std::string> PlanFile::AxisNames() const {
  std::vector<std::string> names;
  for (const Axis& axis : axes) names.push_back(axis.name);
  names.emplace_back(kSystemAxis);
  return names;
}

Variation PlanFile::VariationOf(const Place& place) const {
  Variation variation = base;
  for (std::size_t a = 0; a < axes.size(); ++a) variation.Set(axes[a].values[place.values[a]]);
  return variation;
}

PlanFile LoadPlanFile(const std::string& path, const std::vector<std::string>& set,
                      const std::string& data_root, Schema* schema) {
  const Node root = LoadYamlFile(path);
  MapReader reader(root, schema);
  PlanFile file;
  std::string experiment;
  reader.Required("name", file.name, {.doc = "name of the plan; results go to out/NAME"});
  reader.Required("experiment", experiment,
                  {.doc = "workload, model and systems; relative to this file"});
  const Node* fixed = reader.Raw("set", "values for all candidates: {workload.num_requests: 500}");
  if (fixed != nullptr && fixed->kind != NodeKind::kMap)
    reader.AddProblem("set", {"no mapping", "{workload.num_requests: 500}", ""});
  reader.Optional("demand", file.demand,
                  {.doc = "rate to be served by all replicas; 0: the workload's own",
                   .max = 1e6,
                   .real = RealKind::kPerSecond});
  ReadSlo(reader, file);
  file.axes = ReadAxes(reader, "axes");
  ReadPrices(reader, file);
  ReadSearch(reader, file);
  reader.Finish();

  file.base = Variation(experiment, PlaceOf(root, "experiment"), data_root);
  file.base.Set("name", file.name);
  if (fixed != nullptr) {
    for (std::size_t i = 0; i < fixed->items.size(); ++i)
      file.base.Set(fixed->keys[i].text, fixed->items[i]);
  }
  for (const std::string& assignment : set) {
    const std::string key = assignment.substr(0, assignment.find('='));
    if (key != "slo" && !key.starts_with("slo.")) continue;
    throw InputError({{"--set " + key, 0, 0},
                      "",
                      "the plan's own service level is what counts",
                      "a key of the experiment other than slo",
                      "change slo in " + path});
  }
  ApplyAll(set, file.axes, file.base);
  // Where the plan has no limit, neither has the experiment.
  const auto limit = [&](const char* key, const std::optional<Seconds>& value) {
    file.base.Set(key, fmt::format("{}s", value.value_or(Seconds(0)).value()));
  };
  limit("slo.ttft", file.slo.per_request.ttft);
  limit("slo.tpot", file.slo.per_request.tpot);
  limit("slo.e2el", file.slo.per_request.e2el);
  std::vector<std::size_t> values(file.axes.size(), 0);
  do {
    AddCandidates(values, PlaceOf(root, "prices"), file);
  } while (AdvanceAxes(file.axes, values));
  return file;
}

void SetRate(Variation& variation, const Experiment& experiment, double rate, double recorded) {
  if (experiment.workload.arrivals.kind == traces::ArrivalKind::kAsRecorded) {
    variation.Set("workload.speed", fmt::format("{}", rate / recorded));
  } else {
    variation.Set("workload.rate", fmt::format("{}/s", rate));
  }
}

}  // namespace sparseserve::config
