// One live run: the replica of a simulation with a live executor in it, paced by the wall clock.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "sim/serving/simulation.h"

namespace sparseserve::live {

struct LiveConfig {
  std::string backend = "cpu";
  kernels::BackendConfig device;
  // Waits for the arrivals of the trace. False: while nothing runs, the clock jumps to the next
  // one.
  bool real_time = true;
};

struct LiveResult {
  serving::RunResult run;
  // Tokens of each request, by id; the same whatever the system when its budget covers the context.
  std::map<std::int64_t, std::vector<std::int32_t>> generated;
  kernels::DeviceInfo device;
};

// `options`: as of a simulation; its executor and pace are replaced. Throws InputError when the
// system cannot run live, BackendUnavailable, DeviceError and std::bad_alloc from the backend.
LiveResult RunLive(const serving::SystemConfig& config, const LiveConfig& live,
                   traces::RequestStream& requests, const serving::WorkloadBounds& bounds,
                   const metrics::ServiceLevel& slo, metrics::Collector& collector,
                   serving::RunOptions options);

}  // namespace sparseserve::live
