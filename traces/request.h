// One request of a workload trace, and the stream that yields them. No simulator state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "sim/core/units.h"

namespace sparseserve::traces {

struct Request {
  std::int64_t id = 0;  // position in the stream, from 0
  SimTime arrival;      // since the start of the trace; never decreases along a stream
  Tokens prompt;        // > 0
  Tokens output;        // > 0, the first token included
};

// A stream of requests in arrival order. Single-threaded; memory does not grow with its length.
class RequestStream {
 public:
  virtual ~RequestStream() = default;

  // Returns the next request, or nothing at the end. Throws InputError on a bad row.
  virtual std::optional<Request> Next() = 0;
};

}  // namespace sparseserve::traces
