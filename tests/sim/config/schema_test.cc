// configs/README.md lists every key that the loaders ask for, with its type, default and meaning.
// The tables are made here from what the loaders state; scripts/update_config_readme writes them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/config/experiment.h"
#include "sim/config/machine_loader.h"
#include "sim/config/plan_file.h"
#include "sim/config/sweep_file.h"

namespace sparseserve::config {
namespace {

const std::string kReadme = "configs/README.md";
const std::string kBegin = "<!-- begin: made by scripts/update_config_readme -->\n";
const std::string kEnd = "<!-- end -->\n";

// The keys of an experiment with this workload. A list of maps shows its keys when it has a map.
Schema ExperimentSchema(const std::string& workload) {
  const std::string path = testing::TempDir() + "schema_test.yaml";
  std::ofstream(path) << "{name: x, systems: [vllm], model: lwm-7b, hardware: {machine: gh200},\n"
                         "locality: {overlap: [{window: 1, overlap: 0.8}]},\nworkload: {"
                      << workload << "}}\n";
  Schema schema;
  LoadExperiment(path, {}, ".", &schema);
  std::remove(path.c_str());
  return schema;
}

// Beside the type, whose unit stands in the table of types.
std::string Accepted(const SchemaEntry& entry) {
  if (entry.type == "mapping" || entry.type == "list of mappings") return "";
  std::string accepted = entry.accepted.substr(0, entry.accepted.find(" with a unit:"));
  for (const std::string_view type : {"an integer", "a number", "a text"}) {
    if (accepted.starts_with(type)) accepted.erase(0, type.size());
  }
  return accepted.starts_with(' ') ? accepted.substr(1) : accepted;
}

std::string Default(const SchemaEntry& entry) {
  if (entry.default_text.empty()) return "required";
  return entry.type.ends_with("mapping") ? "" : "`" + entry.default_text + "`";
}

std::string Row(const SchemaEntry& entry) {
  return "| `" + entry.path + "` | " + entry.type + " | " + Default(entry) + " | " +
         Accepted(entry) + " | " + entry.doc + " |\n";
}

std::string Table(const std::string& title, const std::vector<std::string>& rows) {
  std::string text = "\n### " + title + "\n| key | type | default | accepted | meaning |\n";
  text += "|---|---|---|---|---|\n";
  for (const std::string& row : rows) text += row;
  return text;
}

// The rows of keys inside `workload`, or of those outside it.
std::vector<std::string> Rows(const Schema& schema, bool of_workload) {
  std::vector<std::string> rows;
  for (const SchemaEntry& entry : schema) {
    if (entry.path.starts_with("workload.") == of_workload) rows.push_back(Row(entry));
  }
  return rows;
}

template <typename T>
std::string TypeRow(const Field& field = {}) {
  return "| " + TypeName<T>(field) + " | " + Accepted<T>(field) + " |\n";
}

std::string Types() {
  return "### Types\n| type | written as |\n|---|---|\n" + TypeRow<Bytes>() +
         TypeRow<BytesPerSecond>() + TypeRow<Seconds>() + TypeRow<FlopsPerSecond>() +
         TypeRow<double>({.real = RealKind::kPerSecond}) +
         TypeRow<double>({.real = RealKind::kFraction}) + TypeRow<Tokens>() + TypeRow<bool>();
}

std::string Tables() {
  const std::vector<std::pair<std::string, Schema>> sources = {
      {"trace", ExperimentSchema("source: trace, path: t.csv, arrivals: poisson, rate: 1/s")},
      {"longbench", ExperimentSchema("source: longbench, rate: 1/s")},
      {"synthetic", ExperimentSchema("source: synthetic, rate: 1/s")}};
  std::string text = Types() + Table("Experiment", Rows(sources[0].second, false));
  // What all sources have in common stands once.
  std::vector<std::string> common = Rows(sources[0].second, true);
  for (const auto& [name, schema] : sources) {
    const std::vector<std::string> rows = Rows(schema, true);
    std::erase_if(common, [&](const std::string& row) {
      return std::find(rows.begin(), rows.end(), row) == rows.end();
    });
  }
  text += Table("Workload, every source", common);
  for (const auto& [name, schema] : sources) {
    std::vector<std::string> rows = Rows(schema, true);
    std::erase_if(rows, [&](const std::string& row) {
      return std::find(common.begin(), common.end(), row) != common.end();
    });
    text += Table("Workload, `source: " + name + "`", rows);
  }
  const std::string sweep_path = testing::TempDir() + "schema_sweep.yaml";
  const std::string experiment = std::filesystem::absolute("configs/run/longbench.yaml").string();
  std::ofstream(sweep_path) << "{name: x, experiment: " << experiment
                            << ", axes: [{key: workload.rate, values: [1/s]}, "
                               "{zip: [{key: memory.eviction, values: [lru]}]}]}\n";
  const std::string plan_path = testing::TempDir() + "schema_plan.yaml";
  std::ofstream(plan_path) << "{name: x, experiment: " << experiment
                           << ", slo: {definition: vllm, ttft: 1s}, "
                              "axes: [{key: workload.rate, values: [1/s]}, "
                              "{zip: [{key: memory.eviction, values: [lru]}]}]}\n";
  Schema sweep, plan;
  LoadSweepFile(sweep_path, {}, ".", "", std::nullopt, &sweep);
  LoadPlanFile(plan_path, {}, ".", &plan);
  Schema system, machine;
  LoadSystem("configs/systems/sparseserve.yaml", &system);
  LoadMachine("models/hardware/configs/gh200.yaml", &machine);
  text += Table("Sweep", Rows(sweep, false)) + Table("Plan", Rows(plan, false));
  return text + Table("System", Rows(system, false)) + Table("Machine", Rows(machine, false));
}

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(SchemaTest, ReadmeListsEveryKey) {
  const std::string readme = ReadAll(kReadme);
  const std::size_t begin = readme.find(kBegin);
  const std::size_t end = readme.find(kEnd);
  ASSERT_NE(begin, readme.npos);
  ASSERT_NE(end, readme.npos);
  const std::size_t from = begin + kBegin.size();
  const std::string tables = Tables();
  if (std::getenv("SPARSESERVE_UPDATE_README") != nullptr) {
    std::ofstream(kReadme) << readme.substr(0, from) << tables << readme.substr(end);
    return;
  }
  std::istringstream expected(tables), found(readme.substr(from, end - from));
  std::string expected_line, found_line;
  while (std::getline(expected, expected_line)) {
    std::getline(found, found_line);
    ASSERT_EQ(found_line, expected_line) << kReadme << " is out of date; run "
                                         << "scripts/update_config_readme";
  }
  EXPECT_FALSE(std::getline(found, found_line)) << found_line;
}

TEST(SchemaTest, EveryKeyHasAMeaning) {
  for (const SchemaEntry& entry : ExperimentSchema("source: synthetic, rate: 1/s")) {
    EXPECT_NE(entry.doc, "") << entry.path;
  }
}

}  // namespace
}  // namespace sparseserve::config
