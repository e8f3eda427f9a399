// How long one call takes: between two events of its lane, which the device stamps when it comes to
// them, or on the clock of the host where a call runs there.
//
// The caches are cold, unless a call settles them: calls walk through pools larger than the caches
// (workbench.h), and where a pool is not, the caches are evicted before each sample. Before the
// first event the lane gets something to do, so that the calls are in its queue by the time it
// comes to them: what is measured is the device at work and not how fast the host submits. Where
// submitting takes longer than running (a copy per block), it is the submission, as it would be in
// a real run.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/bench/call.h"
#include "kernels/bench/workbench.h"
#include "sim/core/units.h"

namespace sparseserve::bench {

struct TimerOptions {
  bool warm = false;             // repeat one variant, so that the caches hold what fits
  Seconds least_sample{100e-6};  // shorter calls are timed several at once
};

class Timer {
 public:
  Timer(Workbench& workbench, TimerOptions options);

  // Calls per sample, so that a sample is long enough for the clock; also warms up.
  std::int64_t ChooseNumCalls(const Call& call);
  // Time of one call, as the mean of `num_calls` in a row.
  Seconds Sample(const Call& call, std::int64_t num_calls);
  // The same on the clock of the host, from the first submission on an idle device to the end.
  Seconds SampleWithSubmission(const Call& call);
  // Evicts the caches; to be called now and then where `Sample` does not.
  void FlushCaches();

 private:
  void OccupyLane(kernels::Lane lane, std::int64_t num_calls);
  std::int64_t NextVariant() { return options_.warm ? 0 : variant_++; }

  Workbench& workbench_;
  kernels::Backend& backend_;
  const TimerOptions options_;
  bool flushes_ = false;  // before each sample
  bool flush_is_cheap_ = false;
  std::int64_t variant_ = 1;
  kernels::Buffer plug_;
};

// The host's monotonic clock.
Seconds Now();

}  // namespace sparseserve::bench
