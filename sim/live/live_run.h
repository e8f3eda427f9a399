// One live run: the replica of a simulation with a live executor in it, paced by the wall clock.
#pragma once

#include "kernels/backend.h"
#include "sim/live/live_executor.h"
#include "sim/serving/simulation.h"

namespace sparseserve::live {

struct LiveConfig {
  // Waits for the arrivals of the trace. False: while nothing runs, the clock jumps to the next
  // one.
  bool real_time = true;
  // Takes samples of the machine's speed before, between and after the iterations, off the clock.
  bool probe_speed = false;
};

struct LiveResult {
  serving::RunResult run;
  // Its tokens are the same whatever the system when its budget covers the context.
  LiveRecord left;
};

// `options`: as of a simulation; its executor and pace are replaced. Throws
// InputError when the system cannot run live, DeviceError and std::bad_alloc from the backend.
LiveResult RunLive(const serving::SystemConfig& config, kernels::Backend& backend,
                   const LiveConfig& live, traces::RequestStream& requests,
                   const serving::WorkloadBounds& bounds, const metrics::ServiceLevel& slo,
                   metrics::Collector& collector, serving::RunOptions options);

}  // namespace sparseserve::live
