// What one iteration has to compute, in the terms of the cost models: the plan broken into runs of
// layers that do the same.
//
// Layer-segmented prefill puts a prompt beside the decodes in some layers only, so the batch
// differs from layer to layer; yet most iterations have one or two different runs. Costs are
// computed once per run and layer kind, not per layer.
#pragma once

#include <cstdint>
#include <vector>

#include "models/cost/cost_model.h"
#include "sim/scheduler/kv_memory.h"
#include "sim/scheduler/request_state.h"

namespace sparseserve::serving {

// Consecutive layers with the same prefill work.
struct LayerRun {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  Tokens prefill_tokens;
  std::int64_t prefill_blocks = 0;  // that the tokens touch
  std::vector<cost::PrefillSpan> spans;
};

// The decode side, the same in all layers but for the dense ones.
struct DecodeWork {
  std::int64_t num_requests = 0;
  std::int64_t filled_blocks = 0;  // newest blocks that this step fills, one per request at most
  Tokens context_tokens;           // sum over requests
  Tokens selected_tokens;          // attended to in a sparse layer
  std::int64_t scored_blocks = 0;  // full blocks of the requests that have to choose, of one head
  std::int64_t gathering_requests = 0;  // those with more blocks than the budget
  std::int64_t choosing_requests = 0;   // those that score and choose in this step
  std::int64_t widest_blocks = 0;       // the largest number of scores in a row
};

class IterationWork {
 public:
  // Reuses its storage from call to call. O(requests + pieces).
  void Build(const scheduler::IterationPlan& plan,
             const std::vector<scheduler::RequestState>& table,
             const scheduler::KvGeometry& geometry);

  const std::vector<LayerRun>& runs() const { return runs_; }
  const DecodeWork& decode() const { return decode_; }
  // Requests that produce a token: decodes and completing prefills.
  Tokens output_tokens() const { return output_tokens_; }
  // Of prefill in all tokens, each counted in every layer that it passes.
  double PrefillShare() const;

 private:
  void BuildRuns(const scheduler::IterationPlan& plan, const scheduler::KvGeometry& geometry);

  std::vector<LayerRun> runs_;
  std::vector<std::int64_t> cuts_;
  DecodeWork decode_;
  Tokens output_tokens_;
};

}  // namespace sparseserve::serving
