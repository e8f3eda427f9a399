#include "kernels/host_event.h"

#include <chrono>
#include <utility>

#include "sim/core/check.h"

namespace sparseserve::kernels {

bool HostEvent::IsDone() const { return is_done_; }

void HostEvent::Synchronize() const {
  std::unique_lock lock(mutex_);
  completed_.wait(lock, [this] { return is_done_.load(); });
  if (error_) std::rethrow_exception(error_);
}

void HostEvent::Complete(std::exception_ptr error) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const std::lock_guard lock(mutex_);
  SPARSESERVE_CHECK(!is_done_, "an event is completed once");
  time_ns_ = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  error_ = std::move(error);
  is_done_ = true;
  completed_.notify_all();
}

std::int64_t HostEvent::time_ns() const {
  const std::lock_guard lock(mutex_);
  SPARSESERVE_CHECK(is_done_, "an event has no time before it is done");
  return time_ns_;
}

}  // namespace sparseserve::kernels
