// Points of sweeps and plans, run here: the glue between configuration, simulation and store.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "sim/config/experiment.h"
#include "sim/plan/sweep.h"

namespace sparseserve::cli {

// The digest of this program, part of every key: another build may give other results.
std::string BuildDigest();

enum class Patience : std::uint8_t {
  kUntilDone,
  // Gives up when after the last arrival as much time again has passed as all arrivals took (at
  // least kLeastPatience): the system serves less than half of what is asked for.
  kWhileItKeepsUp,
};
inline constexpr Seconds kLeastPatience{300};

// Simulates one system of an experiment. A system that cannot serve the workload at all, or that is
// given up, is an infeasible outcome; other problems of the input are thrown.
plan::Outcome RunPoint(const config::Experiment& experiment, std::size_t system_index,
                       const serving::ProgressFunction& progress,
                       Patience patience = Patience::kUntilDone);

// While it lives, the first Ctrl-C (SIGINT) or SIGTERM sets `stop` instead of ending the program;
// the second one ends it.
class StopOnSignal {
 public:
  StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal();
  static const std::atomic<bool>& stop();
};

// Threads to use: what the option says, or all cores.
std::int64_t ReadThreads(const std::string& text);

}  // namespace sparseserve::cli
