#include "sim/plan/sweep.h"

#include <mutex>

namespace sparseserve::plan {

void RunPoints(const std::vector<std::size_t>& ordinals, std::int64_t threads, const RunPoint& run,
               const TakeOutcome& take, const std::atomic<bool>& stop) {
  std::mutex mutex;  // of `take`
  std::atomic<bool> failed{false};
  const serving::ProgressFunction progress = [&](std::int64_t) {
    if (stop || failed) throw Interrupted();
  };
  const auto body = [&](std::size_t i) {
    try {
      const Outcome outcome = run(ordinals[i], progress);
      const std::lock_guard lock(mutex);
      take(ordinals[i], outcome);
    } catch (...) {
      failed = true;
      throw;
    }
  };
  RunInParallel(ordinals.size(), threads, body, stop);
}

}  // namespace sparseserve::plan
