#include "kernels/cpu/lane.h"

#include <utility>

namespace sparseserve::kernels::cpu {

CpuLane::CpuLane(std::chrono::nanoseconds patience)
    : patience_(patience), thread_([this] { RunTasks(); }) {}

CpuLane::~CpuLane() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = is_wanted_ = true;
  }
  pushed_.notify_one();
  thread_.join();
}

void CpuLane::Enqueue(std::function<void()> task) { Push({std::move(task), nullptr}); }

EventPtr CpuLane::Record() {
  auto event = std::make_shared<HostEvent>();
  Push({nullptr, event});
  return event;
}

void CpuLane::Wait(EventPtr event) {
  Enqueue([this, event = std::move(event)] {
    Poll([&event] { return event->IsDone(); });
    event->Synchronize();
  });
}

void CpuLane::Synchronize() { Record()->Synchronize(); }

void CpuLane::Push(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    tasks_.push_back(std::move(task));
    is_wanted_ = true;
  }
  pushed_.notify_one();
}

// Until `is_over`, or patience ends; other threads run in between.
template <typename IsOver>
void CpuLane::Poll(const IsOver& is_over) const {
  if (patience_.count() == 0) return;
  const auto end = std::chrono::steady_clock::now() + patience_;
  while (!is_over() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

void CpuLane::RunTasks() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (patience_.count() > 0 && !is_wanted_) {
      lock.unlock();
      Poll([this] { return is_wanted_.load(); });
      lock.lock();
    }
    pushed_.wait(lock, [this] { return is_wanted_.load(); });
    if (tasks_.empty()) return;  // stopping, and all is done
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    is_wanted_ = stopping_ || !tasks_.empty();
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
