// A simulated executor on the model, machine and record of tests/models/cost/cost_fixtures.h, with
// requests made by hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "sim/serving/simulated_executor.h"
#include "tests/models/cost/cost_fixtures.h"

namespace sparseserve::serving {

using scheduler::PrefillPiece;

constexpr std::int64_t kLayers = 32;
constexpr std::int64_t kHeads = 8;
constexpr std::int64_t kBudget = 64;  // blocks of 32 tokens
constexpr Seconds kHost(0.002);

inline scheduler::KvGeometry Geometry(std::int64_t budget_blocks) {
  scheduler::KvGeometry g;
  g.num_layers = kLayers;
  g.heads = kHeads;
  g.unit_bytes = Bytes(16384);
  g.metadata_bytes = Bytes(512);
  g.budget_blocks = budget_blocks;
  return g;
}

inline SimulatedExecutorConfig Config(std::int64_t budget_blocks) {
  SimulatedExecutorConfig config;
  config.geometry = Geometry(budget_blocks);
  config.host_overhead = kHost;
  return config;
}

// Selects the first blocks of the budget and stays with them.
class FirstBlocks : public selection::SelectionModel {
 public:
  void BeginRequest(RequestIndex, std::uint64_t, std::int64_t) override {}
  void Step(RequestIndex request, std::int64_t layer, std::int64_t,
            selection::SelectionDelta& delta) override {
    if (!begun_.insert({request, layer}).second) return;
    delta.added.resize(kBudget * kHeads);
    std::iota(delta.added.begin(), delta.added.end(), 0u);
  }
  void EndRequest(RequestIndex) override {}

 private:
  std::set<std::pair<RequestIndex, std::int64_t>> begun_;
};

inline calibration::Record NeutralRecord() {  // transfers do not slow compute
  calibration::Record record = cost::TestRecord();
  for (auto& [name, slowdown] : record.slowdowns) slowdown.value = 1;
  return record;
}

class Bench {
 public:
  explicit Bench(const SimulatedExecutorConfig& config, bool offloads = true,
                 const calibration::Record& record = NeutralRecord(), std::int64_t slots = 200'000)
      : costs(cost::Llama3_8b(), cost::TestMachine(), record, {}),
        cache({.num_layers = kLayers, .heads = kHeads, .hbm_slots = slots, .dram_blocks = 10'000}),
        executor(config, costs, offloads ? &cache : nullptr, offloads ? &selection : nullptr,
                 nullptr, nullptr) {}

  // A request that has produced one token, its prompt in DRAM only.
  RequestIndex AddDecoding(std::int64_t prompt) {
    const RequestIndex index = AddPrompt(prompt);
    table.back().generated = Tokens(1);
    const std::int64_t blocks = CeilDiv(prompt + 1, 32);
    cache.AddRequest(index);
    cache.ReserveDram(index, blocks);
    cache.AddSavedUnits(index, blocks);
    return index;
  }
  RequestIndex AddPrompt(std::int64_t prompt) {
    RequestState request;
    request.prompt = request.prefill_target = Tokens(prompt);
    table.push_back(request);
    return static_cast<RequestIndex>(table.size() - 1);
  }
  IterationResult Run(const IterationPlan& plan, SimTime start = SimTime()) {
    const IterationResult r = executor.Execute(start, plan, table);
    const Seconds sum =
        r.time.compute + r.time.attention + r.time.load_stall + r.time.save_stall + r.time.host;
    EXPECT_NEAR(r.time.duration.value(), sum.value(), 1e-12);
    return r;
  }

  cost::CostModel costs;
  kvcache::KvCache cache;
  FirstBlocks selection;
  std::vector<RequestState> table;
  SimulatedExecutor executor;
};

inline PrefillPiece Whole(RequestIndex index, std::int64_t begin, std::int64_t end,
                          bool completes) {
  return {.request = index,
          .begin = Tokens(begin),
          .end = Tokens(end),
          .layer_begin = 0,
          .layer_end = kLayers,
          .completes = completes};
}

inline Seconds Linear(const cost::CostModel& costs, std::int64_t tokens) {  // of one layer
  return costs.Projection(Tokens(tokens)).time + costs.OutputAndMlp(0, Tokens(tokens)).time;
}

inline Seconds Prefill(const cost::CostModel& costs, std::int64_t begin, std::int64_t end) {
  const cost::PrefillSpan span{Tokens(begin), Tokens(end)};
  return costs.PrefillAttention({&span, 1}).time;
}

constexpr double kTolerance = 1e-12;

}  // namespace sparseserve::serving
