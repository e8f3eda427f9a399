#include "tests/fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "models/selection/replay_model.h"
#include "sim/config/calibration_loader.h"
#include "sim/config/experiment.h"
#include "sim/config/machine_loader.h"
#include "sim/config/model_loader.h"
#include "sim/core/check.h"
#include "sim/core/error.h"
#include "sim/report/run_reader.h"
#include "traces/reader.h"

namespace sparseserve::fuzz {
namespace {

void Refusable(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const InputError&) {  // as it should be
  }
}

// For parsers that want a path: the bytes as a file in memory.
void WithFile(std::string_view bytes, const std::function<void(const std::string&)>& parse) {
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  SPARSESERVE_CHECK(fd >= 0, "no file in memory");
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::write(fd, bytes.data() + done, bytes.size() - done);
    SPARSESERVE_CHECK(written > 0, "a file in memory takes everything");
    done += static_cast<std::size_t>(written);
  }
  Refusable([&] { parse("/proc/self/fd/" + std::to_string(fd)); });
  ::close(fd);
}

// What was read is written and read again: the same.
void Yaml(std::string_view bytes) {
  Refusable([&] {
    const config::Node root = config::LoadYamlString(bytes, "fuzz.yaml");
    const std::string text = config::ToYaml(root);
    SPARSESERVE_CHECK(config::ToYaml(config::LoadYamlString(text, "again.yaml")) == text,
                      "YAML is not the same when read again");
  });
}

void Experiment(std::string_view bytes) {
  WithFile(bytes, [](const std::string& path) { config::LoadExperiment(path, {}, "."); });
}

void Override(std::string_view bytes) {
  Refusable([&] {
    config::Node root = config::LoadYamlString("{a: {b: 1, c: [1, 2]}}", "fuzz.yaml");
    config::ApplyOverride(root, bytes);
  });
}

void HuggingFace(std::string_view bytes) {
  WithFile(bytes, [](const std::string& path) { config::LoadHuggingFaceConfig(path); });
}

void Machine(std::string_view bytes) {
  WithFile(bytes, [](const std::string& path) { config::LoadMachine(path); });
}

void System(std::string_view bytes) {
  WithFile(bytes, [](const std::string& path) { config::LoadSystem(path); });
}

void Calibration(std::string_view bytes) {
  Refusable([&] { config::ReadCalibration(bytes, "fuzz.yaml"); });
}

void Benchmark(std::string_view bytes) {
  WithFile(bytes, [](const std::string& path) { report::ReadRunFigures(path); });
}

void SelectionTrace(std::string_view bytes) {
  WithFile(bytes, [](const std::string& path) {
    selection::ReplayModel model(path, {2, 2, 32});
    model.BeginRequest(0, 0, 4);
    selection::SelectionDelta delta;
    for (std::int64_t step = 0; step < 4; ++step) {
      for (std::int64_t layer = 0; layer < 2; ++layer) model.Step(0, layer, 5, delta);
    }
  });
}

template <traces::Format kFormat>
void Trace(std::string_view bytes) {
  for (const std::int64_t bad_rows : {0, 5}) {
    WithFile(bytes, [bad_rows](const std::string& path) {
      traces::ReadOptions options;
      options.format = kFormat;
      options.max_bad_rows = bad_rows;
      const auto reader = traces::OpenTrace(path, options);
      SimTime last;
      while (const auto request = reader->Next()) {
        SPARSESERVE_CHECK(request->arrival >= last, "arrivals fall");
        SPARSESERVE_CHECK(request->prompt > Tokens(0) && request->output > Tokens(0),
                          "a request without tokens");
        last = request->arrival;
      }
    });
  }
}

}  // namespace

const std::vector<Target>& Targets() {
  using traces::Format;
  const std::string samples = "traces/samples", bad = "tests/input/traces";
  static const std::vector<Target> targets = {
      {"yaml", {"configs/run", "models/hardware/configs"}, Yaml},
      {"experiment", {"configs/run", "configs/live", "tests/golden"}, Experiment},
      {"override", {"tests/fuzz/corpus/override"}, Override},
      {"hf_config", {"models/llm/configs"}, HuggingFace},
      {"machine", {"models/hardware/configs"}, Machine},
      {"system", {"configs/systems"}, System},
      {"calibration", {"calibration/devices"}, Calibration},
      {"benchmark", {"tests/input/compare"}, Benchmark},
      {"selection_trace", {"tests/fuzz/corpus/selection_trace"}, SelectionTrace},
      {"trace_auto", {samples, bad}, Trace<Format::kAuto>},
      {"trace_mooncake", {samples, bad}, Trace<Format::kMooncake>},
      {"trace_azure", {samples, bad}, Trace<Format::kAzure>},
      {"trace_burstgpt", {samples, bad}, Trace<Format::kBurstGpt>},
      {"trace_vidur", {samples, bad}, Trace<Format::kVidur>},
      {"trace_own", {samples, bad}, Trace<Format::kSparseServe>}};
  return targets;
}

}  // namespace sparseserve::fuzz
