// Independent jobs on some threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace sparseserve::plan {

// Thrown out of a run when the user asks to stop.
struct Interrupted {};

// Runs body(0) ... body(count - 1), started in this order, on `threads` threads. When `stop`
// becomes true or a body throws, no further one is started; the first exception is thrown once none
// runs, Interrupted if jobs are left for `stop`.
void RunInParallel(std::size_t count, std::int64_t threads,
                   const std::function<void(std::size_t)>& body, const std::atomic<bool>& stop);

}  // namespace sparseserve::plan
