#include "sim/serving/iteration_work.h"

#include <algorithm>

namespace sparseserve::serving {

void IterationWork::Build(const scheduler::IterationPlan& plan,
                          const std::vector<scheduler::RequestState>& table,
                          const scheduler::KvGeometry& geometry) {
  decode_ = {};
  decode_.num_requests = static_cast<std::int64_t>(plan.decodes.size());
  output_tokens_ = Tokens(decode_.num_requests);
  const Tokens block = geometry.block_tokens;
  const Tokens budget = block * geometry.budget_blocks;
  for (const scheduler::RequestIndex index : plan.decodes) {
    const scheduler::RequestState& request = table[static_cast<std::size_t>(index)];
    const Tokens context = request.context();
    const std::int64_t full_blocks = context.value() / block.value();
    decode_.context_tokens += context;
    if (context.value() % block.value() == 0) decode_.filled_blocks += 1;
    if (geometry.budget_blocks == 0 ||
        BlocksFor(context, block).value() <= geometry.budget_blocks) {
      decode_.selected_tokens += context;  // everything: nothing to choose
      continue;
    }
    decode_.selected_tokens += budget;
    decode_.gathering_requests += 1;
    // A choice is made at the first step and kept for reuse_interval steps. A request that
    // recomputes after a preemption keeps its phase here; the locality model begins anew.
    if ((request.generated.value() - 1) % geometry.reuse_interval != 0) continue;
    decode_.scored_blocks += full_blocks;
    decode_.choosing_requests += 1;
    decode_.widest_blocks = std::max(decode_.widest_blocks, full_blocks);
  }
  BuildRuns(plan, geometry);
}

void IterationWork::BuildRuns(const scheduler::IterationPlan& plan,
                              const scheduler::KvGeometry& geometry) {
  cuts_.assign({0, geometry.num_layers});
  for (const scheduler::PrefillPiece& piece : plan.prefills) {
    cuts_.push_back(piece.layer_begin);
    cuts_.push_back(piece.layer_end);
    if (piece.completes) output_tokens_ += Tokens(1);
  }
  std::sort(cuts_.begin(), cuts_.end());
  cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
  runs_.resize(cuts_.size() - 1);
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    LayerRun& run = runs_[i];
    run.begin = cuts_[i];
    run.end = cuts_[i + 1];
    run.prefill_tokens = Tokens(0);
    run.prefill_blocks = 0;
    run.spans.clear();
    for (const scheduler::PrefillPiece& piece : plan.prefills) {
      if (piece.layer_begin > run.begin || piece.layer_end < run.end) continue;
      run.spans.push_back({piece.begin, piece.end});
      run.prefill_tokens += piece.end - piece.begin;
      run.prefill_blocks += BlocksFor(piece.end, geometry.block_tokens).value() -
                            piece.begin.value() / geometry.block_tokens.value();
    }
  }
}

double IterationWork::PrefillShare() const {
  double prefill = 0, all = 0;
  for (const LayerRun& run : runs_) {
    const auto layers = static_cast<double>(run.end - run.begin);
    prefill += layers * static_cast<double>(run.prefill_tokens.value());
    all += layers * static_cast<double>(run.prefill_tokens.value() + decode_.num_requests);
  }
  return all > 0 ? prefill / all : 0;
}

}  // namespace sparseserve::serving
