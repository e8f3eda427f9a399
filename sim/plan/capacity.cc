#include "sim/plan/capacity.h"

#include <algorithm>
#include <cmath>

namespace sparseserve::plan {

// By squaring: libm's pow may differ in the last bit between systems.
double RateGrid::At(std::int64_t index) const {
  double factor = 1;
  double base = index < 0 ? 1 / (1 + precision) : 1 + precision;
  for (auto left = static_cast<std::uint64_t>(std::abs(index)); left > 0; left >>= 1) {
    if ((left & 1) != 0) factor *= base;
    base *= base;
  }
  return reference * factor;
}

Capacity FindCapacity(const RateGrid& grid, const std::vector<Criterion>& criteria,
                      const RunRate& run) {
  Capacity result;
  const auto probe = [&](std::int64_t index) {
    Probe made;
    made.rate = std::clamp(grid.At(index), grid.min_rate, grid.max_rate);
    made.outcome = run(made.rate);
    made.verdict = Judge(criteria, made.outcome);
    result.probes.push_back(made);
    return made;
  };
  // A factor of two in steps of the grid.
  const auto stride =
      static_cast<std::int64_t>(std::ceil(std::log(2.0) / std::log1p(grid.precision)));
  std::int64_t low = 0;
  std::int64_t high = 0;
  Probe at = probe(0);
  if (at.verdict.held) {
    while (at.verdict.held) {
      result.best = at;
      result.rate = at.rate;
      if (at.rate >= grid.max_rate) {
        result.above_range = true;
        return result;
      }
      low = high;
      high += stride;
      at = probe(high);
    }
    result.beyond = at;
  } else {
    while (!at.verdict.held) {
      result.beyond = at;
      if (at.rate <= grid.min_rate) {
        result.best = at;
        return result;
      }
      high = low;
      low -= stride;
      at = probe(low);
    }
    result.best = at;
    result.rate = at.rate;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    Probe made = probe(middle);
    if (made.verdict.held) {
      low = middle;
      result.rate = made.rate;
      result.best = std::move(made);
    } else {
      high = middle;
      result.beyond = std::move(made);
    }
  }
  return result;
}

}  // namespace sparseserve::plan
