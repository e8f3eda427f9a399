// How much of a prompt one iteration computes, by prefill mode.
//
// Work is counted in token-layers: one token through one layer. Chunked prefill takes tokens [done,
// done + c) through all layers; layer-segmented prefill takes the whole prompt through as many
// layers as fit, and cuts a layer into token chunks only when not even one fits.
#pragma once

#include <vector>

#include "sim/scheduler/kv_memory.h"
#include "sim/scheduler/request_state.h"

namespace sparseserve::scheduler {

// Appends the pieces (none, one or two) that `request` runs within `token_layers` of budget.
// `cut_layers` permits a partial layer; a layer once begun in parts is always continued in parts.
void PlanPrefill(PrefillMode mode, RequestIndex index, const RequestState& request,
                 std::int64_t num_layers, std::int64_t token_layers, bool cut_layers,
                 std::vector<PrefillPiece>& pieces);

// Moves the request's progress past a piece that has run. Pieces are applied in the order they were
// planned.
void AdvancePrefill(PrefillMode mode, const PrefillPiece& piece, RequestState& request);

}  // namespace sparseserve::scheduler
