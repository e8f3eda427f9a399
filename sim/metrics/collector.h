// Collects what a run produces: per request, per iteration, and the counters that must balance.
//
// It holds about 100 bytes a request, and 8 bytes for each run of equal token gaps, about one per
// iteration (exact quantiles need them); iterations are handed on, not kept. Latencies run from
// arrival.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/quantiles.h"
#include "sim/core/units.h"

namespace sparseserve::metrics {

struct RequestRecord {
  std::int64_t id = 0;
  std::int32_t replica = -1;
  std::int32_t preemptions = 0;
  SimTime arrival;
  SimTime scheduled;  // begin of the first iteration that works on it
  SimTime first_token;
  SimTime last_token;
  SimTime finish;  // last token, or the moment it failed
  Tokens prompt;
  Tokens output;  // asked for
  Tokens produced;
  bool was_scheduled = false;
  bool failed = false;
};

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
  std::int64_t block_loads = 0;
  std::int64_t block_touches = 0;
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
  std::int64_t block_touches = 0;
  Bytes h2d_bytes, d2h_bytes;
  Seconds compute, attention, load_stall, save_stall, host;
  Seconds h2d_busy, d2h_busy, scatter_busy;
};

class Collector {
 public:
  explicit Collector(IterationSink* sink = nullptr) : sink_(sink) {}

  // Ids count up from 0 in order of arrival.
  void OnArrival(SimTime now, std::int64_t id, std::int32_t replica, Tokens prompt, Tokens output);
  void OnScheduled(SimTime now, std::int64_t id);
  void OnToken(SimTime now, std::int64_t id);
  void OnPreempted(std::int64_t id);
  void OnFinish(SimTime now, std::int64_t id, bool failed);
  void OnIteration(const IterationRecord& record);
  // Aborts when something was lost or made up: requests, tokens, time in system (Little's law,
  // exact in integer ns).
  void CheckConservation() const;

  const std::vector<RequestRecord>& requests() const { return requests_; }
  const RunLengthSample& token_gaps_ms() const { return token_gaps_ms_; }
  const IterationTotals& totals() const { return totals_; }
  std::int64_t num_finished() const { return num_finished_; }
  std::int64_t preemptions() const { return preemptions_; }
  SimTime end() const { return last_change_; }
  // Time-averaged number of requests waiting for their first iteration, in each half of the arrival
  // period.
  double MeanWaiting(bool second_half) const;

 private:
  // Wide enough for any number of requests times any number of nanoseconds.
  __extension__ using Area = __int128;

  void Integrate(SimTime now);
  RequestRecord& At(std::int64_t id);

  IterationSink* sink_;
  std::vector<RequestRecord> requests_;
  RunLengthSample token_gaps_ms_;
  IterationTotals totals_;
  std::int64_t num_finished_ = 0;
  std::int64_t preemptions_ = 0;
  std::int64_t in_system_ = 0;
  std::int64_t waiting_ = 0;  // for their first iteration
  SimTime last_change_;
  Area system_area_ = 0;  // integral of in_system_ over time, in ns
  Area waiting_area_ = 0;
};

}  // namespace sparseserve::metrics
