// When a point has been sampled enough. A pure function of the samples, so that it can be tested
// without a clock.
#pragma once

#include <cstdint>

#include "kernels/bench/statistics.h"

namespace sparseserve::bench {

struct StoppingRule {
  std::int64_t min_samples = 7;
  std::int64_t max_samples = 60;
  double relative_error = 0.02;  // of the median: half its confidence interval over itself
};

enum class Verdict : std::uint8_t {
  kContinue,
  kPrecise,  // the median is known well enough
  kNoisy,    // it is not, and time or patience is out
};

Verdict Decide(const StoppingRule& rule, const Summary& summary, bool out_of_time);

}  // namespace sparseserve::bench
