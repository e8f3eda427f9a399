// A fixed set of threads that run one loop together, for the CPU kernels and the copies.
//
// Work is cut into contiguous ranges by count alone, never by who is fast: a kernel that sums
// within an index gives the same bits whatever the number of threads. Threads sleep between loops,
// since a pool shares its cores with others; waking them costs some ten microseconds.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sparseserve::kernels {

// Threads: ParallelFor from one thread at a time, and not from within a body.
class ThreadPool {
 public:
  using Body = std::function<void(std::int64_t begin, std::int64_t end)>;

  // The caller of ParallelFor is one of `num_threads`. REQUIRES: num_threads >= 1.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs `body` on ranges that cover [0, count) once, at most one range a thread and `max_threads`
  // in all (0: all threads), and returns when all are done. One range runs on the caller. If bodies
  // throw, the exception of the lowest range is rethrown after all have ended.
  void ParallelFor(std::int64_t count, const Body& body, int max_threads = 0);
  // Adds threads until there are at least `num_threads`.
  void Grow(int num_threads);

 private:
  void Work(int index, std::int64_t last_loop);
  void RunRange(int index);

  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable finished_;
  // Guarded by mutex_; the loop below them is written only while no worker runs.
  std::int64_t loop_ = 0;  // counts loops, so that no worker takes one twice
  int num_running_ = 0;
  bool stopping_ = false;

  const Body* body_ = nullptr;
  std::int64_t count_ = 0;
  int num_ranges_ = 0;
  std::vector<std::exception_ptr> errors_;  // by range
  std::vector<std::thread> workers_;
};

}  // namespace sparseserve::kernels
