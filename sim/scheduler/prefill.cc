#include "sim/scheduler/prefill.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::scheduler {
namespace {

void PlanChunk(RequestIndex index, const RequestState& request, std::int64_t num_layers,
               std::int64_t token_layers, std::vector<PrefillPiece>& pieces) {
  const Tokens left = request.prefill_target - request.prefill_tokens;
  const Tokens chunk(std::min(left.value(), token_layers / num_layers));
  if (chunk <= Tokens(0)) return;
  const Tokens end = request.prefill_tokens + chunk;
  pieces.push_back({.request = index,
                    .begin = request.prefill_tokens,
                    .end = end,
                    .layer_begin = 0,
                    .layer_end = num_layers,
                    .completes = end == request.prefill_target});
}

void PlanSegment(RequestIndex index, const RequestState& request, std::int64_t num_layers,
                 std::int64_t token_layers, bool cut_layers, std::vector<PrefillPiece>& pieces) {
  const Tokens prompt = request.prefill_target;
  std::int64_t layer = request.prefill_layer;
  Tokens begin = request.prefill_tokens;
  const auto add = [&](Tokens end, std::int64_t layers) {
    pieces.push_back({.request = index,
                      .begin = begin,
                      .end = end,
                      .layer_begin = layer,
                      .layer_end = layer + layers,
                      .completes = end == prompt && layer + layers == num_layers});
    token_layers -= pieces.back().TokenLayers();
  };
  const std::int64_t rest = (prompt - begin).value();
  if (begin > Tokens(0) || (cut_layers && token_layers < rest)) {  // in parts
    if (token_layers <= 0) return;
    const std::int64_t part = std::min(rest, token_layers);
    add(begin + Tokens(part), 1);
    if (part < rest) return;
    layer += 1;
    begin = Tokens(0);
  }
  const std::int64_t whole = std::min(token_layers / prompt.value(), num_layers - layer);
  if (whole > 0) add(prompt, whole);
}

}  // namespace

void PlanPrefill(PrefillMode mode, RequestIndex index, const RequestState& request,
                 std::int64_t num_layers, std::int64_t token_layers, bool cut_layers,
                 std::vector<PrefillPiece>& pieces) {
  if (mode == PrefillMode::kChunked) {
    PlanChunk(index, request, num_layers, token_layers, pieces);
  } else {
    PlanSegment(index, request, num_layers, token_layers, cut_layers, pieces);
  }
}

void AdvancePrefill(PrefillMode mode, const PrefillPiece& piece, RequestState& request) {
  SPARSESERVE_CHECK(piece.begin == request.prefill_tokens,
                    "prefill tokens are computed twice or never");
  if (mode == PrefillMode::kChunked) {
    request.prefill_tokens = piece.end;
    return;
  }
  SPARSESERVE_CHECK(piece.layer_begin == request.prefill_layer,
                    "prefill layers are computed twice or never");
  if (piece.end < request.prefill_target) {
    request.prefill_tokens = piece.end;
  } else {
    request.prefill_tokens = Tokens(0);
    request.prefill_layer = piece.layer_end;
  }
}

}  // namespace sparseserve::scheduler
