// An experiment file as a whole: paths, overrides, the resolved form, and places of late problems.
// Values and keys that are refused: tests/e2e/bad_experiment_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sim/config/experiment.h"

namespace sparseserve::config {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const std::string kText =
    "name: x\n"
    "systems: [vllm, ./mine.yaml]\n"
    "model: lwm-7b\n"
    "hardware:\n"
    "  machine: gh200\n"
    "workload:\n"
    "  source: trace\n"
    "  path: data/../t.csv\n"
    "memory:\n"
    "  eviction: sieve\n";

// A folder with the experiment and a system of its own; paths in messages and results start there.
class ExperimentTest : public ::testing::Test {
 protected:
  ExperimentTest() {
    fs::create_directories(folder_);
    Write("mine.yaml", "name: my-system\nattention: full\nkv_home: dram\n");
    Write("e.yaml", kText);
  }
  ~ExperimentTest() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  Experiment Load(const std::vector<std::string>& overrides = {}) const {
    return LoadExperiment((folder_ / "e.yaml").string(), overrides, ".");
  }
  std::string ErrorOf(const std::vector<std::string>& overrides) const {
    try {
      Load(overrides);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / "sparseserve_experiment_test";
};

TEST_F(ExperimentTest, SystemsShareEverythingButTheirChoice) {
  const Experiment experiment = Load();
  ASSERT_EQ(experiment.systems.size(), 2U);
  EXPECT_EQ(experiment.systems[0].choice.name, "vllm");
  EXPECT_EQ(experiment.systems[1].choice.name, "my-system");
  EXPECT_EQ(experiment.systems[1].choice.kv_home, serving::KvHome::kDram);
  for (const serving::SystemConfig& system : experiment.systems) {
    EXPECT_EQ(system.memory.eviction, "sieve");
    EXPECT_EQ(system.model.num_layers, 32);
    EXPECT_EQ(system.calibration.name, "gh200");  // the machine names it
  }
}

TEST_F(ExperimentTest, PathsInTheFileAreRelativeToItThoseOfOverridesToTheWorkingDirectory) {
  EXPECT_EQ(Load().workload.path, (folder_ / "t.csv").string());
  EXPECT_EQ(Load({"workload.path=t.csv"}).workload.path, "t.csv");
}

TEST_F(ExperimentTest, ResolvedHasDefaultsOverridesAndAbsolutePaths) {
  const Experiment experiment = Load({"memory.eviction=lru"});
  const Node& resolved = experiment.resolved;
  EXPECT_EQ(resolved.Find("memory")->Find("eviction")->scalar, "lru");
  EXPECT_EQ(resolved.Find("memory")->Find("hbm_utilization")->scalar, "0.9");
  EXPECT_EQ(resolved.Find("model")->scalar, "lwm-7b");  // a name stays one
  EXPECT_EQ(resolved.Find("systems")->items[0].scalar, "vllm");
  EXPECT_EQ(resolved.Find("systems")->items[1].scalar, (folder_ / "mine.yaml").string());
  EXPECT_EQ(resolved.Find("workload")->Find("path")->scalar, (folder_ / "t.csv").string());
}

TEST_F(ExperimentTest, ResolvedResolvesToItself) {
  const std::string resolved = ToYaml(Load().resolved);
  Write("e.yaml", resolved);
  EXPECT_EQ(ToYaml(Load().resolved), resolved);
}

TEST_F(ExperimentTest, PlaceOfFindsTheKeyOrTheOneAroundIt) {
  const Node root = Load({"memory.kv_pool=1GB"}).source;
  EXPECT_EQ(PlaceOf(root, "hardware.machine").line, 5);
  EXPECT_EQ(PlaceOf(root, "workload.path").line, 8);
  EXPECT_EQ(PlaceOf(root, "workload.rate").line, 6);
  EXPECT_EQ(PlaceOf(root, "slo.ttft").line, 1);
  EXPECT_EQ(PlaceOf(root, "memory.kv_pool").file, "--set memory.kv_pool");
}

TEST_F(ExperimentTest, LocateLeavesAPlaceThatIsKnown) {
  const Node root = Load().source;
  const InputError known({{"t.csv", 7, 0}, "workload", "what", "", ""});
  EXPECT_STREQ(Locate(known, root).what(), "t.csv:7: workload: what");
  const InputError unknown({{}, "workload", "what", "", ""});
  EXPECT_THAT(Locate(unknown, root).what(), HasSubstr("e.yaml:6: workload: what"));
}

TEST_F(ExperimentTest, TensorParallelismMustFitMachineAndHeads) {
  EXPECT_THAT(ErrorOf({"hardware.tensor_parallel=2"}), HasSubstr("2 GPUs, but gh200 has 1"));
  EXPECT_EQ(ErrorOf({"hardware.tensor_parallel=4", "hardware.machine=h200-sxm"}), "accepted");
  EXPECT_THAT(ErrorOf({"hardware.tensor_parallel=3", "hardware.machine=h200-sxm"}),
              HasSubstr("the 32 KV heads of lwm-7b do not divide among 3 GPUs"));
}

TEST_F(ExperimentTest, AnUnknownSourceSaysNothingOfItsKeys) {
  const std::string error = ErrorOf({"workload.source=trac", "memory.evict=lru"});
  EXPECT_THAT(error, HasSubstr("did you mean 'trace'?"));
  EXPECT_THAT(error, HasSubstr("memory.evict: unknown key"));
  EXPECT_EQ(error.find("workload.path"), error.npos);
}

}  // namespace
}  // namespace sparseserve::config
