#include "models/selection/recording_model.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::selection {

void RecordingModel::BeginRequest(RequestIndex request, std::uint64_t request_key,
                                  std::int64_t prompt_blocks) {
  model_.BeginRequest(request, request_key, prompt_blocks);
  if (static_cast<std::size_t>(request) >= active_.size()) active_.resize(request + 1);
  Active& active = active_[request];
  active.recording = writer_.Begin(request_key, prompt_blocks);
  active.layers_asked = 0;
  active.layers.resize(num_layers_);
}

void RecordingModel::Step(RequestIndex request, std::int64_t layer, std::int64_t context_blocks,
                          SelectionDelta& delta) {
  const auto added = static_cast<std::ptrdiff_t>(delta.added.size());
  const auto removed = static_cast<std::ptrdiff_t>(delta.removed.size());
  model_.Step(request, layer, context_blocks, delta);
  // The file keeps units sorted. The run gets them in that order too, so that its replay breaks
  // ties at eviction alike. Most models give them sorted.
  const auto sort = [](auto begin, auto end) {
    if (!std::is_sorted(begin, end)) std::sort(begin, end);
  };
  sort(delta.added.begin() + added, delta.added.end());
  sort(delta.removed.begin() + removed, delta.removed.end());
  Active& active = active_[request];
  SPARSESERVE_CHECK(active.layers_asked < num_layers_, "the step before is not written");
  SPARSESERVE_CHECK(active.layers_asked == 0 || context_blocks == active.context_blocks,
                    "the layers of one step see one context");
  active.context_blocks = context_blocks;
  active.layers[layer].added.assign(delta.added.begin() + added, delta.added.end());
  active.layers[layer].removed.assign(delta.removed.begin() + removed, delta.removed.end());
  if (++active.layers_asked < num_layers_) return;
  complete_.push_back(request);
  if (writes_ == Writes::kAtOnce) WriteSteps();
}

void RecordingModel::WriteSteps() {
  for (const RequestIndex request : complete_) {
    Active& active = active_[request];
    writer_.AppendStep(active.recording, active.context_blocks, active.layers);
    active.layers_asked = 0;
  }
  complete_.clear();
}

void RecordingModel::EndRequest(RequestIndex request) {
  SPARSESERVE_CHECK(active_[request].layers_asked < num_layers_, "its last step is not written");
  writer_.End(active_[request].recording);
  model_.EndRequest(request);
}

}  // namespace sparseserve::selection
