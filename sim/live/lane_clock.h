// Turns events on the backend's lanes into the times of an iteration.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "sim/serving/executor.h"
#include "sim/serving/timeline.h"

namespace sparseserve::live {

// `kCompute` is shared by prefill tokens and decodes, `kSelect` is the decodes' own.
enum class Part : std::uint8_t {
  kCompute,
  kSelect,
  kPrefillAttention,
  kDecodeAttention,
  kLoadStall,
  kSaveStall
};

class LaneClock {
 public:
  explicit LaneClock(kernels::Backend& backend) : backend_(backend) {}

  // Starts an iteration on the compute lane.
  void Begin();
  // The compute lane since the last mark did `name`.
  void Mark(Part part, const char* name, std::int64_t layer);
  // The compute lane since the last mark waited: for `until` on another lane (may be null), and for
  // the host.
  void MarkWait(Part part, kernels::EventPtr until, std::int64_t layer);
  // What a copy lane does between two calls.
  void BeginTransfer(kernels::Lane lane);
  void EndTransfer(const char* name, std::int64_t layer);
  kernels::EventPtr last_transfer() const { return transfers_.back().end; }
  kernels::EventPtr last_transfer_begin() const { return transfers_.back().begin; }
  kernels::EventPtr last_mark() const { return intervals_.back().end; }

  // Waits for the compute lane and adds the iteration's times to `result`; copies that are still
  // under way are added to the result of a later iteration. `prefill_share` is that of shared
  // compute. Draws into `timeline`, if any, from
  // `start` on.
  void Harvest(SimTime start, double prefill_share, serving::IterationResult& result,
               serving::Timeline* timeline);

 private:
  struct Interval {
    kernels::EventPtr end;
    kernels::EventPtr until;  // of a wait
    const char* name;
    std::int64_t layer;
    Part part;
    bool wait;
  };
  struct Transfer {
    kernels::Lane lane;
    kernels::EventPtr begin, end;
    const char* name;
    std::int64_t layer;
    bool drawn = false;
  };

  kernels::Backend& backend_;
  kernels::EventPtr begin_;
  std::vector<Interval> intervals_;
  std::vector<Transfer> transfers_;
  SimTime h2d_free_, d2h_free_;  // ends of the copies drawn last
};

}  // namespace sparseserve::live
