// Systems on shipped models and machines, workloads of a few requests, and what a run leaves
// behind.
#pragma once

#include <string>
#include <vector>

#include "sim/config/calibration_loader.h"
#include "sim/config/experiment.h"
#include "sim/config/machine_loader.h"
#include "sim/config/model_loader.h"
#include "sim/serving/simulation.h"

namespace sparseserve::serving {

// Requests held in memory.
class FixedStream : public traces::RequestStream {
 public:
  explicit FixedStream(std::vector<traces::Request> requests) : requests_(std::move(requests)) {}
  std::optional<traces::Request> Next() override {
    if (next_ == requests_.size()) return std::nullopt;
    return requests_[next_++];
  }

 private:
  std::vector<traces::Request> requests_;
  std::size_t next_ = 0;
};

using Requests = std::vector<traces::Request>;

// Appends a request; ids count up.
inline void Add(Requests& requests, std::int64_t arrival_ms, std::int64_t prompt,
                std::int64_t output) {
  requests.push_back({static_cast<std::int64_t>(requests.size()), SimTime(arrival_ms * 1'000'000),
                      Tokens(prompt), Tokens(output)});
}

// `count` equal requests, `gap_ms` apart.
inline Requests Equal(std::int64_t count, std::int64_t gap_ms, std::int64_t prompt,
                      std::int64_t output) {
  Requests requests;
  for (std::int64_t i = 0; i < count; ++i) Add(requests, i * gap_ms, prompt, output);
  return requests;
}

// One of configs/systems on Llama-3.1-8B and an H100.
inline SystemConfig Shipped(const std::string& system) {
  static const SystemConfig base = [] {
    SystemConfig config;
    config.model = config::LoadModel("models/llm/configs/llama-3.1-8b.json");
    config.machine = config::LoadMachine("models/hardware/configs/h100-sxm-pcie5.yaml");
    config.calibration = config::LoadCalibration("calibration/devices/h100-sxm-pcie5.yaml");
    return config;
  }();
  SystemConfig config = base;
  config.choice = config::LoadSystem("configs/systems/" + system + ".yaml");
  return config;
}

struct Outcome {
  RunResult result;
  metrics::RequestRecords records;
};

inline Outcome Simulate(const SystemConfig& config, const Requests& requests,
                        const RunOptions& options = {},
                        metrics::IterationSink* iterations = nullptr) {
  metrics::Collector collector(iterations);
  FixedStream stream(requests);
  Outcome outcome;
  outcome.result = RunSimulation(config, stream, {}, collector, options);
  outcome.records = collector.requests();
  return outcome;
}

// When each request was scheduled and produced its first and last token: a line each.
inline std::string Times(const metrics::RequestRecords& records) {
  std::string text;
  for (const metrics::RequestRecord& r : records) {
    text += std::to_string(r.id) + " on " + std::to_string(r.replica) + ": " +
            std::to_string(r.scheduled.ns()) + ' ' + std::to_string(r.first_token.ns()) + ' ' +
            std::to_string(r.last_token.ns()) + (r.failed ? " failed\n" : "\n");
  }
  return text;
}

}  // namespace sparseserve::serving
