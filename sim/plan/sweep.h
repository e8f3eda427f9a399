// Many runs: the points of a sweep, what became of them, and how they are run.
//
// A point is one simulation. Points that differ in their labels only (system, rate, policy) and
// share a replication share the seed, hence requests and selections: common random numbers. A point
// is known by its key, a digest of everything that decides its result, so that a store can tell
// what is done and a changed sweep reuses what it still contains.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/plan/parallel.h"
#include "sim/serving/engine.h"

namespace sparseserve::plan {

struct SweepPoint {
  std::string key;                  // 32 hexadecimal digits
  std::vector<std::string> labels;  // one per axis
  std::int64_t replication = 0;     // from 0
  std::uint64_t seed = 0;
};

struct Sweep {
  std::string name;
  std::vector<std::string> axes;  // names
  std::vector<SweepPoint> points;
  // How `show` looks at it unless told otherwise.
  std::string contrast;              // axis along which points are compared
  std::vector<std::string> metrics;  // names of metrics::Figures()
};

// What became of a point: figures in the order of metrics::Figures(), or why it cannot run.
struct Outcome {
  bool feasible = true;
  std::string note;  // of an infeasible point: why
  std::vector<double> figures;

  double figure(std::size_t index) const { return figures[index]; }
};

// Part `index` of `count` of a sweep: every count-th point.
struct Shard {
  std::int64_t index = 0;  // from 0
  std::int64_t count = 1;

  bool Has(std::size_t ordinal) const {
    return static_cast<std::int64_t>(ordinal) % count == index;
  }
};

// Runs a point. `progress` is to be called now and then; it throws Interrupted.
using RunPoint = std::function<Outcome(std::size_t ordinal, const serving::ProgressFunction&)>;
// Takes a result; calls never overlap, and come in no fixed order.
using TakeOutcome = std::function<void(std::size_t ordinal, const Outcome& outcome)>;

// Runs the points `ordinals` as RunInParallel does; each run is single-threaded. Points under way
// are given up when `stop` becomes true or another one fails.
void RunPoints(const std::vector<std::size_t>& ordinals, std::int64_t threads, const RunPoint& run,
               const TakeOutcome& take, const std::atomic<bool>& stop);

}  // namespace sparseserve::plan
