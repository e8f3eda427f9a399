// Waiting without sleep.
#pragma once

#include <chrono>
#include <thread>

namespace sparseserve::kernels {

// Asks `done` until it is true or `patience` is over, and lets other threads run in between.
//
// A thread that sleeps is woken through the kernel, which takes 20 to 40 us where the core sleeps
// as well (a virtual machine, two cores of an AMD EPYC, 2026-11): more than a choice of blocks. A
// GPU does not sleep between kernels, and cudaEventSynchronize polls too.
template <typename Predicate>
void PollFor(std::chrono::nanoseconds patience, const Predicate& done) {
  if (patience.count() <= 0) return;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

}  // namespace sparseserve::kernels
