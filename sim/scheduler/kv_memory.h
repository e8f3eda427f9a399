// Where the KV of running requests lives: the scheduler's view of memory.
//
// Two kinds, chosen by configuration: PagedMemory keeps all KV in HBM (vLLM's paging; when it runs
// out, somebody is preempted and recomputes); OffloadMemory keeps it in DRAM and uses HBM as a
// cache of blocks.
#pragma once

#include <cstdint>
#include <string>

#include "sim/core/units.h"
#include "sim/scheduler/lane_sampling.h"
#include "sim/scheduler/request_state.h"

namespace sparseserve::scheduler {

enum class PrefillMode : std::uint8_t { kChunked, kLayerSegmented };

// The KV of one GPU in numbers. A unit is (layer, head, block).
struct KvGeometry {
  std::int64_t num_layers = 0;
  std::int64_t heads = 0;  // units of one block in one layer, on this GPU
  Tokens block_tokens{32};
  Bytes unit_bytes;
  Bytes metadata_bytes;  // of one unit, in HBM as long as the request lives; 0 without selection
  std::int64_t budget_blocks = 0;   // selected per query in a sparse layer; 0: attention is full
  std::int64_t reuse_interval = 1;  // decode steps for which one choice is kept
  std::int64_t dense_layers = 0;    // the first layers select everything
  Bytes hidden_bytes;               // one token's activations between two prefill segments
  LaneSampling sampling;            // lanes that selection and cache track; default: all

  std::int64_t lanes() const { return num_layers * heads; }
  std::int64_t tracked_layers() const { return num_layers / sampling.layer_stride; }
  std::int64_t tracked_heads() const { return heads / sampling.head_stride; }  // of such a layer
  Bytes block_row_bytes() const {
    return unit_bytes * lanes();
  }  // one block of all layers and heads
  // Blocks that one query reads in the widest layer.
  std::int64_t LayerBlocks(std::int64_t context_blocks) const {
    return budget_blocks == 0 || dense_layers > 0 ? context_blocks
                                                  : std::min(context_blocks, budget_blocks);
  }
  // Units that one query reads, all layers and heads.
  std::int64_t SelectedUnits(std::int64_t context_blocks) const {
    if (budget_blocks == 0) return context_blocks * lanes();
    const std::int64_t sparse = std::min(context_blocks, budget_blocks);
    return heads * (dense_layers * context_blocks + (num_layers - dense_layers) * sparse);
  }
};

enum class Grow : std::uint8_t {
  kDone,
  kDefer,  // not in this iteration: saves have to complete first, or the batch is full
  kFull,   // memory is exhausted: somebody has to give way
};

class KvMemory {
 public:
  virtual ~KvMemory() = default;

  // Why a prompt of that length can never be served, even alone; empty when it can.
  virtual std::string WhyNever(Tokens prompt) const = 0;

  // --- life of a request, in this order ---
  // Takes what prefill of `request.prefill_target` tokens needs before it may start; false changes
  // nothing.
  virtual bool Admit(RequestIndex index, const RequestState& request) = 0;
  virtual Grow GrowPrefill(const PrefillPiece& piece, const RequestState& request) = 0;
  // The prefill's last piece, planned in the iteration of `ticket`, has run.
  virtual void FinishPrefill(RequestIndex index, const RequestState& request,
                             SaveTicket ticket) = 0;
  // Room for the KV of the next decode step, which runs in the iteration of `ticket`.
  virtual Grow GrowDecode(RequestIndex index, const RequestState& request, SaveTicket ticket) = 0;
  virtual void Release(RequestIndex index) = 0;

  // --- one iteration ---
  virtual void BeginPlan() {}
  // Whether what was refused last was refused by DRAM; otherwise it was HBM.
  virtual bool RefusedByDram() const { return false; }

  // --- working-set control (Algorithm 1), in HBM units ---
  // HBM that decode working sets and prefills share.
  virtual std::int64_t AvailableUnits() const = 0;
  // What prefills in progress hold, whether or not they run in this iteration.
  virtual std::int64_t HeldUnits() const = 0;
  // Estimated working set of the request's next decode step.
  virtual std::int64_t DecodeNeed(RequestIndex index, const RequestState& request) const = 0;
  // HBM that running `piece` takes beyond what its request holds already.
  virtual std::int64_t PrefillNeed(const PrefillPiece& piece,
                                   const RequestState& request) const = 0;

  // --- for metrics ---
  virtual Bytes hbm_used() const = 0;
  virtual Bytes dram_used() const = 0;
  virtual std::int64_t capacity_blocks() const = 0;  // HBM, in units
  virtual std::int64_t hbm_peak_blocks() const = 0;
  virtual Bytes dram_peak() const = 0;
};

}  // namespace sparseserve::scheduler
