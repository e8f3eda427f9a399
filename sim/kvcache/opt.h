// Belady's optimum (Belady, "A Study of Replacement Algorithms for a Virtual-Storage Computer", IBM
// Systems Journal 1966): evict the unit whose next selection is furthest in the future. Offline: it
// knows the trace that it will be asked to serve.
//
// Time counts Select calls. A unit that stays selected at its group's next use is used then; one
// that leaves at that use, or is not selected, is used when it joins again. So all units that a
// group holds and keeps share one entry in the heap of next uses, and only units that are about to
// leave, or are created, have their own. O(log) per change; memory follows the trace.
//
// With room made for a whole layer at once and units in use pinned, as the cache does, it loads the
// least of all policies (the exchange argument of Belady's proof holds for any schedule of capacity
// and of units that must be resident together).
#pragma once

#include "sim/kvcache/access_trace.h"
#include "sim/kvcache/eviction_policy.h"

namespace sparseserve::kvcache {

// REQUIRES: the policy that is made sees exactly the calls of `trace`, which outlives the factory
// call.
EvictionPolicyFactory MakeOpt(const AccessTrace& trace);

}  // namespace sparseserve::kvcache
