// One factory per eviction policy; the table of their names stands in eviction_policy.cc.
#pragma once

#include <memory>

#include "sim/kvcache/eviction_policy.h"

namespace sparseserve::kvcache {

std::unique_ptr<EvictionPolicy> MakeLru(const CacheState& state);
std::unique_ptr<EvictionPolicy> MakeFifo(const CacheState& state);
std::unique_ptr<EvictionPolicy> MakeClock(const CacheState& state);
std::unique_ptr<EvictionPolicy> MakeSieve(const CacheState& state);
std::unique_ptr<EvictionPolicy> MakeS3Fifo(const CacheState& state);
std::unique_ptr<EvictionPolicy> MakeLayerCyclic(const CacheState& state);

}  // namespace sparseserve::kvcache
