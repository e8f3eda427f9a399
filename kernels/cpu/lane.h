// A lane of the CPU backend: one thread that runs tasks in the order in which they were enqueued.
#pragma once

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
// Threads: one enqueues.
class CpuLane {
 public:
  CpuLane();
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
  void RunTasks();

  std::mutex mutex_;
  std::condition_variable pushed_;
  std::deque<Task> tasks_;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace sparseserve::kernels::cpu
