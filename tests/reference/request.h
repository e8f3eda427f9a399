// What the reference simulator knows of a request, and what it writes down about a run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/serving/system.h"
#include "traces/request.h"

namespace sparseserve::reference {

using serving::SystemConfig;

// One KV unit: a block of one head of one layer of one request.
struct Unit {
  bool selected = false;  // by the group's last step
  bool resident = false;
  std::uint32_t ticket = 0;   // of the save that writes it to DRAM
  std::int64_t last_use = 0;  // tick of the last step that selected it, or of its creation
  std::int64_t left = 0;      // tick at which it was dropped from the selection, or created
  std::int64_t step = 0;      // the group's step that last selected it; 0: none
};

struct Layer {
  std::vector<Unit> units;  // block * heads + head
  std::int64_t steps = 0;
  bool in_use = false;  // selected from in the layer that runs
};

enum class Stage : std::uint8_t { kWaiting, kPrefill, kDecode, kGone };

struct Request {
  traces::Request trace;
  Stage stage = Stage::kWaiting;
  std::int64_t generated = 0;
  std::int64_t target = 0;       // tokens of the prefill
  std::int64_t done_tokens = 0;  // of the prefill; layer-segmented: in the layer begun
  std::int64_t done_layers = 0;
  bool selecting = false;  // the selection model knows it

  // Memory. Resident systems: rows. Offloading ones: the rest.
  std::int64_t rows = 0;
  std::int64_t dram_rows = 0;
  std::int64_t space = 0;     // slots of the prefill in progress
  std::int64_t metadata = 0;  // slots
  std::int64_t promised = 0;  // slots that the prefill may come to hold
  std::int64_t chunk_block = 0, last_chunk_block = 0;
  std::int64_t blocks = 0;  // whose units exist
  std::vector<Layer> layers;

  std::int64_t context() const { return trace.prompt.value() + generated; }
};

// A piece of prefill: tokens [begin, end) through layers [layer_begin, layer_end).
struct Piece {
  Request* request = nullptr;
  std::int64_t begin = 0, end = 0, layer_begin = 0, layer_end = 0;
  bool completes = false;

  std::int64_t token_layers() const { return (end - begin) * (layer_end - layer_begin); }
};

struct Plan {
  std::uint32_t ticket = 0;
  std::vector<Request*> decodes;
  std::vector<Piece> prefills;
};

// What happened, in integers; two runs are equal when these are.
struct RequestLog {
  std::int64_t id = 0, replica = -1, preemptions = 0, num_tokens = 0;
  std::int64_t arrival = -1, scheduled = -1, first_token = -1, last_token = -1, finish = -1;  // ns
  bool failed = false;
};

struct IterationLog {
  std::int64_t replica = 0, begin = 0, end = 0;
  std::int64_t decodes = 0, prefills = 0, token_layers = 0, running = 0, waiting = 0;
  std::int64_t loads = 0, touches = 0, h2d_bytes = 0, d2h_bytes = 0, hbm_used = 0, dram_used = 0;
  double compute = 0, attention = 0, load_stall = 0, save_stall = 0;  // s
  double h2d_busy = 0, d2h_busy = 0, scatter_busy = 0;
};

struct Log {
  std::vector<RequestLog> requests;      // by id
  std::vector<IterationLog> iterations;  // by end, then replica
  std::vector<float> token_gaps_ms;      // of all requests, sorted
  std::int64_t evictions = 0;
};

}  // namespace sparseserve::reference
