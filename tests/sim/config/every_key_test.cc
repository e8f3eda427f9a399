// Nothing is modelled but not wired: every key of the schema changes a result on some workload.
//
// The keys are those that the loaders state, so a new key is tested without being named here:
// values follow from its type, and it must change a time of some request in one of the situations
// below. A key that a type cannot guess values for stands in kValues, one that rightly changes no
// time in kChangesNoTime.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "sim/config/experiment.h"
#include "sim/config/machine_loader.h"
#include "sim/core/error.h"
#include "sim/report/summary_json.h"
#include "tests/sim/serving/test_systems.h"
#include "tests/temporary_directory.h"
#include "traces/workload.h"

namespace sparseserve::config {
namespace {

using Overrides = std::vector<std::string>;

const char* const kExperiment = R"(
name: every-key
systems: [vllm-so-ft]
model: tiny.json
hardware: {machine: h100-sxm-pcie5}
workload: {source: synthetic, rate: 20/s, num_requests: 5, prompt: {mean: 3000, max: 9000},
           output: {mean: 12, max: 60}}
)";

struct Situation {
  const char* name;
  Overrides overrides;
};

// Where pressure comes from: together they exercise every mechanism.
const std::vector<Situation> kSituations = {
    {"offload, little HBM", {"memory.kv_pool=80MB", "locality.preset=shadowkv-60"}},
    {"working sets",
     {"systems=[vllm-so-ft-wc]", "memory.kv_pool=120MB", "workload.output.mean=40",
      "workload.rate=1000/s", "locality.preset=shadowkv-60"}},
    {"sampled",
     {"memory.kv_pool=80MB", "locality.preset=shadowkv-60",
      "fidelity={mode: sampled, share: 0.5}"}},
    {"resident, sparse", {"systems=[vllm-s]"}},
    {"resident, little HBM",
     {"systems=[vllm]", "memory.hbm_utilization=0.0635", "workload.rate=1000/s"}},
    {"two GPUs", {"systems=[vllm]", "hardware.tensor_parallel=2"}},
    {"many GPUs",
     {"memory.kv_pool=100MB", "hardware.replicas=4", "workload.num_requests=12",
      "workload.prompt={kind: uniform, min: 1000, max: 4000}", "locality.preset=shadowkv-60"}},
    {"little DRAM", {"memory.dram_utilization=0.00005", "workload.rate=1000/s"}},
    {"fp8",
     {"systems=[vllm]", "model=deepseek-v3.2", "hardware.tensor_parallel=8",
      "hardware.machine=h200-sxm"}},
    {"two replicas",
     {"systems=[vllm]", "hardware.replicas=2", "workload.rate=100/s", "workload.num_requests=20",
      "workload.prompt={kind: uniform, min: 100, max: 9000}"}},
    {"uneven lengths",
     {"systems=[vllm]", "workload.prompt={kind: uniform, min: 100, max: 9000}",
      "workload.output={kind: uniform, min: 2, max: 50}"}},
    {"normal lengths",
     {"systems=[vllm]", "workload.prompt={kind: normal, mean: 5000}",
      "workload.output={kind: normal}", "workload.arrivals=gamma"}},
    {"caps",
     {"systems=[vllm]", "workload.max_prompt=3000", "workload.num_requests=12",
      "workload.prompt={kind: uniform, min: 100, max: 9000}"}},
    {"mooncake",
     {"systems=[vllm]",
      "workload={source: trace, path: traces/samples/mooncake.jsonl, num_requests: 6}"}},
    {"own trace",
     {"systems=[vllm]",
      "workload={source: trace, path: traces/samples/sparseserve.csv, num_requests: 6}"}},
    {"redrawn arrivals",
     {"systems=[vllm]",
      "workload={source: trace, path: traces/samples/mooncake.jsonl, arrivals: gamma, "
      "rate: 5/s, num_requests: 6}"}},
    {"longbench", {"systems=[vllm]", "workload={source: longbench, rate: 5/s, num_requests: 6}"}},
};

// Values that the type does not tell.
const std::map<std::string, std::vector<std::string>> kValues = {
    {"systems", {"[vllm]"}},
    {"model", {"qwen2.5-7b-1m"}},
    {"hardware.machine", {"h200-sxm"}},
    {"hardware.calibration", {"h200-sxm"}},
    {"locality.overlap", {"[{window: 1, overlap: 0.5}]"}},
    {"workload.path", {"traces/samples/vidur.csv"}},
    {"workload.tasks", {"[qasper]"}},
    {"workload.num_requests", {"3"}},
    {"workload.max_prompt", {"300", "3000"}},
    {"workload.max_output", {"3"}},
};

// And why.
const std::map<std::string, std::string> kChangesNoTime = {
    {"name", "names the directory of results"},
    {"warmup_requests", "what is measured of a run"},
    {"slo.ttft", "goodput only"},
    {"slo.tpot", "goodput only"},
    {"slo.e2el", "goodput only"},
    {"memory.replay_evictions", "a figure beside the run"},
    {"hardware.calibration", "a record belongs to one machine, another is refused"},
    {"locality.trace", "SimulationTest.ARecordedSelectionReplaysToTheSameRun"},
    {"workload.table", "a file of other lengths: GeneratorTest"},
    {"workload.max_bad_rows", "lets a run begin or not: ReaderTest"},
    {"workload.format", "what is guessed otherwise: ReaderTest"},
    {"workload.mooncake_block_tokens", "checks hash_ids: MooncakeTest"},
};

// Texts for people, and names.
const std::set<std::string> kNamesOfAMachine = {"name",     "source",    "calibration",
                                                "gpu.name", "link.name", "host.name"};

std::vector<std::string> ValuesFor(const SchemaEntry& entry) {
  if (const auto known = kValues.find(entry.path); known != kValues.end()) return known->second;
  const std::string& type = entry.type;
  if (type == "choice") {
    std::vector<std::string> words;
    std::istringstream in(entry.accepted);
    for (std::string word; in >> word;) {
      std::erase(word, ',');
      if (word != "or") words.push_back(word);
    }
    return words;
  }
  if (type == "boolean") return {"true", "false"};
  if (type == "integer" || type == "tokens")
    return {"1", "2", "4", "6", "16", "64", "512", "2000", "20000", "100000"};
  if (type == "number") return {"0.5", "2", "40", "3000"};
  if (type == "fraction") return {"0.01", "0.25", "0.5", "0.99"};
  if (type == "bytes") return {"100MB", "200MB", "1GB", "2GB", "5GB"};
  if (type == "bytes per second") return {"1GB/s", "20GB/s", "60GB/s", "2TB/s"};
  if (type == "operations per second") return {"100TFLOP/s"};
  if (type == "time") return {"50us", "1ms", "20ms", "2s"};
  if (type == "rate") return {"1/s", "200/s"};
  return {};
}

class EveryKeyTest : public ::testing::Test {
 protected:
  EveryKeyTest() {
    test::WriteFile(path_, kExperiment);
    std::string model = test::ReadFile("models/llm/configs/llama-3.1-8b.json");
    const std::string layers = "\"num_hidden_layers\": 32";
    model.replace(model.find(layers), layers.size(), "\"num_hidden_layers\": 4");
    test::WriteFile(directory_ / "tiny.json", model);
  }

