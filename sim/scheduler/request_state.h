// A request as the scheduler may see it: prompt, progress, memory held; never how long its output
// will be.
#pragma once

#include <cstdint>

#include "sim/core/units.h"
#include "sim/kvcache/kv_cache.h"

namespace sparseserve::scheduler {

using kvcache::RequestIndex;
using kvcache::SaveTicket;

enum class Stage : std::uint8_t { kWaiting, kPrefill, kDecode };

struct RequestState {
  std::int64_t id = 0;  // of the trace
  SimTime arrival;
  Tokens prompt;
  Tokens generated;  // tokens produced so far
  Stage stage = Stage::kWaiting;
  std::int64_t preemptions = 0;

  // Prefill. After a preemption the tokens generated so far are recomputed with the prompt.
  Tokens prefill_target;
  Tokens prefill_tokens;  // chunked: done in all layers; layer-segmented: done in `prefill_layer`
  std::int64_t prefill_layer = 0;  // layer-segmented: layers complete

  // Tokens whose KV the next decode step attends to, its own input token included.
  Tokens context() const { return prompt + generated; }
};

// A piece of prefill work in one iteration: tokens [begin, end) through layers [layer_begin,
// layer_end).
struct PrefillPiece {
  RequestIndex request = 0;
  Tokens begin;
  Tokens end;
  std::int64_t layer_begin = 0;
  std::int64_t layer_end = 0;
  bool completes = false;  // the prompt's last token leaves the last layer: a token comes out

  std::int64_t TokenLayers() const { return (end - begin).value() * (layer_end - layer_begin); }
};

// What one iteration runs. `ticket` numbers the iterations of a replica from 1 and names their
// saves.
struct IterationPlan {
  SaveTicket ticket = 0;
  std::vector<RequestIndex> decodes;
  std::vector<PrefillPiece> prefills;

  bool empty() const { return decodes.empty() && prefills.empty(); }
};

}  // namespace sparseserve::scheduler
