#include "models/selection/replay_model.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <system_error>

#include "models/selection/trace_codec.h"
#include "sim/core/check.h"
#include "sim/core/error.h"

namespace sparseserve::selection {
ReplayModel::ReplayModel(std::string path, const TraceGeometry& geometry)
    : path_(std::move(path)), geometry_(geometry), had_tail_(geometry.heads) {
  errno = 0;
  file_.open(path_, std::ios::binary);
  if (file_) file_bytes_ = static_cast<std::uint64_t>(file_.seekg(0, std::ios::end).tellg());
  if (!file_ || file_bytes_ > std::numeric_limits<std::int64_t>::max())
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(),
                            "cannot read " + path_);
  Scan();
}

void ReplayModel::BeginRequest(RequestIndex request, std::uint64_t request_key,
                               std::int64_t prompt_blocks) {
  // The last recording of this key whose prompt is not longer.
  const auto after = std::upper_bound(
      by_key_.begin(), by_key_.end(), std::pair(request_key, prompt_blocks),
      [this](const auto& wanted, std::size_t index) {
        return wanted < std::pair(recordings_[index].key, recordings_[index].prompt_blocks);
      });
  const bool found = after != by_key_.begin() && recordings_[after[-1]].key == request_key;
  if (!found || (prompt_blocks > recordings_[after[-1]].prompt_blocks &&
                 prompt_blocks > recordings_[after[-1]].context_blocks))
    throw InputError(
        {{path_},
         "request " + std::to_string(request_key),
         "no recording of it reaches a prompt of " + std::to_string(prompt_blocks) + " blocks",
         "a selection trace of the same workload and block size",
         "record one from this trace"});
  if (static_cast<std::size_t>(request) >= active_.size()) active_.resize(request + 1);
  Active& active = active_[request];
  active = Active{};
  active.recording = after[-1];
  active.layers.resize(geometry_.num_layers);
  if (prompt_blocks > recordings_[active.recording].prompt_blocks)
    SkipToContext(active, prompt_blocks);
}

void ReplayModel::Step(RequestIndex request, std::int64_t layer_index, std::int64_t context_blocks,
                       SelectionDelta& delta) {
  Active& active = active_[request];
  if (!active.open) OpenStep(active);
  LayerState& layer = active.layers[layer_index];
  SPARSESERVE_CHECK(!layer.asked, "each layer is asked once per step");
  if (context_blocks < active.recorded_context)
    PayloadReader(active, layer.record)
        .Fail("the recorded context has " + std::to_string(active.recorded_context) + " blocks",
              "at most the " + std::to_string(context_blocks) + " of the run at this step");
  const std::int64_t tail = context_blocks - 1;
  for (std::int64_t head = 0; head < geometry_.heads; ++head)
    had_tail_[head] = layer.selected.Contains(tail * geometry_.heads + head);
  Advance(active, layer);
  if (active.repositioned) {
    EmitAll(layer, tail, delta);
  } else {
    EmitChanges(layer, tail, delta);
  }
  layer.tail = tail;
  layer.asked = true;
  if (++active.layers_asked == geometry_.num_layers) CloseStep(active);
}

void ReplayModel::EndRequest(RequestIndex request) { active_[request] = Active{}; }

void ReplayModel::SkipToContext(Active& active, std::int64_t context_blocks) {
  for (OpenStep(active); active.recorded_context < context_blocks; OpenStep(active)) {
    for (LayerState& layer : active.layers) Advance(active, layer);
    CloseStep(active);
    active.repositioned = true;
  }
}

