// A slow simulator that can be checked by reading: the yardstick of sim/.
//
// It plays the same rules (docs/design.md, the headers of sim/scheduler, sim/kvcache and
// sim/serving) without anything that makes the real one fast: no event heap (each step looks at
// everything for the next instant), no incremental state (occupancy, working sets and promises are
// counted anew), no lists for eviction (a scan over all units), no shared layer costs. What it
// takes from the product is beliefs, not mechanism: the cost model and the locality model as
// functions, the geometry and budget of HBM as numbers.
#pragma once

#include "sim/serving/system.h"
#include "tests/reference/request.h"

namespace sparseserve::reference {

// REQUIRES: a feasible configuration with LRU eviction; working-set control only with offloading.
Log Simulate(const SystemConfig& config, const std::vector<traces::Request>& requests);

}  // namespace sparseserve::reference
