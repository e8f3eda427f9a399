// How much longer decode attention takes over blocks that lie in memory than over blocks that a
// load has just brought: a load may leave them in the caches of the device.
#pragma once

#include "kernels/backend.h"
#include "kernels/bench/workbench.h"

namespace sparseserve::bench {

struct ColdRead {
  std::int64_t num_blocks = 0;  // in each call
  Seconds cold, loaded;         // medians of the attention alone

  double slowdown() const { return cold / loaded; }
};

// Eight requests, about a thousand blocks, which is what a layer of a decode batch loads; fewer
// where the pools are small. The caches are evicted before the load and before the cold attention.
// Alternates the two, so that a slow phase of the machine meets both, for as long as `budget`
// lasts: 3 to 15 times. REQUIRES: the backend supports `method`.
ColdRead MeasureColdRead(Workbench& workbench, kernels::LoadMethod method, Seconds budget);

}  // namespace sparseserve::bench