void ReplayModel::OpenStep(Active& active) {
  const Recording& recording = recordings_[active.recording];
  if (recording.num_steps == 0)
    throw InputError({{path_},
                      "request " + std::to_string(recording.key),
                      "its recording has no decode step",
                      "a recording of a request that decodes",
                      ""});
  active.restarts = active.step == recording.num_steps;
  if (active.restarts) {
    active.extrapolates = true;
    active.step = 0;
    active.next_chunk = 0;
    active.payload.clear();
    active.position = 0;
    active.recorded_context = 0;
  }
  extrapolated_steps_ += active.extrapolates;
  if (active.position == active.payload.size()) {
    Chunk chunk = recording.chunks[active.next_chunk++];
    ReadChunk(chunk, active.payload);
    active.position = chunk.steps_position;
  }
  codec::Reader reader = PayloadReader(active, active.position);
  active.recorded_context +=
      static_cast<std::int64_t>(reader.Varint(std::numeric_limits<Unit>::max(), "growth"));
  for (LayerState& layer : active.layers) {
    layer.record_bytes = reader.Varint(reader.remaining(), "length of a record");
    layer.record = reader.position();
    reader.Skip(layer.record_bytes);
  }
  active.position = reader.position();
  active.open = true;
}

void ReplayModel::CloseStep(Active& active) {
  ++active.step;
  active.open = false;
  active.layers_asked = 0;
  active.repositioned = false;
  for (LayerState& layer : active.layers) layer.asked = false;
}

void ReplayModel::Advance(const Active& active, LayerState& layer) {
  const codec::Reader start = PayloadReader(active, layer.record);
  codec::Reader reader = start;
  const std::uint64_t end = active.recorded_context * geometry_.heads;
  reader.Units(end, added_);
  reader.Units(end, removed_);
  if (active.restarts) {
    std::vector<Unit> before, goal;
    layer.selected.ForEach([&](Unit unit) { before.push_back(unit); });
    goal.swap(added_);
    std::set_difference(goal.begin(), goal.end(), before.begin(), before.end(),
                        std::back_inserter(added_));
    std::set_difference(before.begin(), before.end(), goal.begin(), goal.end(),
                        std::back_inserter(removed_));
  }
  for (const Unit unit : added_)
    if (!layer.selected.Insert(unit))
      start.Fail("unit " + std::to_string(unit) + " joins twice", "units that are not selected");
  for (const Unit unit : removed_)
    if (!layer.selected.Erase(unit))
      start.Fail("unit " + std::to_string(unit) + " leaves unselected", "units that are selected");
}

void ReplayModel::EmitChanges(const LayerState& layer, std::int64_t tail,
                              SelectionDelta& delta) const {
  const auto heads = static_cast<Unit>(geometry_.heads);
  const auto first_new = static_cast<Unit>(tail * heads);
  const bool had_old = layer.tail >= 0;
  const auto first_old = static_cast<Unit>(layer.tail * heads);
  // Units of the old and the new tail block are dealt with below.
  const auto in_old = [&](Unit unit) { return had_old && unit - first_old < heads; };
  for (const Unit unit : added_)
    if (!in_old(unit)) delta.added.push_back(unit);
  for (const Unit unit : removed_)
    if (!in_old(unit) && !(unit - first_new < heads)) delta.removed.push_back(unit);
  if (layer.tail == tail) return;
  for (Unit head = 0; head < heads; ++head) {
    if (had_old && !layer.selected.Contains(first_old + head))
      delta.removed.push_back(first_old + head);
    if (!had_tail_[head] && !layer.selected.Contains(first_new + head))
      delta.added.push_back(first_new + head);
  }
}

void ReplayModel::EmitAll(const LayerState& layer, std::int64_t tail, SelectionDelta& delta) const {
  layer.selected.ForEach([&](Unit unit) { delta.added.push_back(unit); });
  for (std::int64_t head = 0; head < geometry_.heads; ++head) {
    const std::int64_t unit = tail * geometry_.heads + head;
    if (!layer.selected.Contains(unit)) delta.added.push_back(static_cast<Unit>(unit));
  }
}

codec::Reader ReplayModel::PayloadReader(const Active& active, std::size_t position) const {
  const Chunk& chunk = recordings_[active.recording].chunks[active.next_chunk - 1];
  codec::Reader reader(active.payload, path_, chunk.offset + codec::kChunkHeaderBytes);
  reader.Skip(position);
  return reader;
}

}  // namespace sparseserve::selection
