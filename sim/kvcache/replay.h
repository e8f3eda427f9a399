// Replays a recorded access trace: what would another eviction policy have loaded, and what is the
// least that any could have?
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/kvcache/access_trace.h"

namespace sparseserve::kvcache {

// Loads of the trace under the named policy (EvictionPolicyNames()), or under Belady's optimum for
// "opt". Throws InputError for another name.
//
// A policy may hold dirty units where the recorded one held none; where the replay then finds too
// little evictable, it waits for the saves. For "opt" every save is instant: a constraint less, so
// that its loads bound those of every policy on this trace from below, whatever their saves did.
// REQUIRES: every layer of the trace got all its loads.
std::int64_t ReplayLoads(const AccessTrace& trace, std::string_view policy);

}  // namespace sparseserve::kvcache
