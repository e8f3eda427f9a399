#include "models/selection/selection_trace.h"

#include "models/selection/trace_codec.h"
#include "sim/core/check.h"
#include "sim/core/hash.h"

namespace sparseserve::selection {

SelectionTraceWriter::SelectionTraceWriter(const std::string& path, const TraceGeometry& geometry)
    : file_(path), geometry_(geometry) {
  SPARSESERVE_CHECK(geometry.num_layers > 0 && geometry.heads > 0 && geometry.block_tokens > 0,
                    "a trace has layers, heads and a block size");
  std::string header(codec::kMagic);
  codec::AppendFixed(header, codec::kVersion, 4);
  codec::AppendFixed(header, geometry.num_layers, 4);
  codec::AppendFixed(header, geometry.heads, 4);
  codec::AppendFixed(header, geometry.block_tokens, 4);
  codec::AppendFixed(header, HashBytes(header), 8);
  file_.Append(header);
}

std::size_t SelectionTraceWriter::Begin(std::uint64_t request_key, std::int64_t prompt_blocks) {
  SPARSESERVE_CHECK(prompt_blocks >= 0, "a prompt has no negative length");
  Recording recording;
  recording.key = request_key;
  recording.prompt_blocks = prompt_blocks;
  recording.open = true;
  recordings_.push_back(std::move(recording));
  Flush(recordings_.size() - 1);  // so that numbers appear in the file in order
  return recordings_.size() - 1;
}

void SelectionTraceWriter::AppendStep(std::size_t recording, std::int64_t context_blocks,
                                      std::span<const SelectionDelta> layers) {
  Recording& r = recordings_[recording];
  SPARSESERVE_CHECK(r.open && std::ssize(layers) == geometry_.num_layers, "not a step of it");
  SPARSESERVE_CHECK(context_blocks >= r.context_blocks, "the context never shrinks");
  codec::AppendVarint(r.steps, context_blocks - r.context_blocks);
  r.context_blocks = context_blocks;
  std::string record;
  std::vector<Unit> units;
  for (const SelectionDelta& delta : layers) {
    record.clear();
    units = delta.added;
    codec::AppendUnits(record, units);
    units = delta.removed;
    codec::AppendUnits(record, units);
    codec::AppendVarint(r.steps, record.size());
    r.steps += record;
  }
  ++r.num_steps;
  if (r.steps.size() >= codec::kChunkTarget) Flush(recording);
}

void SelectionTraceWriter::End(std::size_t recording) {
  Recording& r = recordings_[recording];
  SPARSESERVE_CHECK(r.open, "the recording has ended already");
  if (r.num_steps > 0) Flush(recording);
  r.open = false;
}

void SelectionTraceWriter::Finish() {
  SPARSESERVE_CHECK(!finished_, "the trace is finished already");
  for (std::size_t i = 0; i < recordings_.size(); ++i)
    if (recordings_[i].open) End(i);
  std::string totals;
  codec::AppendVarint(totals, recordings_.size());
  codec::AppendVarint(totals, total_steps_);
  WriteChunk(codec::kEndChunk, totals);
  file_.Commit();
  finished_ = true;
}

void SelectionTraceWriter::Flush(std::size_t recording) {
  Recording& r = recordings_[recording];
  std::string payload;
  codec::AppendVarint(payload, recording);
  codec::AppendFixed(payload, r.key, 8);
  codec::AppendVarint(payload, r.prompt_blocks);
  codec::AppendVarint(payload, r.first_step);
  codec::AppendVarint(payload, r.num_steps);
  payload += r.steps;
  WriteChunk(codec::kStepsChunk, payload);
  total_steps_ += r.num_steps;
  r.first_step += r.num_steps;
  r.num_steps = 0;
  r.steps.clear();
  r.steps.shrink_to_fit();
}

void SelectionTraceWriter::WriteChunk(std::uint32_t kind, std::string_view payload) {
  SPARSESERVE_CHECK(payload.size() <= codec::kMaxChunkBytes, "a step is too long for a chunk");
  std::string header;
  codec::AppendFixed(header, kind, 4);
  codec::AppendFixed(header, payload.size(), 4);
  codec::AppendFixed(header, codec::ChunkChecksum(kind, payload), 8);
  file_.Append(header);
  file_.Append(payload);
}

}  // namespace sparseserve::selection
