// Repeats recorded selections (selection_trace.h), so that two systems, or the simulator and a live
// run, see the same accesses.
//
// What it adds to the recording:
// (1) the run's newest block is always selected. Where the run's context is ahead of the recorded
//     one, this is one block per head beyond the budget;
// (2) a run that decodes longer than the recording starts it over: at that step the selection
//     changes to that of the recorded first step, and so on. Counted by extrapolated_steps();
// (3) a request that begins with a longer prompt than recorded, as one does that was preempted and
//     recomputes, takes up the recording at the first step with that context.
// A context shorter than the recorded one cannot be served and is an InputError.
//
// The whole file is checked when it is opened (checksums, counts, units against the context); that
// units join only when they are out is checked as they are replayed. Memory: 32 bytes per chunk of
// the file, and per active request one chunk and a bit per unit of the recorded context.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "models/selection/selection_model.h"
#include "models/selection/selection_trace.h"
#include "models/selection/unit_set.h"

namespace sparseserve::selection {

namespace codec {
class Reader;
}

class ReplayModel : public SelectionModel {
 public:
  // Throws std::system_error when the file cannot be read, InputError naming file and byte offset
  // when it is not a sound trace of `geometry`.
  ReplayModel(std::string path, const TraceGeometry& geometry);

  // Throws InputError when the key was not recorded, or not from this context.
  void BeginRequest(RequestIndex request, std::uint64_t request_key,
                    std::int64_t prompt_blocks) override;
  void Step(RequestIndex request, std::int64_t layer, std::int64_t context_blocks,
            SelectionDelta& delta) override;
  void EndRequest(RequestIndex request) override;

  // Steps of requests, so far, that lie beyond what was recorded of them.
  std::int64_t extrapolated_steps() const { return extrapolated_steps_; }
  std::int64_t num_recordings() const { return std::ssize(recordings_); }

 private:
  struct Chunk {
    std::uint64_t offset = 0;  // of its header
    std::uint64_t first_step = 0;
    std::uint32_t num_steps = 0;
    std::uint32_t payload_bytes = 0;
    std::uint32_t steps_position = 0;  // in the payload, of its first step
  };
  struct Recording {
    std::uint64_t key = 0;
    std::int64_t prompt_blocks = 0;
    std::uint64_t num_steps = 0;
    std::int64_t context_blocks = 0;  // at the last step
    std::vector<Chunk> chunks;
  };
  struct LayerState {
    UnitSet selected;        // as recorded
    std::int64_t tail = -1;  // the run's newest block at the last step
    bool asked = false;      // in this step
    std::size_t record = 0;  // where its changes stand in the chunk
    std::size_t record_bytes = 0;
  };
  struct Active {
    std::size_t recording = 0;
    std::uint64_t step = 0;  // of the recording, to be replayed next
    bool extrapolates = false;
    bool repositioned = false;  // the recorded selection is not what the run has: report it all
    bool open = false;          // the step under way has been parsed
    bool restarts = false;      // this step goes from the recorded end to its beginning
    std::int64_t layers_asked = 0;
    std::int64_t recorded_context = 0;
    std::size_t next_chunk = 0;
    std::size_t position = 0;  // in `payload`, of the next step
    std::string payload;       // of the chunk before `next_chunk`; empty: none
    std::vector<LayerState> layers;
  };

  void Scan();
  void ScanHeader();
  void ScanEnd(codec::Reader reader, std::uint64_t total_steps) const;
  // Checks every step of a chunk and enters it into its recording; returns the number of steps.
  std::uint64_t ScanSteps(codec::Reader reader, Chunk chunk);
  // Reads the chunk at chunk.offset, checks its length and checksum, returns its kind and fills in
  // chunk.payload_bytes.
  std::uint32_t ReadChunk(Chunk& chunk, std::string& payload);
  void SkipToContext(Active& active, std::int64_t context_blocks);
  void OpenStep(Active& active);
  void CloseStep(Active& active);
  // Leaves in added_ and removed_ what changes against the recorded selection so far, and applies
  // it to `layer`.
  void Advance(const Active& active, LayerState& layer);
  // Reports added_ and removed_, with the run's newest block `tail` always selected.
  void EmitChanges(const LayerState& layer, std::int64_t tail, SelectionDelta& delta) const;
  void EmitAll(const LayerState& layer, std::int64_t tail, SelectionDelta& delta) const;
  codec::Reader PayloadReader(const Active& active, std::size_t position) const;

  std::string path_;
  TraceGeometry geometry_;
  std::ifstream file_;
  std::uint64_t file_bytes_ = 0;
  std::vector<Recording> recordings_;
  std::vector<std::size_t> by_key_;  // recordings by (key, prompt_blocks)
  std::vector<Active> active_;       // by RequestIndex
  std::vector<Unit> added_, removed_;
  std::vector<bool> had_tail_;
  std::int64_t extrapolated_steps_ = 0;
};

}  // namespace sparseserve::selection