  struct Output {
    std::string times, summary;
  };

  // Nothing when the overrides are refused.
  std::optional<Output> Run(const Overrides& overrides, Schema* schema = nullptr) const {
    try {
      const Experiment e = LoadExperiment(path_, overrides, ".", schema);
      const serving::SystemConfig& system = e.systems.front();
      const auto scan = traces::OpenWorkload(e.workload);
      const serving::WorkloadBounds bounds = serving::ScanWorkload(*scan);
      serving::CheckFeasible(system, bounds);
      CheckWarmup(e, bounds.num_requests);
      metrics::Collector collector(nullptr, e.warmup_requests);
      const auto requests = traces::OpenWorkload(e.workload);
      const serving::RunResult result =
          serving::RunSimulation(system, *requests, e.slo, collector, {});
      std::string summary = report::SummaryJson(result);
      summary.erase(summary.find("\"perf\""));
      return Output{serving::Times(collector.requests()), summary};
    } catch (const InputError& error) {
      refusal_ = error.what();
      return std::nullopt;
    }
  }

  // How the key is set in a situation, beside the situation's own overrides.
  using Setter = std::function<std::optional<std::string>(const std::string& value)>;

  // `file`: the key stands in a file that the experiment names, whatever the situation.
  void Try(const SchemaEntry& entry, bool file, const Setter& set) {
    const std::string& key = entry.path;
    if (alive_.contains(key)) return;
    for (const Situation& situation : kSituations) {
      if (!file && !keys_.at(situation.name).contains(entry.path)) continue;
      const Output& base = *bases_.at(situation.name);
      for (const std::string& value : ValuesFor(entry)) {
        const std::optional<std::string> override_text = set(value);
        if (!override_text) continue;
        Overrides overrides = situation.overrides;
        overrides.push_back(*override_text);
        const std::optional<Output> found = Run(overrides);
        ++runs_;
        if (!found || (found->times == base.times &&
                       (!kChangesNoTime.contains(key) || found->summary == base.summary)))
          continue;
        alive_.insert(key);
        return;
      }
    }
  }

