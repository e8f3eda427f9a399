// Whole simulations: what a run costs with selection off (the dense path), and with every block
// tracked.
//
// Uses the whole Mooncake conversation trace where it lies beside the checkout, else the shipped
// excerpt; run from the root of the checkout. Each run checks that every request and token came
// out.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <queue>

#include "sim/config/experiment.h"
#include "sim/core/rng.h"
#include "sim/serving/simulation.h"

namespace sparseserve {
namespace {

constexpr const char* kWholeTrace = "../shared/traces/mooncake/conversation_trace.jsonl";

void RunSystem(benchmark::State& state, const char* system, std::int64_t num_requests) {
  std::vector<std::string> overrides = {std::string("systems=[") + system + "]",
                                        "workload.num_requests=" + std::to_string(num_requests)};
  if (std::filesystem::exists(kWholeTrace))
    overrides.push_back(std::string("workload.path=") + kWholeTrace);
  const config::Experiment experiment =
      config::LoadExperiment("configs/run/mooncake.yaml", overrides, ".");
  const serving::WorkloadBounds bounds =
      serving::ScanWorkload(*traces::OpenWorkload(experiment.workload));
  std::int64_t tokens = 0;
  std::int64_t touches = 0;
  std::int64_t iterations = 0;
  for (auto _ : state) {
    metrics::Collector collector;
    const auto requests = traces::OpenWorkload(experiment.workload);
    const serving::RunResult run = serving::RunSimulation(experiment.systems.front(), *requests,
                                                          experiment.slo, collector, {});
    if (run.summary.completed != bounds.num_requests) state.SkipWithError("requests were lost");
    tokens += run.summary.total_output_tokens.value();
    touches += run.summary.totals.block_touches;
    iterations += run.summary.totals.iterations;
  }
  const auto rate = [](auto count) {
    return benchmark::Counter(static_cast<double>(count), benchmark::Counter::kIsRate);
  };
  state.counters["requests_per_second"] =
      rate(bounds.num_requests * static_cast<std::int64_t>(state.iterations()));
  state.counters["output_tokens_per_second"] = rate(tokens);
  state.counters["iterations_per_second"] = rate(iterations);
  if (touches > 0) state.counters["touches_per_second"] = rate(touches);
}

// What the machine does at best with future events alone: a binary heap of 1,000 integers, each pop
// followed by a push. Figures of runs are told as ratios to it.
void PlainHeap(benchmark::State& state) {
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> heap;
  CounterRng rng(1);
  for (int i = 0; i < 1000; ++i) heap.push(rng.Next() >> 32);
  for (auto _ : state) {
    const std::uint64_t at = heap.top();
    heap.pop();
    heap.push(at + (rng.Next() >> 32));
  }
  benchmark::DoNotOptimize(heap.top());
  state.counters["events_per_second"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

BENCHMARK(PlainHeap);
BENCHMARK_CAPTURE(RunSystem, dense_whole_trace, "vllm", 0)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(RunSystem, sparse_in_hbm_whole_trace, "vllm-s", 0)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(RunSystem, every_block_50_requests, "sparseserve", 50)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sparseserve

BENCHMARK_MAIN();
