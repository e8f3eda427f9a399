// How much longer decode attention takes over blocks that lie in memory than over blocks that a
// load has just brought: a load may leave them in the caches of the device.
//
// Measured as a model does it, layer after layer: projections, a load, attention. On a CPU whose L3
// was evicted first instead, attention over 1,024 random blocks of 8 KiB took 310 to 450 us right
// after the copies, in live runs 700, and 860 us from memory (2 cores of an EPYC, November 2026).
// The compute lane is kept busy during the load, so that both do not share one core; which of a
// virtual machine's cores share an L3 changes while it runs, so samples are to be spread over time,
// and their means count.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/bench/workbench.h"

namespace sparseserve::bench {

class ColdRead {
 public:
  // Eight requests, about a thousand blocks, which is what a layer of a decode batch loads; fewer
  // where the pools are small. Checks both kernels, throws WrongResult. REQUIRES: the backend
  // supports `method`.
  ColdRead(Workbench& workbench, kernels::LoadMethod method);
  ~ColdRead();

  // Times some layers in a row: a load, attention over what it brought, and attention over what was
  // brought several layers before.
  void Sample();

  std::int64_t num_samples() const { return num_samples_; }
  std::int64_t num_blocks() const;  // in each call
  // Means. REQUIRES: there are samples.
  Seconds cold() const { return cold_ / static_cast<double>(num_samples_); }
  Seconds loaded() const { return loaded_ / static_cast<double>(num_samples_); }
  double slowdown() const { return cold_ / loaded_; }

 private:
  class LoadedBlocks;

  std::unique_ptr<LoadedBlocks> blocks_;
  std::int64_t num_samples_ = 0;
  Seconds cold_, loaded_;  // sums
};

}  // namespace sparseserve::bench
