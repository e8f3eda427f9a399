// What a trace looks like, in one pass: size, load, lengths, burstiness.
#pragma once

#include <cstdint>

#include "sim/core/units.h"
#include "traces/request.h"

namespace sparseserve::traces {

struct LengthStatistics {
  double p50 = 0;  // quantiles by linear interpolation (numpy's default)
  double mean = 0;
  double p99 = 0;
  Tokens max;
  Tokens total;
};

struct TraceStatistics {
  std::int64_t num_requests = 0;
  SimTime first_arrival;
  SimTime last_arrival;
  Seconds span;                   // last arrival - first arrival
  double rate_per_s = 0;          // gaps / span, (requests - 1) / span; 0 if the span is 0
  std::int64_t num_ties = 0;      // requests that arrive together with their predecessor
  std::int64_t num_ticks = 0;     // distinct arrival times
  std::int64_t largest_tick = 0;  // most requests at one time
  // Burstiness: coefficient of variation of the gaps (population). 0 equal gaps, 1 Poisson; ties
  // of a coarse clock raise it.
  double gap_cv = 0;
  LengthStatistics prompt;
  LengthStatistics output;
};

// Reads `source` to its end. Memory: 8 bytes per request, for exact quantiles of lengths below
// 2^24 tokens (longer ones are rounded to 24 bits).
TraceStatistics Measure(RequestStream& source);

}  // namespace sparseserve::traces
