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
// With `patience` the thread polls for so long before it sleeps. It is woken through the kernel
// otherwise, and where its core slept as well that takes 20 to 40 us (a virtual machine, two cores
// of an AMD EPYC, 2026-11), longer than a choice of blocks; a GPU does not sleep between kernels.
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
  void Poll() const;
  void RunTasks();

  const std::chrono::nanoseconds patience_;
  std::mutex mutex_;
  std::condition_variable pushed_;
  std::deque<Task> tasks_;
  std::atomic<bool> is_idle_ = true;  // no tasks_, as polling sees it
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace sparseserve::kernels::cpu
