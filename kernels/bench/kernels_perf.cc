// The kernels of the CPU backend under Google Benchmark, for comparing two commits with its tools.
// One size of each operation, timed by the harness (UseManualTime); results are checked first, and
// a wrong one fails its benchmark. What a calibration needs is measured by kernels_bench.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "kernels/backend.h"
#include "kernels/bench/operations.h"
#include "kernels/bench/timer.h"

namespace sparseserve::bench {
namespace {

constexpr std::int64_t kItems = 64;

// The backend and its memory, which all benchmarks share.
struct Bench {
  explicit Bench(const kernels::BackendConfig& config)
      : backend(kernels::MakeBackend("cpu", config)),
        workbench(*backend, DefaultModelShape("cpu"), ChoosePoolSizes(*backend, true),
                  {config.num_staging_slots, config.staging_slot, config.scatter_threads, nullptr},
                  1),
        timer(workbench, {}) {}

  std::unique_ptr<kernels::Backend> backend;
  Workbench workbench;
  Timer timer;
};

void Measure(benchmark::State& state, Bench& bench, const OperationPlan& plan, std::int64_t y) {
  const Call call = plan.prepare(plan.x.Snap(static_cast<double>(kItems)), y);
  try {
    call.check();
  } catch (const WrongResult& error) {
    state.SkipWithError(error.what());
    return;
  }
  const std::int64_t num_calls = bench.timer.ChooseNumCalls(call);
  for (auto _ : state) {
    state.SetIterationTime(bench.timer.Sample(call, num_calls).value());
  }
  const auto rate = [&](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["items"] = static_cast<double>(call.work.items);
  state.counters["item_bytes"] = static_cast<double>(call.work.item_bytes.value());
  state.counters["bytes_per_second"] = rate(static_cast<double>(call.work.bytes.value()));
  if (call.work.flops > Flops()) state.counters["flops_per_second"] = rate(call.work.flops.value());
}

void RegisterAll(Bench& bench) {
  for (const OperationPlan& plan : PlanOperations(bench.workbench)) {
    const auto kinds = plan.y.is_refinable()
                           ? std::vector{plan.y.Snap(static_cast<double>(plan.y.most) / 8)}
                           : plan.y.choices;
    for (const std::int64_t y : kinds) {
      const std::string name = plan.name + (kinds.size() > 1 ? "/" + std::to_string(y) : "");
      benchmark::RegisterBenchmark(name.c_str(), [&bench, plan, y](benchmark::State& state) {
        Measure(state, bench, plan, y);
      })->UseManualTime();
    }
  }
}

}  // namespace
}  // namespace sparseserve::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  sparseserve::kernels::BackendConfig config;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  config.compute_threads = config.transfer_threads = config.scatter_threads = std::max(cores, 1);
  sparseserve::bench::Bench bench(config);
  sparseserve::bench::RegisterAll(bench);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
