#include "kernels/thread_pool.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::kernels {

ThreadPool::ThreadPool(int num_threads) {
  SPARSESERVE_CHECK(num_threads >= 1, "a pool counts its caller");
  Grow(num_threads);
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  started_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Grow(int num_threads) {
  SPARSESERVE_CHECK(num_running_ == 0, "a pool does not grow during a loop");
  errors_.resize(static_cast<std::size_t>(std::max(num_threads, this->num_threads())));
  while (this->num_threads() < num_threads) {
    workers_.emplace_back([this, index = this->num_threads(), loop = loop_] { Work(index, loop); });
  }
}

void ThreadPool::ParallelFor(std::int64_t count, const Body& body, int max_threads) {
  if (count <= 0) return;
  std::int64_t num_ranges = std::min<std::int64_t>(count, num_threads());
  if (max_threads > 0) num_ranges = std::min<std::int64_t>(num_ranges, max_threads);
  if (num_ranges == 1) return body(0, count);

  {
    const std::lock_guard lock(mutex_);
    SPARSESERVE_CHECK(num_running_ == 0, "a pool runs one loop at a time");
    body_ = &body;
    count_ = count;
    num_ranges_ = static_cast<int>(num_ranges);
    num_running_ = num_ranges_ - 1;
    ++loop_;
  }
  started_.notify_all();
  RunRange(0);

  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return num_running_ == 0; });
  std::exception_ptr first;
  for (std::exception_ptr& error : errors_) {
    if (error && !first) first = error;
    error = nullptr;
  }
  lock.unlock();
  if (first) std::rethrow_exception(first);
}

void ThreadPool::Work(int index, std::int64_t last_loop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return stopping_ || loop_ != last_loop; });
    if (stopping_) return;
    last_loop = loop_;
    if (index >= num_ranges_) continue;
    lock.unlock();
    RunRange(index);
    lock.lock();
    if (--num_running_ == 0) finished_.notify_one();
  }
}

void ThreadPool::RunRange(int index) {
  // Multiplied after division, so that no count overflows.
  const std::int64_t each = count_ / num_ranges_;
  const std::int64_t rest = count_ % num_ranges_;
  const auto begin = [&](std::int64_t i) { return i * each + std::min(i, rest); };
  try {
    (*body_)(begin(index), begin(index + 1));
  } catch (...) {
    errors_[static_cast<std::size_t>(index)] = std::current_exception();
  }
}

}  // namespace sparseserve::kernels
