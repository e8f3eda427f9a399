// A lane of the CPU backend: one thread that runs tasks in the order in which they were enqueued.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/backend.h"
#include "kernels/host_event.h"

namespace sparseserve::kernels::cpu {

// As with a CUDA stream, an error stays: once a task has thrown, later tasks are dropped, their
// events complete with the error, and every later call rethrows it.
//
// With `patience` the thread polls for so long before it sleeps, for tasks and for events. Woken
// from sleep at each choice of blocks it took some 22 us more, as long as the choice itself (a
// virtual machine with two cores of an AMD EPYC, 2026-11); a GPU does not sleep between kernels.
// Threads: one enqueues.
class CpuLane {
 public:
  explicit CpuLane(std::chrono::nanoseconds patience = {});
  // Runs what is enqueued first.
  ~CpuLane();
  CpuLane(const CpuLane&) = delete;
  CpuLane& operator=(const CpuLane&) = delete;

  void Enqueue(std::function<void()> task);
  EventPtr Record();
  // What is enqueued later starts after `event`, and fails with it.
  void Wait(EventPtr event);
  void Synchronize();

 private:
  struct Task {
    std::function<void()> run;
    std::shared_ptr<HostEvent> event;  // or this one
  };

  void Push(Task task);
  template <typename IsOver>
  void Poll(const IsOver& is_over) const;
  void RunTasks();

  const std::chrono::nanoseconds patience_;
  std::mutex mutex_;
  std::condition_variable pushed_;
  std::deque<Task> tasks_;
  bool stopping_ = false;
  std::atomic<bool> is_wanted_ = false;  // stopping, or there are tasks; polled without the mutex
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace sparseserve::kernels::cpu
