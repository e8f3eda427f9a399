// Arrival processes: renewal processes that differ in the distribution of the gaps between
// requests.
#pragma once

#include <cstdint>

#include "sim/core/rng.h"
#include "sim/core/units.h"

namespace sparseserve::traces {

enum class ArrivalKind : std::uint8_t {
  kAsRecorded,  // times of the trace; a generator has none and rejects it
  kConstant,    // equal gaps
  kPoisson,     // exponential gaps
  kGamma,       // gamma gaps: bursts for cv > 1, more regular than Poisson for cv < 1
};

struct ArrivalOptions {
  ArrivalKind kind = ArrivalKind::kPoisson;
  double rate_per_s = 1;  // requests per second, in the mean
  double cv = 1;          // kGamma: standard deviation of the gaps over their mean; 1 is Poisson
};

// The times of one process, from 0 on; the first request arrives after the first gap. A function
// of (options, seed) alone, drawn from RandomStream(seed, "arrivals"): for one kind and cv, another
// rate only stretches the same times (common random numbers over a rate sweep).
class ArrivalClock {
 public:
  // Throws InputError on kAsRecorded, a rate outside [1e-6, 1e9] or a cv outside [0.01, 100].
  ArrivalClock(const ArrivalOptions& options, std::uint64_t seed);

  // Returns the next time. Each gap is rounded to the nanosecond. Throws InputError beyond 1e9 s.
  SimTime Next();

 private:
  Seconds DrawGap();

  ArrivalOptions options_;
  RandomStream random_;
  SimTime now_;
};

}  // namespace sparseserve::traces
