// What a record holds beside its curves: ceilings of the machine, the launch latency of a kernel,
// and how much a transfer slows the compute beside it.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "calibration/measurement.h"
#include "kernels/bench/call.h"
#include "kernels/bench/timer.h"
#include "kernels/bench/workbench.h"

namespace sparseserve::bench {

using Values = std::map<std::string, calibration::MeasuredValue>;

// "ceilings.*", "latencies.kernel" and "counts.*": those
// that `wanted` says.
Values MeasureCeilings(Workbench& workbench, Timer& timer, Seconds budget,
                       const std::function<bool(const std::string&)>& wanted);

// Medians over calls in a row.
struct Interference {
  Seconds compute_alone;
  Seconds compute_beside;  // while the transfer runs without a pause
  Seconds transfer_alone;
  Seconds transfer_beside;

  double slowdown() const { return compute_beside / compute_alone; }
};
Interference MeasureInterference(Workbench& workbench, Timer& timer, const Call& compute,
                                 const Call& transfer, Seconds budget);

// A GEMM of prefill and a full decode attention, each long enough to overlap transfers.
struct ComputeCalls {
  Call gemm;
  Call decode;
};
ComputeCalls MakeComputeCalls(Workbench& workbench, Timer& timer);

// "slowdowns.*" of the transfers that the backend supports: the worse of the two, and at least 1.
Values MeasureSlowdowns(Workbench& workbench, Timer& timer, Seconds budget,
                        const std::function<bool(const std::string&)>& wanted);

}  // namespace sparseserve::bench
