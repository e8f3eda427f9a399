// What a run asked of the KV cache, in order: enough to replay it against another eviction policy
// or against the offline optimum, with the same capacity over time.
//
// It is the log of the calls that change the cache: 32 bytes a call and 4 bytes per unit that
// joined or left a selection. What a policy decides is not in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/kvcache/kv_cache.h"

namespace sparseserve::kvcache {

enum class AccessKind : std::uint8_t {
  kAddRequest,
  kRemoveRequest,
  kReserve,        // count: slots
  kRelease,        // count: slots
  kAdoptPrefill,   // count: blocks; from: the first dirty one
  kAddSavedUnits,  // count: blocks
  kAppendBlock,
  kMarkTailDirty,
  kCompleteSaves,
  kBeginLayer,
  kSelect,      // count: added units, then `from` removed ones, in AccessTrace::units
  kLoadMisses,  // count: 1 when the loads were complete
};

struct Access {
  AccessKind kind;
  RequestIndex request = -1;
  std::int32_t layer = 0;
  std::int64_t count = 0;
  std::int64_t from = 0;
  SaveTicket ticket = 0;
};

struct AccessTrace {
  KvCacheConfig config;
  std::vector<Access> accesses;
  std::vector<Unit> units;  // of the Select calls, in order: added, then removed
};

// Handed to KvCache::set_recorder before the first request, and alive while it records.
class AccessRecorder {
 public:
  void Begin(const KvCacheConfig& config) { trace_ = {config, {}, {}}; }
  void Record(const Access& access) { trace_.accesses.push_back(access); }
  void RecordSelect(RequestIndex request, std::int32_t layer, std::span<const Unit> added,
                    std::span<const Unit> removed) {
    Record({AccessKind::kSelect, request, layer, static_cast<std::int64_t>(added.size()),
            static_cast<std::int64_t>(removed.size())});
    trace_.units.insert(trace_.units.end(), added.begin(), added.end());
    trace_.units.insert(trace_.units.end(), removed.begin(), removed.end());
  }
  const AccessTrace& trace() const { return trace_; }

 private:
  AccessTrace trace_;
};

}  // namespace sparseserve::kvcache
