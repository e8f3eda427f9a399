#include "sim/cli/points.h"

#include <signal.h>

#include <algorithm>
#include <thread>

#include "sim/cli/command.h"
#include "sim/config/digest.h"
#include "sim/core/error.h"
#include "sim/metrics/figures.h"
#include "sim/serving/simulation.h"
#include "traces/workload.h"

namespace sparseserve::cli {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

// Thrown out of a simulation that is given up.
struct GaveUp {};

void RequestStop(int /*signal*/) { stop_requested = true; }

void OnSignals(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one ends the program
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

}  // namespace

std::string BuildDigest() { return config::FileDigests().Of("/proc/self/exe"); }

plan::Outcome RunPoint(const config::Experiment& experiment, std::size_t system_index,
                       const serving::ProgressFunction& progress, Patience patience) {
  const serving::SystemConfig& system = experiment.systems[system_index];
  const serving::WorkloadBounds bounds =
      serving::ScanWorkload(*traces::OpenWorkload(experiment.workload));
  config::CheckWarmup(experiment, bounds.num_requests);
  try {
    serving::CheckFeasible(system, bounds);
  } catch (const InputError& error) {
    return {.feasible = false, .note = error.problem().what, .figures = {}};
  }
  metrics::Collector collector(nullptr, experiment.warmup_requests);
  serving::RunOptions options;
  options.progress = progress;
  const Seconds span = bounds.last_arrival - bounds.first_arrival;
  const SimTime latest = bounds.last_arrival + std::max(span, kLeastPatience);
  if (patience == Patience::kWhileItKeepsUp) {
    options.pace = [latest](SimTime at) {
      if (at > latest) throw GaveUp();
    };
  }
  const auto requests = traces::OpenWorkload(experiment.workload);
  try {
    const serving::RunResult result =
        serving::RunSimulation(system, *requests, experiment.slo, collector, options);
    return {.feasible = true, .note = "", .figures = metrics::FiguresOf(result.summary)};
  } catch (const GaveUp&) {
    return {.feasible = false, .note = "queue growth", .figures = {}};
  }
}

StopOnSignal::StopOnSignal() {
  stop_requested = false;
  OnSignals(RequestStop);
}
StopOnSignal::~StopOnSignal() { OnSignals(SIG_DFL); }
const std::atomic<bool>& StopOnSignal::stop() { return stop_requested; }

std::int64_t ReadThreads(const std::string& text) {
  return text.empty() ? std::max(1U, std::thread::hardware_concurrency())
                      : ParseInteger(text, "threads", 1, 1024);
}

}  // namespace sparseserve::cli
