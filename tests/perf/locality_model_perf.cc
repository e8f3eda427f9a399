// Time of one step of one request in the locality model: LWM-7B (32 layers x 32 heads) at 32k
// tokens, 64 of 1,024 blocks. Checks that the selection keeps its size and its asked overlap.
// Argument: requests that take turns, as a batch does.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>

#include "models/selection/locality_model.h"

namespace sparseserve::selection {
namespace {

constexpr std::int64_t kLayers = 32;
constexpr std::int64_t kHeads = 32;
constexpr std::int64_t kContext = 1024;  // blocks

void BM_LocalityModelStep(benchmark::State& state, const char* preset) {
  const SelectionPolicy policy;
  LocalityModel model(policy, LocalityPreset(preset), kLayers, kHeads);
  SelectionDelta delta;
  const auto num_requests = static_cast<RequestIndex>(state.range(0));
  std::int64_t selected = 0;
  for (RequestIndex request = 0; request < num_requests; ++request) {
    model.BeginRequest(request, request, kContext);
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      delta.Clear();
      model.Step(request, layer, kContext, delta);
      selected += std::ssize(delta.added);
    }
  }
  std::int64_t changes = 0, replaced = 0, steps = 0;
  RequestIndex request = 0;
  for (auto _ : state) {
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      delta.Clear();
      model.Step(request, layer, kContext, delta);
      replaced += std::ssize(delta.added);
      changes += std::ssize(delta.added) + std::ssize(delta.removed);
    }
    benchmark::DoNotOptimize(delta.added.data());
    request = request + 1 < num_requests ? request + 1 : 0;
    ++steps;
  }
  const std::int64_t per_step = kLayers * kHeads * BudgetBlocks(policy);
  if (selected != num_requests * per_step || changes != 2 * replaced)
    state.SkipWithError("the selection does not keep its size");
  const double overlap = 1 - static_cast<double>(replaced) / static_cast<double>(steps * per_step);
  if (std::abs(overlap - OverlapCurve(LocalityPreset(preset).overlap).At(1)) > 0.01)
    state.SkipWithError("the adjacent overlap is not the one asked for");
  state.counters["overlap"] = overlap;
  state.counters["changes_per_step"] = static_cast<double>(changes) / static_cast<double>(steps);
  state.counters["ns_per_change"] =
      benchmark::Counter(static_cast<double>(changes) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["request_bytes"] = static_cast<double>(model.RequestBytes(0));
}

BENCHMARK_CAPTURE(BM_LocalityModelStep, flat_tail, "flat-tail")
    ->Arg(1)
    ->Arg(16)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(BM_LocalityModelStep, shadowkv_60, "shadowkv-60")
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sparseserve::selection

BENCHMARK_MAIN();
