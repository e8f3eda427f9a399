// What runs an iteration: the boundary between the policy core and the two ways to execute it.
//
// The simulated executor asks a selection model which blocks are selected and cost models how long
// things take; the live executor really does it. Scheduler, cache and metrics never know which one
// runs.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.h"
#include "sim/kvcache/kv_cache.h"
#include "sim/scheduler/request_state.h"

namespace sparseserve::serving {

using scheduler::IterationPlan;
using scheduler::RequestIndex;
using scheduler::RequestState;

// Where the time of one iteration went. The parts sum up to `duration`.
struct IterationTime {
  Seconds duration;
  Seconds compute;    // projections, MLP, logits, scoring and top-k
  Seconds attention;  // prefill and decode attention
  // Of the two above, what prefill cost; linear layers are shared by tokens.
  Seconds prefill_compute, prefill_attention;
  Seconds load_stall;  // compute waits for selected blocks
  Seconds save_stall;  // compute waits for room to save into
  Seconds host;        // the engine's own work between two iterations; the GPU idles
};

struct IterationResult {
  IterationTime time;
  Seconds h2d_busy;  // of the copy lanes, for work issued in this iteration
  Seconds d2h_busy;
  Seconds scatter_busy;      // CPU threads
  std::int64_t loads = 0;    // units
  std::int64_t reloads = 0;  // of them, units that had been in HBM and were evicted
  std::int64_t touches = 0;  // units selected
  Bytes h2d_bytes;
  Bytes d2h_bytes;
  bool extrapolated = false;  // a cost left the range in which it was measured
};

// What a simulation needs to form the same batches as a measured run and to find the same blocks
// saved; of one replica. The clock and the cache follow it, the parts of an iteration stay
// predicted.
struct MeasuredRun {
  std::vector<Seconds> durations;                 // of the iterations
  std::vector<kvcache::SaveTicket> saved_before;  // what was saved when each iteration was planned
};

class Executor {
 public:
  virtual ~Executor() = default;

  // The request's prompt is complete: it decodes from the next iteration on.
  virtual void BeginDecode(RequestIndex index, const RequestState& request) = 0;
  // The request leaves, finished or preempted. Called for every request that had begun to decode.
  virtual void EndDecode(RequestIndex index) = 0;

  // Runs one iteration from `start` on. `table` gives the state of the plan's requests before it.
  virtual IterationResult Execute(SimTime start, const IterationPlan& plan,
                                  const std::vector<RequestState>& table) = 0;

  // When the last save issued so far is complete; not after `now` if none is pending.
  virtual SimTime SavesDone() const = 0;
  // Tells the cache which saves are complete at `now`.
  virtual void CompleteSaves(SimTime now) = 0;
};

}  // namespace sparseserve::serving
