// An event that a host thread completes: of a CPU lane, or of a scatter into DRAM.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>

#include "kernels/backend.h"

namespace sparseserve::kernels {

// Threads: any number may wait; one completes, once.
class HostEvent : public Event {
 public:
  bool IsDone() const override;
  // Rethrows the error that it was completed with.
  void Synchronize() const override;

  // Marks it done at this instant and wakes all who wait.
  void Complete(std::exception_ptr error = nullptr);
  // When it was completed, in nanoseconds of a monotonic clock. REQUIRES: IsDone().
  std::int64_t time_ns() const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable completed_;
  std::atomic<bool> is_done_ = false;  // polled without the mutex
  std::int64_t time_ns_ = 0;
  std::exception_ptr error_;
};

}  // namespace sparseserve::kernels
