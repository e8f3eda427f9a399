// Which blocks a query selects, step by step: the simulator's stand-in for really scoring metadata.
//
// A model reports *changes*: the units that joined and that left the selected set of (request,
// layer) at a step. Within (request, layer) units are numbered block * heads + head, as in the KV
// cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sparseserve::selection {

using RequestIndex = std::int32_t;  // dense and reused
using Unit = std::uint32_t;

struct SelectionDelta {
  std::vector<Unit> added;
  std::vector<Unit> removed;
  void Clear() {
    added.clear();
    removed.clear();
  }
};

class SelectionModel {
 public:
  virtual ~SelectionModel() = default;

  // Starts a request. What it selects is a pure function of (seed, request_key, step): independent
  // of the index, of other requests and of the system under test, so that two systems see the same
  // accesses.
  virtual void BeginRequest(RequestIndex request, std::uint64_t request_key,
                            std::int64_t prompt_blocks) = 0;
  // Appends to `delta` what changes in `layer` at the request's next decode step. `context_blocks`
  // counts the partly filled last block, which is always selected; it never shrinks. Each layer is
  // asked once per step.
  virtual void Step(RequestIndex request, std::int64_t layer, std::int64_t context_blocks,
                    SelectionDelta& delta) = 0;
  virtual void EndRequest(RequestIndex request) = 0;
};

}  // namespace sparseserve::selection
