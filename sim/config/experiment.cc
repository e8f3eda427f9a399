#include "sim/config/experiment.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "models/selection/overlap_curve.h"
#include "sim/config/calibration_loader.h"
#include "sim/config/machine_loader.h"
#include "sim/config/model_loader.h"
#include "sim/config/name_resolver.h"
#include "sim/config/workload_reader.h"
#include "sim/kvcache/eviction_policy.h"
#include "sim/serving/router.h"

namespace sparseserve::config {
namespace {

using serving::Attention;
using serving::KvHome;
using serving::SystemConfig;

constexpr EnumName<Attention> kAttentions[] = {{"full", Attention::kFull},
                                               {"sparse", Attention::kSparse}};
constexpr EnumName<KvHome> kKvHomes[] = {{"hbm", KvHome::kHbm}, {"dram", KvHome::kDram}};
constexpr EnumName<cost::LoadMethod> kLoadMethods[] = {
    {"memcpy", cost::LoadMethod::kMemcpyPerBlock}, {"flash", cost::LoadMethod::kFlashH2d}};
constexpr EnumName<cost::SaveMethod> kSaveMethods[] = {
    {"memcpy", cost::SaveMethod::kMemcpyPerBlock},
    {"direct", cost::SaveMethod::kGpuDirect},
    {"flash", cost::SaveMethod::kFlashD2h}};
constexpr EnumName<bool> kBatchControls[] = {{"none", false}, {"working-set", true}};
constexpr EnumName<scheduler::PrefillMode> kPrefillModes[] = {
    {"chunked", scheduler::PrefillMode::kChunked},
    {"layer-segmented", scheduler::PrefillMode::kLayerSegmented}};
constexpr EnumName<bool> kFidelities[] = {{"exact", false}, {"sampled", true}};
constexpr EnumName<selection::Granularity> kGranularities[] = {
    {"kv-head", selection::Granularity::kKvHead}, {"layer", selection::Granularity::kLayer}};

struct Names {
  std::string model, machine, calibration;
  std::vector<std::string> systems;
};

void ReadHardware(MapReader& root, Names& names, SystemConfig& system) {
  MapReader reader = root.Map("hardware", "the machine that serves");
  reader.Required("machine", names.machine, {.doc = "name in models/hardware/configs, or a path"});
  reader.Optional(
      "calibration", names.calibration,
      {.doc = "name in calibration/devices, or a path; empty: the one that the machine names"});
  reader.Optional("time_scale", system.time_scale,
                  {.doc = "a what-if: every operation takes so many times as long, host work apart",
                   .min = 0.01,
                   .max = 100});
  reader.Optional("link_scale", system.link_scale,
                  {.doc = "rates of the host link, times this; a what-if, in simulations only",
                   .max = 1000,
                   .positive = true});
  reader.Optional("tensor_parallel", system.tensor_parallel,
                  {.doc = "GPUs of one replica", .min = 1, .max = 64});
  reader.Optional("replicas", system.replicas,
                  {.doc = "copies of the model", .min = 1, .max = 1024});
  reader.Optional("router", system.router,
                  {.doc = "which replica gets a request", .one_of = serving::RouterNames()});
}

void ReadSelection(MapReader& root, SystemConfig& system) {
  MapReader reader = root.OptionalMap(
      "selection", "which blocks a query attends to, in systems with sparse attention");
  std::string preset = system.selection.name;
  reader.Optional("policy", preset,
                  {.doc = "preset that the other keys start from",
                   .one_of = selection::SelectionPresetNames()});
  selection::SelectionPolicy& p = system.selection;
  p = selection::SelectionPreset(preset);
  reader.Optional("block_tokens", p.block_tokens,
                  {.doc = "tokens of one KV block", .min = 1, .max = 65536});
  reader.Optional("budget_tokens", p.budget_tokens, {.doc = "tokens selected per query", .min = 1});
  reader.OptionalEnum("granularity", p.granularity, kGranularities,
                      {.doc = "one choice per KV head, or one for all heads of a layer"});
  reader.Optional("metadata_vectors", p.metadata_vectors,
                  {.doc = "metadata vectors of head_dim per block", .max = 64});
  reader.Optional("sink_blocks", p.sink_blocks,
                  {.doc = "first blocks, always selected", .max = 65536});
  reader.Optional("recent_blocks", p.recent_blocks,
                  {.doc = "last blocks, always selected; the partly filled one included",
                   .min = 1,
                   .max = 65536});
  reader.Optional("dense_layers", p.dense_layers,
                  {.doc = "first layers that attend to everything", .max = 4096});
  reader.Optional("reuse_interval", p.reuse_interval,
                  {.doc = "steps that share one choice", .min = 1, .max = 1024});
}

void ReadLocality(MapReader& root, SystemConfig& system) {
  MapReader reader = root.OptionalMap("locality", "how selections overlap from step to step");
  std::string preset = selection::LocalityPresetNames().front();
  reader.Optional(
      "preset", preset,
      {.doc = "preset that the other keys start from", .one_of = selection::LocalityPresetNames()});
  selection::LocalityConfig& locality = system.locality;
  locality = selection::LocalityPreset(preset);
  std::vector<MapReader> points = reader.Maps("overlap", "overlap curve, instead of the preset's");
  if (!points.empty()) locality.overlap.clear();
  for (MapReader& point : points) {
    selection::OverlapPoint& p = locality.overlap.emplace_back();
    point.Required("window", p.window,
                   {.doc = "steps back", .min = 1, .max = selection::kMaxWindow});
    point.Required(
        "overlap", p.overlap,
        {.doc = "share of the selected blocks seen in the window", .real = RealKind::kFraction});
    point.Optional("context", p.context,
                   {.doc = "tokens of the context it was measured at; 0: the same at every one"});
  }
  reader.Optional("trace", system.selection_trace,
                  {.doc = "recorded selections to replay instead (simulate --record-selection); "
                          "relative to this file"});
  reader.Optional("skew", locality.skew,
                  {.doc = "exponent of the popularity of fresh blocks; 0: uniform", .max = 0.9});
  reader.Optional("per_layer_variation", locality.per_layer_variation,
                  {.doc = "spread of the overlap over layers", .real = RealKind::kFraction});
  reader.Optional(
      "draw", locality.draw,
      {.doc = "another number: other selections of the same locality", .max = 1'000'000});
}

void ReadScheduler(MapReader& root, SystemConfig& system) {
  MapReader reader = root.OptionalMap("scheduler", "continuous batching");
  scheduler::SchedulerConfig& s = system.scheduling;
  reader.Optional("max_requests", s.max_requests,
                  {.doc = "R_max: requests admitted at once", .min = 1, .max = 65536});
  reader.Optional("max_batch_tokens", s.max_batch_tokens,
                  {.doc = "T_max: tokens of one iteration; the chunk of chunked prefill",
                   .min = 1,
                   .max = 1 << 24});
  reader.Optional(
      "max_inject_token_layers", s.max_inject_token_layers,
      {.doc = "prefill work of one iteration, tokens x layers; 0: max_batch_tokens x layers"});
}

void ReadMemory(MapReader& root, SystemConfig& system) {
  MapReader reader = root.OptionalMap("memory", "how HBM and DRAM are divided");
  serving::MemoryConfig& m = system.memory;
  reader.Optional("hbm_utilization", m.hbm_utilization,
                  {.doc = "share of HBM that the engine may use",
                   .positive = true,
                   .real = RealKind::kFraction});
  reader.Optional("framework", m.framework, {.doc = "HBM of CUDA context and libraries"});
  reader.Optional("kv_pool", m.kv_pool,
                  {.doc = "HBM for KV per GPU; 0: what weights and activations leave"});
  reader.Optional(
      "dram_utilization", m.dram_utilization,
      {.doc = "share of the host's DRAM for KV", .positive = true, .real = RealKind::kFraction});
  reader.Optional("dram", m.dram,
                  {.doc = "DRAM for KV of one replica; 0: an equal share of the host"});
  reader.Optional("eviction", m.eviction,
                  {.doc = "which unit leaves HBM", .one_of = kvcache::EvictionPolicyNames()});
  std::vector<std::string> replayable = kvcache::EvictionPolicyNames();
  replayable.emplace_back("opt");
  reader.Optional(
      "replay_evictions", m.replay_evictions,
      {.doc = "policies that replay the run's accesses afterwards; opt is Belady's bound",
       .one_of = replayable});
  reader.Optional("working_set_window", m.working_set_window,
                  {.doc = "w: steps whose selections make the working set", .min = 1, .max = 255});
}

void ReadFidelity(MapReader& root, serving::FidelityConfig& fidelity) {
  MapReader reader = root.OptionalMap(
      "fidelity", "how closely the KV cache of systems with KV in DRAM is simulated");
  reader.OptionalEnum("mode", fidelity.sampled, kFidelities,
                      {.doc = "track every unit, or those of some lanes; a lane is a KV head of a "
                              "layer"});
  reader.Optional(
      "share", fidelity.share,
      {.doc = "sampled: share of lanes and capacity, rounded down to what divides heads "
              "and layers evenly",
       .positive = true,
       .real = RealKind::kFraction});
}

void ReadServiceLevel(MapReader& root, metrics::ServiceLevel& slo) {
  MapReader reader =
      root.OptionalMap("slo", "limits a request must meet to count for goodput; 0: none");
  const auto read = [&](const char* key, std::optional<Seconds>& limit, const char* doc) {
    Seconds value(0);
    reader.Optional(key, value, {.doc = doc});
    if (value > Seconds(0)) limit = value;
  };
  read("ttft", slo.ttft, "time to first token");
  read("tpot", slo.tpot, "mean time per output token after the first");
  read("e2el", slo.e2el, "end-to-end latency");
}

void LoadNamed(const Names& names, const std::string& data_root, const Node& root,
               SystemConfig& system, std::vector<InputFile>& inputs) {
  const std::string model_path =
      ResolveName(Catalogue::kModel, names.model, data_root, PlaceOf(root, "model"), "model");
  system.model = LoadModel(model_path);
  const SourceLoc machine_at = PlaceOf(root, "hardware.machine");
  const std::string machine_path =
      ResolveName(Catalogue::kMachine, names.machine, data_root, machine_at, "hardware.machine");
  system.machine = LoadMachine(machine_path);
  std::string calibration_path;
  if (!names.calibration.empty()) {
    calibration_path = ResolveName(Catalogue::kCalibration, names.calibration, data_root,
                                   PlaceOf(root, "hardware.calibration"), "hardware.calibration");
    system.calibration = LoadCalibration(calibration_path);
    CheckMachine(system.calibration, system.machine);
  } else {
    // A path in a machine's file is relative to that file.
    const std::string& own = system.machine.calibration;
    calibration_path =
        ResolveName(Catalogue::kCalibration, own, data_root,
                    IsPath(own) ? SourceLoc{machine_path, 0, 0} : machine_at, "hardware.machine");
    system.calibration = LoadCalibration(calibration_path);
  }
  inputs.push_back({"model", model_path});
  inputs.push_back({"hardware.machine", machine_path});
  inputs.push_back({"hardware.calibration", calibration_path});
}

void AddWorkloadInputs(const traces::Workload& workload, const std::string& selection_trace,
                       std::vector<InputFile>& inputs) {
  if (!workload.path.empty()) inputs.push_back({"workload.path", workload.path});
  if (workload.source == traces::WorkloadSource::kLongBench)
    inputs.push_back({"workload.table", workload.longbench.table});
  if (!selection_trace.empty()) inputs.push_back({"locality.trace", selection_trace});
}

// A relative path in a file is relative to that file; one from the command line to the working
// directory.
void ResolvePath(const Node& root, const char* outer, const char* key, std::string& path) {
  const Node* map = root.Find(outer);
  const Node* node = map != nullptr ? map->Find(key) : nullptr;
  if (path.empty() || node == nullptr || node->where.file.starts_with("--set ")) return;
  path = (std::filesystem::path(node->where.file).parent_path() / path).lexically_normal().string();
}

// What one value alone cannot show.
void CheckTogether(const SystemConfig& system) {
  const std::string misfit = ExplainMisfit(system.model, system.machine, system.tensor_parallel);
  if (!misfit.empty()) throw InputError({{}, "hardware.tensor_parallel", misfit, "", ""});
  if (!system.selection_trace.empty() &&
      !std::filesystem::is_regular_file(system.selection_trace)) {
    throw InputError({{},
                      "locality.trace",
                      "'" + system.selection_trace + "' is no file",
                      "a recording made by simulate --record-selection",
                      ""});
  }
  if (system.fidelity.sampled && !system.selection_trace.empty()) {
    throw InputError({{},
                      "fidelity.mode",
                      "a recording (locality.trace) cannot be replayed in sampled lanes",
                      "exact",
                      ""});
  }
  const std::int64_t inject = system.scheduling.max_inject_token_layers;
  if (inject != 0 && inject < system.model.num_layers) {
    throw InputError({{},
                      "scheduler.max_inject_token_layers",
                      std::to_string(inject) + " does not take one token through the " +
                          std::to_string(system.model.num_layers) + " layers",
                      "0, or at least the number of layers",
                      ""});
  }
  selection::Validate(system.selection);
  selection::OverlapCurves{system.locality.overlap};
}

// A name becomes a folder of results.
void CheckName(MapReader& reader, const std::string& name) {
  if (!reader.Has("name") ||
      (name != "." && name != ".." && !name.empty() && name.find('/') == std::string::npos)) {
    return;
  }
  reader.AddProblem("name", {"'" + name + "' cannot name a folder", "a word without '/'", ""});
}

// Makes the paths of `resolved` independent of the file they stood in; names stay names.
void MakePathsAbsolute(const Node& root, const Experiment& experiment, const SystemConfig& base,
                       Node& resolved) {
  namespace fs = std::filesystem;
  const auto absolute = [](const std::string& path) {
    return Node::Scalar(fs::absolute(path).lexically_normal().string());
  };
  const auto place = [&](Node* value, Catalogue catalogue, const SourceLoc& where) {
    if (value == nullptr || !IsPath(value->scalar)) return;
    *value = absolute(ResolveName(catalogue, value->scalar, "", where));
  };
  place(resolved.Find("model"), Catalogue::kModel, PlaceOf(root, "model"));
  Node& hardware = *resolved.Find("hardware");
  place(hardware.Find("machine"), Catalogue::kMachine, PlaceOf(root, "hardware.machine"));
  place(hardware.Find("calibration"), Catalogue::kCalibration,
        PlaceOf(root, "hardware.calibration"));
  Node& systems = *resolved.Find("systems");
  for (std::size_t i = 0; i < systems.items.size(); ++i) {
    place(&systems.items[i], Catalogue::kSystem, root.Find("systems")->items[i].where);
  }
  if (!experiment.workload.path.empty()) {
    resolved.Find("workload")->Set("path", absolute(experiment.workload.path));
  }
  if (!base.selection_trace.empty()) {
    resolved.Find("locality")->Set("trace", absolute(base.selection_trace));
  }
}

}  // namespace

serving::SystemChoice LoadSystem(const std::string& path, Schema* schema) {
  const Node root = LoadYamlFile(path);
  MapReader reader(root, schema);
  serving::SystemChoice choice;
  reader.Required("name", choice.name, {.doc = "name in results"});
  CheckName(reader, choice.name);
  reader.RequiredEnum("attention", choice.attention, kAttentions,
                      {.doc = "what a query attends to"});
  reader.RequiredEnum("kv_home", choice.kv_home, kKvHomes,
                      {.doc = "where all KV lives; dram makes HBM a cache"});
  reader.OptionalEnum("load", choice.load, kLoadMethods,
                      {.doc = "DRAM to HBM: a copy per block, or FlashH2D"});
  reader.OptionalEnum("save", choice.save, kSaveMethods,
                      {.doc = "HBM to DRAM: a copy per block, a storing kernel, or FlashD2H"});
  reader.OptionalEnum("batch_control", choice.working_set_control, kBatchControls,
                      {.doc = "how a batch is bounded beside max_requests and max_batch_tokens"});
  reader.OptionalEnum("prefill", choice.prefill, kPrefillModes, {.doc = "how a prompt is cut"});
  if (choice.kv_home == KvHome::kHbm) {
    if (choice.working_set_control) {
      reader.AddProblem("batch_control",
                        {"working-set control needs KV at home in DRAM", "", "set kv_home: dram"});
    }
    if (choice.prefill == scheduler::PrefillMode::kLayerSegmented) {
      reader.AddProblem(
          "prefill", {"layer-segmented prefill needs KV at home in DRAM", "", "set kv_home: dram"});
    }
  }
  reader.Finish();
  return choice;
}

Experiment LoadExperiment(const std::string& path, const std::vector<std::string>& overrides,
                          const std::string& data_root, Schema* schema) {
  Node root = LoadYamlFile(path);
  for (const std::string& assignment : overrides) ApplyOverride(root, assignment);
  return LoadExperiment(std::move(root), data_root, schema);
}

Experiment LoadExperiment(Node root, const std::string& data_root, Schema* schema) {
  MapReader reader(root, schema);
  Experiment experiment;
  SystemConfig base;
  Names names;
  reader.Required("name", experiment.name,
                  {.doc = "name of the experiment; results go to out/NAME"});
  CheckName(reader, experiment.name);
  reader.Required("systems", names.systems,
                  {.doc = "names in configs/systems, or paths; each is run"});
  reader.Required("model", names.model, {.doc = "name in models/llm/configs, or a path"});
  ReadHardware(reader, names, base);
  reader.Optional("seed", experiment.seed, {.doc = "of all random streams"});
  reader.Optional(
      "warmup_requests", experiment.warmup_requests,
      {.doc = "the first so many requests count in no latency; rates are then taken from "
              "the end of the warm-up to the last arrival"});
  ReadWorkload(reader, experiment.seed, data_root, experiment.workload);
  ReadSelection(reader, base);
  ReadLocality(reader, base);
  ReadScheduler(reader, base);
  ReadMemory(reader, base);
  ReadFidelity(reader, base.fidelity);
  MapReader engine = reader.OptionalMap("engine", "the serving engine itself");
  engine.Optional(
      "host_overhead", base.host_overhead,
      {.doc = "host work per iteration that the GPU waits for, beside the record's host.*; "
              "an assumption"});
  ReadServiceLevel(reader, experiment.slo);
  const Node* systems = root.Find("systems");
  if (systems != nullptr && systems->kind == NodeKind::kList && systems->items.empty()) {
    reader.AddProblem("systems", {"the list is empty", "at least one system", ""});
  }
  reader.Finish();
  experiment.resolved = reader.Resolved();
  ResolvePath(root, "workload", "path", experiment.workload.path);
  ResolvePath(root, "locality", "trace", base.selection_trace);
  MakePathsAbsolute(root, experiment, base, experiment.resolved);
  base.seed = experiment.seed;
  AddWorkloadInputs(experiment.workload, base.selection_trace, experiment.inputs);
  try {
    LoadNamed(names, data_root, root, base, experiment.inputs);
    CheckTogether(base);
  } catch (const InputError& error) {
    throw Locate(error, root);
  }
  for (std::size_t i = 0; i < names.systems.size(); ++i) {
    const SourceLoc where = systems->items[i].where;
    const std::string key = "systems[" + std::to_string(i) + "]";
    const std::string path =
        ResolveName(Catalogue::kSystem, names.systems[i], data_root, where, key);
    base.choice = LoadSystem(path);
    experiment.inputs.push_back({key, path});
    for (const SystemConfig& other : experiment.systems) {
      if (other.choice.name == base.choice.name) {
        throw InputError({.where = where,
                          .key = key,
                          .what = "'" + base.choice.name + "' is listed twice",
                          .expected = "",
                          .hint = "results go to a folder per name"});
      }
    }
    experiment.systems.push_back(base);
  }
  experiment.source = std::move(root);
  // A trace without a count has to be read to know; whoever runs it does.
  if (experiment.workload.num_requests > 0)
    CheckWarmup(experiment, experiment.workload.num_requests);
  return experiment;
}

void CheckWarmup(const Experiment& experiment, std::int64_t num_requests) {
  if (experiment.warmup_requests == 0 || experiment.warmup_requests < num_requests) return;
  throw InputError({PlaceOf(experiment.source, "warmup_requests"), "warmup_requests",
                    std::to_string(experiment.warmup_requests) + " of " +
                        std::to_string(num_requests) + " requests leave nothing to measure",
                    "fewer than the workload has", ""});
}

SourceLoc PlaceOf(const Node& root, std::string_view key) {
  const Node* node = &root;
  SourceLoc place = root.where;
  while (!key.empty()) {
    const std::string_view step = key.substr(0, key.find('.'));
    key.remove_prefix(std::min(key.size(), step.size() + 1));
    std::size_t i = 0;
    while (i < node->keys.size() && node->keys[i].text != step) ++i;
    if (i == node->keys.size()) return place;
    // A value from the command line or a sweep keeps the key of the file that it replaces.
    const bool is_override = node->items[i].where.file != node->keys[i].where.file;
    place = is_override ? node->items[i].where : node->keys[i].where;
    node = &node->items[i];
  }
  return place;
}

InputError Locate(const InputError& error, const Node& root) {
  if (!error.problem().where.file.empty()) return error;
  InputProblem problem = error.problem();
  problem.where = PlaceOf(root, problem.key);
  return InputError(std::move(problem));
}

std::string ExplainMisfit(const llm::Architecture& model, const hardware::Machine& machine,
                          std::int64_t tensor_parallel) {
  const std::string gpus = std::to_string(tensor_parallel) + " GPUs";
  if (tensor_parallel > machine.num_gpus) {
    return gpus + ", but " + machine.name + " has " + std::to_string(machine.num_gpus) +
           ", and a replica lives in one machine";
  }
  const std::int64_t heads = llm::KvUnitsPerLayer(model);
  if (heads % tensor_parallel != 0 && tensor_parallel % heads != 0) {
    return "the " + std::to_string(heads) + " KV heads of " + model.name + " do not divide among " +
           gpus;
  }
  return "";
}

}  // namespace sparseserve::config
