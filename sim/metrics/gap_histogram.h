// Token gaps by length, each bin with the sums of their parts: what the slowest of millions of gaps
// were made of, in bounded memory.
//
// Bins are at most 1/128 of their length wide (HdrHistogram's layout: a power of two and seven bits
// below it). Sums over whole bins are exact; the bin in which a quantile falls enters with a
// weight, so that a share of the gaps is met exactly and only their order inside that bin is
// lost.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/metrics/time_parts.h"

namespace sparseserve::metrics {

// Means over a set of requests or token gaps; the parts sum up to `mean_ms`.
struct Breakdown {
  std::int64_t samples = 0;
  double from_ms = 0;  // the shortest of the set
  double mean_ms = 0;
  std::array<double, kNumParts> parts_ms{};
};

class GapHistogram {
 public:
  // `count` gaps of the same parts.
  void Add(const TimeParts& parts, std::int64_t count);
  // Of the slowest `share` of the gaps, rounded up to a whole number of them; 1: of all. `from_ms`
  // is the lower edge of their shortest bin.
  Breakdown Slowest(double share) const;

  std::int64_t num_gaps() const { return num_gaps_; }
  TimeSums Total() const;  // O(bins)

 private:
  struct Bin {
    std::int64_t count = 0;
    TimeSums sum;
  };
  static std::size_t BinOf(std::int64_t ns);
  static std::int64_t LowerEdge(std::size_t bin);

  std::vector<Bin> bins_;
  std::int64_t num_gaps_ = 0;
};

}  // namespace sparseserve::metrics
