// The highest rate that a system sustains, by bisection.
//
// Rates form a geometric grid, reference x (1 + precision)^k, so that searches with the same
// reference try the same rates: a store answers a repeated search without a single run, and paired
// searches can be compared. The search doubles or halves from k = 0 until one rate holds and a
// higher one does not, then bisects to neighbours of the grid. O(log(range / precision)) runs. It
// assumes that what holds at a rate holds below; where that is not so (chaotic schedules near the
// limit), it finds one of the crossings.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/plan/slo.h"

namespace sparseserve::plan {

struct RateGrid {
  double reference = 1;     // requests per second, at index 0
  double precision = 0.02;  // of neighbours
  double min_rate = 1e-4;   // below it the answer is: none
  double max_rate = 1e6;

  double At(std::int64_t index) const;
};

struct Probe {
  double rate = 0;
  Outcome outcome;
  Verdict verdict;
};
using RunRate = std::function<Outcome(double rate)>;

struct Capacity {
  double rate = 0;            // highest that holds; 0: not even min_rate does
  bool above_range = false;   // it holds even at max_rate
  Probe best;                 // at `rate`; at min_rate if none holds
  Probe beyond;               // the lowest that was seen not to hold, right above `rate`
  std::vector<Probe> probes;  // all that were made, in order
};

Capacity FindCapacity(const RateGrid& grid, const std::vector<Criterion>& criteria,
                      const RunRate& run);

}  // namespace sparseserve::plan
