// An experiment file (configs/**.yaml): which systems, on which machine, under which workload.
//
// Every key, its unit and default: configs/README.md, which a test compares with what is read here.
#pragma once

#include <string>
#include <vector>

#include "sim/config/yaml_node.h"
#include "sim/config/yaml_reader.h"
#include "sim/metrics/summary.h"
#include "sim/serving/system.h"
#include "traces/workload.h"

namespace sparseserve::config {

// A file whose content decides the result, by the key that names it.
struct InputFile {
  std::string key;  // "model", "systems[0]", "workload.path"
  std::string path;
};

struct Experiment {
  std::string name;
  std::vector<serving::SystemConfig> systems;  // equal but for `choice`
  traces::Workload workload;
  metrics::ServiceLevel slo;
  std::uint64_t seed = 1;
  std::int64_t warmup_requests = 0;  // the first so many count in no latency and no rate
  std::vector<InputFile> inputs;     // besides the experiment's own file
  Node source;                       // the file with the overrides applied
  Node resolved;  // all values in force, defaults included, paths absolute; it gives the same run
};

// Reads `path` after applying the `overrides` ("a.b=value") and everything that it names: systems,
// model, machine, calibration. `data_root` holds configs/systems, models/ and calibration/. Throws
// InputError. `schema`, if any, receives the keys.
Experiment LoadExperiment(const std::string& path, const std::vector<std::string>& overrides,
                          const std::string& data_root, Schema* schema = nullptr);

// The same from a tree that was read already; places in messages are those of the tree.
Experiment LoadExperiment(Node root, const std::string& data_root, Schema* schema = nullptr);

// Reads a system file: configs/systems/NAME.yaml.
serving::SystemChoice LoadSystem(const std::string& path, Schema* schema = nullptr);

// Throws InputError when the warm-up leaves nothing of a workload of `num_requests`.
void CheckWarmup(const Experiment& experiment, std::int64_t num_requests);

// Where `key` ("memory.kv_pool") stands in an experiment, else the closest key around it.
SourceLoc PlaceOf(const Node& root, std::string_view key);
// `error`; if it names a key and no file (what shows only when the parts meet: a prompt that fits
// nowhere), then with the place of the key.
InputError Locate(const InputError& error, const Node& root);

// Why a model cannot be spread over so many GPUs of a machine; empty if it can.
std::string ExplainMisfit(const llm::Architecture& model, const hardware::Machine& machine,
                          std::int64_t tensor_parallel);

}  // namespace sparseserve::config
