// Recorded selections: what each request selected at each decode step, as changes per layer.
//
// The format stands byte by byte in README.md. In short: a header with the geometry, then chunks
// with a checksum each. A chunk holds consecutive steps of one recording (one life of one request);
// chunks of different recordings interleave in the order in which they filled up, so that writing
// streams and a reader needs one chunk per active request. Integers are little endian or varints
// (LEB128), units are sorted and stored as gaps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/selection/selection_model.h"
#include "sim/core/atomic_file.h"

namespace sparseserve::selection {

struct TraceGeometry {
  std::int64_t num_layers = 0;
  std::int64_t heads = 0;         // units of one block in one layer
  std::int64_t block_tokens = 0;  // tokens
  bool operator==(const TraceGeometry&) const = default;
};

// Writes a trace beside `path` and moves it there when it is complete. Throws std::system_error
// when the file system fails. A trace that was not finished leaves no file.
class SelectionTraceWriter {
 public:
  SelectionTraceWriter(const std::string& path, const TraceGeometry& geometry);

  // Starts a recording and returns its number.
  std::size_t Begin(std::uint64_t request_key, std::int64_t prompt_blocks);
  // Appends a step: the changes of every layer. REQUIRES: `context_blocks` does not shrink.
  void AppendStep(std::size_t recording, std::int64_t context_blocks,
                  std::span<const SelectionDelta> layers);
  void End(std::size_t recording);
  // Ends the recordings that are open, and puts the file in place. Nothing may follow.
  void Finish();

 private:
  struct Recording {
    std::uint64_t key = 0;
    std::int64_t prompt_blocks = 0;
    std::int64_t context_blocks = 0;
    std::uint64_t first_step = 0;  // of the chunk being filled
    std::uint64_t num_steps = 0;   // in it
    bool open = false;
    std::string steps;  // of the chunk being filled, encoded
  };

  void Flush(std::size_t recording);
  void WriteChunk(std::uint32_t kind, std::string_view payload);

  AtomicFile file_;
  TraceGeometry geometry_;
  std::vector<Recording> recordings_;
  std::uint64_t total_steps_ = 0;
  bool finished_ = false;
};

}  // namespace sparseserve::selection
