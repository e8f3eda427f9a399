#include "kernels/cpu/lane.h"

#include <utility>

#include "kernels/poll.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu {

CpuLane::CpuLane(std::chrono::nanoseconds patience)
    : patience_(patience), thread_([this] { RunTasks(); }) {}

CpuLane::~CpuLane() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pushed_.notify_one();
  thread_.join();
}

void CpuLane::Enqueue(std::function<void()> task) { Push({std::move(task), nullptr}); }

EventPtr CpuLane::Record(std::chrono::nanoseconds patience) {
  auto event = std::make_shared<HostEvent>(patience);
  Push({nullptr, event});
  return event;
}

void CpuLane::Wait(EventPtr event) {
  auto host_event = std::dynamic_pointer_cast<const HostEvent>(std::move(event));
  SPARSESERVE_CHECK(host_event != nullptr, "an event of another backend");
  Enqueue([this, event = std::move(host_event)] { event->Wait(patience_); });
}

void CpuLane::Synchronize() { Record()->Synchronize(); }

void CpuLane::Push(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    tasks_.push_back(std::move(task));
    is_idle_ = false;
  }
  pushed_.notify_one();
}

void CpuLane::RunTasks() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (tasks_.empty() && !stopping_) {
      lock.unlock();
      PollFor(patience_, [this] { return !is_idle_; });
      lock.lock();
    }
    pushed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;  // stopping, and all is done
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    is_idle_ = tasks_.empty();
    std::exception_ptr error = error_;
    lock.unlock();
    if (task.event) {
      task.event->Complete(error);
    } else if (!error) {
      try {
        task.run();
      } catch (...) {
        error = std::current_exception();
      }
    }
    task = {};  // what the task holds is freed before the lane goes on
    lock.lock();
    error_ = error;
  }
}

}  // namespace sparseserve::kernels::cpu
