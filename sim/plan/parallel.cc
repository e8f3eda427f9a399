#include "sim/plan/parallel.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sparseserve::plan {

void RunInParallel(std::size_t count, std::int64_t threads,
                   const std::function<void(std::size_t)>& body, const std::atomic<bool>& stop) {
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> done{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of `failure`
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < count && !stop && !failed; i = next++) {
      try {
        body(i);
        ++done;
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
  };
  const auto workers = std::min<std::int64_t>(threads, static_cast<std::int64_t>(count));
  {
    // Each takes jobs until none is left: jobs differ too much in length for ranges.
    std::vector<std::jthread> others;
    for (std::int64_t i = 1; i < workers; ++i) others.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  if (done < count) throw Interrupted();
}

}  // namespace sparseserve::plan
