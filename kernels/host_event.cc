#include "kernels/host_event.h"

#include <utility>

#include "kernels/poll.h"
#include "sim/core/check.h"

namespace sparseserve::kernels {

void HostEvent::Wait(std::chrono::nanoseconds patience) const {
  PollFor(patience, [this] { return IsDone(); });
  if (!IsDone()) {
    std::unique_lock lock(mutex_);
    completed_.wait(lock, [this] { return IsDone(); });
  }
  if (error_) std::rethrow_exception(error_);
}

void HostEvent::Complete(std::exception_ptr error) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const std::lock_guard lock(mutex_);
  SPARSESERVE_CHECK(!IsDone(), "an event is completed once");
  time_ns_ = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  error_ = std::move(error);
  is_done_.store(true, std::memory_order_release);
  completed_.notify_all();
}

std::int64_t HostEvent::time_ns() const {
  SPARSESERVE_CHECK(IsDone(), "an event has no time before it is done");
  return time_ns_;
}

}  // namespace sparseserve::kernels
