#include "kernels/bench/stopping_rule.h"

namespace sparseserve::bench {

Verdict Decide(const StoppingRule& rule, const Summary& summary, bool out_of_time) {
  const double half_width = (summary.median_high - summary.median_low) / 2;
  if (summary.num_samples >= rule.min_samples &&
      half_width <= rule.relative_error * summary.median) {
    return Verdict::kPrecise;
  }
  if (out_of_time || summary.num_samples >= rule.max_samples) return Verdict::kNoisy;
  return Verdict::kContinue;
}

}  // namespace sparseserve::bench