  // The keys of all situations, each once.
  std::vector<SchemaEntry> RunBases() {
    std::vector<SchemaEntry> entries;
    std::set<std::string> seen;
    for (const Situation& situation : kSituations) {
      Schema schema;
      bases_[situation.name] = Run(situation.overrides, &schema);
      EXPECT_TRUE(bases_[situation.name].has_value()) << situation.name << ": " << refusal_;
      for (const SchemaEntry& entry : schema) {
        keys_[situation.name].insert(entry.path);
        if (entry.type.ends_with("mapping") || entry.path.find("[]") != std::string::npos) continue;
        if (seen.insert(entry.path).second) entries.push_back(entry);
      }
    }
    return entries;
  }

  // The text of a flat or two-level YAML file with one value replaced; a new key is added.
  static std::string SetKey(const std::string& text, const std::string& key,
                            const std::string& value) {
    const std::size_t dot = key.find('.');
    const std::string section = dot == key.npos ? "" : key.substr(0, dot) + ":";
    const std::string start = (dot == key.npos ? key : "  " + key.substr(dot + 1)) + ": ";
    std::istringstream in(text);
    std::string out;
    bool inside = section.empty(), done = false;
    for (std::string line; std::getline(in, line);) {
      if (!done && inside && line.starts_with(start)) {
        line = start + value;
        done = true;
      }
      if (!section.empty() && line == section)
        inside = true;
      else if (!section.empty() && !line.starts_with("  "))
        inside = false;
      out += line + '\n';
    }
    if (done) return out;
    return section.empty() ? out + start + value + '\n'
                           : out.insert(out.find('\n' + section + '\n') + section.size() + 2,
                                        start + value + '\n');
  }

  test::TemporaryDirectory directory_;
  const std::string path_ = directory_ / "e.yaml";
  std::map<std::string, std::optional<Output>> bases_;
  std::map<std::string, std::set<std::string>> keys_;  // by situation
  std::set<std::string> alive_;
  std::int64_t runs_ = 0;
  mutable std::string refusal_;
};

TEST_F(EveryKeyTest, OfAnExperimentChangesAResult) {
  const std::vector<SchemaEntry> entries = RunBases();
  ASSERT_GT(entries.size(), 60u);
  for (const SchemaEntry& entry : entries) {
    Try(entry, false, [&](const std::string& value) { return entry.path + '=' + value; });
    if (alive_.contains(entry.path)) continue;
    EXPECT_TRUE(kChangesNoTime.contains(entry.path)) << entry.path << " changes nothing";
  }
  RecordProperty("keys", std::to_string(entries.size()));
  RecordProperty("alive", std::to_string(alive_.size()));
  RecordProperty("runs", std::to_string(runs_));
}

TEST_F(EveryKeyTest, OfASystemChangesAResult) {
  Schema schema;
  LoadSystem("configs/systems/vllm-so-ft.yaml", &schema);
  RunBases();
  for (const SchemaEntry& entry : schema) {
    if (entry.path == "name") continue;
    for (const char* system : {"vllm-so-ft", "vllm-s"}) {
      const std::string text = test::ReadFile(std::string("configs/systems/") + system + ".yaml");
      Try(entry, true, [&](const std::string& value) {
        const std::string file = directory_ / (entry.path + '-' + value + ".yaml");
        test::WriteFile(file, SetKey(text, entry.path, value));
        return "systems=[" + file + "]";
      });
    }
    EXPECT_TRUE(alive_.contains(entry.path)) << entry.path << " changes nothing";
  }
}

TEST_F(EveryKeyTest, OfAMachineChangesAResult) {
  Schema schema;
  LoadMachine("models/hardware/configs/h100-sxm-pcie5.yaml", &schema);
  RunBases();
  for (const SchemaEntry& entry : schema) {
    if (kNamesOfAMachine.contains(entry.path) || entry.type == "mapping") continue;
    for (const char* machine : {"h100-sxm-pcie5", "h200-sxm"}) {
      const std::string text =
          test::ReadFile(std::string("models/hardware/configs/") + machine + ".yaml");
      int count = 0;
      Try(entry, true, [&](const std::string& value) {
        const std::string file =
            directory_ / (entry.path + '-' + std::to_string(++count) + ".yaml");
        test::WriteFile(file, SetKey(text, entry.path, value));
        return "hardware.machine=" + file;
      });
    }
    EXPECT_TRUE(alive_.contains(entry.path)) << entry.path << " changes nothing";
  }
}

}  // namespace
}  // namespace sparseserve::config
