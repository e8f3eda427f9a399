// One operation at one size, ready to be run again and again, checked and timed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "calibration/record.h"
#include "kernels/backend.h"

namespace sparseserve::bench {

// A kernel computed something else than it should: it must not be timed.
class WrongResult : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Call {
  std::string operation;  // as in calibration/record.h
  calibration::Work work;
  // Where it runs; nothing: on the caller's thread, done when `enqueue` returns.
  std::optional<kernels::Lane> lane;
  // Enqueues it once. Each `variant` uses other memory.
  std::function<void(std::int64_t variant)> enqueue;
  // Leaves in the caches what calls from `variant` on find there in a model; empty: nothing.
  std::function<void(std::int64_t variant)> settle;
  // Runs it once on poisoned outputs and compares them with a plain computation in double, or byte
  // by byte. Throws WrongResult.
  std::function<void()> check;
  // What `enqueue` refers to: index arrays of the device and of the host.
  std::vector<std::shared_ptr<void>> memory;
};

}  // namespace sparseserve::bench
