// Collects what a run produces: per request, per iteration, and the counters that must balance.
//
// It holds 112 bytes a request, and 8 bytes for each run of equal token gaps, about one per
// iteration (exact quantiles need them); iterations are handed on, not kept. Both lie in pieces: a
// vector would hold all twice when it grows. Latencies run from arrival.
#pragma once

#include <cstdint>

#include "sim/core/quantiles.h"
#include "sim/core/units.h"
#include "sim/metrics/attribution.h"
#include "sim/metrics/packed_parts.h"
#include "sim/metrics/time_parts.h"

namespace sparseserve::metrics {

struct RequestRecord {
  std::int64_t id = 0;
  std::int32_t replica = -1;
  std::int32_t preemptions : 29 = 0;
  bool was_scheduled : 1 = false;
  bool failed : 1 = false;
  bool redoing : 1 = false;  // preempted after its first token, and no token since
  SimTime arrival;
  SimTime scheduled;  // begin of the first iteration that works on it
  SimTime first_token;
  SimTime last_token;
  SimTime finish;  // last token, or the moment it failed; until then, up to here it is attributed
  Tokens prompt;
  Tokens output;  // asked for
  Tokens produced;
  PackedParts ttft;  // where its time to the first token went
};
static_assert(sizeof(RequestRecord) == 112);

// One iteration of one replica; the columns of iterations.csv.
struct IterationRecord {
  std::int64_t index = 0;
  std::int32_t replica = 0;
  SimTime begin;
  SimTime end;
  std::int64_t num_decodes = 0;
  std::int64_t num_prefills = 0;
  std::int64_t prefill_token_layers = 0;
  std::int64_t num_running = 0;  // admitted requests, in the batch or not
  std::int64_t num_waiting = 0;
  Seconds compute, attention, load_stall, save_stall, host;
  Seconds prefill_compute, prefill_attention;  // of the two above
  std::int64_t block_loads = 0;
  std::int64_t block_reloads = 0;  // loads of what had been in HBM and was evicted
  std::int64_t block_touches = 0;
  BatchBound batch_bound = BatchBound::kRequests;
  Bytes h2d_bytes, d2h_bytes;
  Bytes hbm_used, dram_used;
  Seconds h2d_busy, d2h_busy, scatter_busy;
};

class IterationSink {
 public:
  virtual ~IterationSink() = default;
  virtual void OnIteration(const IterationRecord& record) = 0;
};

// Sums over all iterations.
struct IterationTotals {
  std::int64_t iterations = 0;
  std::int64_t decode_iterations = 0;  // with at least one decode
  std::int64_t batch_sum = 0;          // requests in the batch, summed over iterations
  std::int64_t batch_max = 0;
  std::int64_t decode_tokens = 0;  // decode steps of all requests
  std::int64_t prefill_token_layers = 0;
  std::int64_t block_loads = 0;
  std::int64_t block_reloads = 0;
  std::int64_t block_touches = 0;
  Bytes h2d_bytes, d2h_bytes;
  Seconds compute, attention, load_stall, save_stall, host;
  Seconds h2d_busy, d2h_busy, scatter_busy;
};

// What was counted when the measuring began and when the last request arrived. Between the two the
// system is neither filling up nor draining.
struct MeasuringWindow {
  struct Counts {
    SimTime at;
    std::int64_t finished = 0;      // requests
    std::int64_t input_tokens = 0;  // of prompts whose first token is out
    std::int64_t output_tokens = 0;
    std::int64_t token_gaps = 0;
  };
  std::int64_t warmup_requests = 0;  // the first so many are not measured; 0: everything is
  Counts begin, end;
};

class Collector {
 public:
  // With warm-up, latencies are those of the requests behind the first `warmup_requests`.
  explicit Collector(IterationSink* sink = nullptr, std::int64_t warmup_requests = 0)
      : sink_(sink) {
    window_.warmup_requests = warmup_requests;
  }

  // Ids count up from 0 in order of arrival.
  // `replica` -1: it is not chosen yet, OnRouted follows.
  void OnArrival(SimTime now, std::int64_t id, std::int32_t replica, Tokens prompt, Tokens output);
  void OnRouted(std::int64_t id, std::int32_t replica);
  void OnScheduled(SimTime now, std::int64_t id);
  // The iteration that ends now has worked on the request's prompt; before its token, if any.
  void OnPrefill(SimTime now, std::int64_t id);
  void OnToken(SimTime now, std::int64_t id);
  void OnPreempted(std::int64_t id);
  void OnFinish(SimTime now, std::int64_t id, bool failed);
  // Before the calls for the requests that the iteration worked on.
  void OnIteration(const IterationRecord& record);
  // Aborts when something was lost or made up: requests, tokens, time in system (Little's law) and
  // where it went, exact in integer ns.
  void CheckConservation() const;

  const RequestRecords& requests() const { return requests_; }
  const RunLengthSample& token_gaps_ms() const { return token_gaps_ms_; }
  const IterationTotals& totals() const { return totals_; }
  // Meaningful once more requests than those of the warm-up have arrived.
  const MeasuringWindow& window() const { return window_; }
  std::int64_t num_finished() const { return counts_.finished; }
  const Attribution& attribution() const { return attribution_; }
  std::int64_t preemptions() const { return preemptions_; }
  SimTime end() const { return last_change_; }
  // Time-averaged number of requests waiting for their first iteration, in each half of the arrival
  // period.
  double MeanWaiting(bool second_half) const;

 private:
  using Area = WideNs;  // requests times nanoseconds

  void Integrate(SimTime now);
  RequestRecord& At(std::int64_t id);

  IterationSink* sink_;
  MeasuringWindow window_;
  MeasuringWindow::Counts counts_;  // up to now
  RequestRecords requests_;
  RunLengthSample token_gaps_ms_;
  IterationTotals totals_;
  Attribution attribution_;
  std::int64_t preemptions_ = 0;
  std::int64_t in_system_ = 0;
  std::int64_t waiting_ = 0;  // for their first iteration
  SimTime last_change_;
  Area system_area_ = 0;  // integral of in_system_ over time, in ns
  Area waiting_area_ = 0;
};

}  // namespace sparseserve::metrics
