// Splits every request's time to the first token, and every gap between two tokens, into parts that
// sum up to it to the nanosecond.
//
// Between two looks a request was either worked on by the replica's last iteration or not: its time
// up to the begin of that iteration is `held`, the iteration itself is split as the executor said.
// A decode that runs yields a token in each iteration, so a gap that is one iteration long costs
// one addition to a count; the gaps of an iteration enter the histogram together. Before the first
// token each iteration that works on the prompt is added once. O(1) per token and prefill piece.
//
// A preemption before the first token turns the iterations so far into `recompute`; after it, those
// that compute prompt and tokens again are. Waiting to be admitted again is `held`.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "sim/core/units.h"
#include "sim/metrics/gap_histogram.h"
#include "sim/metrics/time_parts.h"

namespace sparseserve::metrics {

struct IterationRecord;
struct RequestRecord;
using RequestRecords = std::deque<RequestRecord>;  // in order of arrival

// How often, and for how long, something bound the iterations.
struct BoundShare {
  std::int64_t iterations = 0;
  std::int64_t ns = 0;
};

// The iteration's parts in whole nanoseconds, which sum up to its length: boundaries are rounded,
// not parts. Where the parts do not sum up to the length (a simulation on a measured clock), they
// are shares of it. Loads of one iteration share its load stall by their number.
TimeParts SplitIteration(const IterationRecord& record);

class Attribution {
 public:
  // An iteration has ended; before the calls for the requests that it worked on.
  void OnIteration(const IterationRecord& record);
  // The request is in a batch for the first time.
  void OnScheduled(SimTime now, RequestRecord& request);
  // The iteration that ends now has worked on the request's prompt.
  void OnPrefill(SimTime now, RequestRecord& request);
  // Before the collector counts the token.
  void OnToken(SimTime now, RequestRecord& request);
  void OnPreempted(RequestRecord& request);
  void OnFinish(const RequestRecord& request);
  // Aborts unless the parts of every first token and of all gaps sum up to what they are parts of.
  void CheckSums(const RequestRecords& requests) const;

  // All gaps so far. O(replicas).
  GapHistogram Gaps() const;
  const std::array<BoundShare, kNumIterationBounds>& iteration_bounds() const {
    return iteration_bounds_;
  }
  const std::array<BoundShare, kNumBatchBounds>& batch_bounds() const { return batch_bounds_; }

 private:
  struct Iteration {
    SimTime begin, end;
    TimeParts parts;
    std::int64_t gaps = 0;  // that are this iteration and nothing else
  };

  Iteration& Last(const RequestRecord& request);
  void Reach(SimTime now, RequestRecord& request, TimeParts& parts);
  // The same in the time to its first token.
  void ReachInFirst(SimTime now, RequestRecord& request);

  std::vector<Iteration> last_;                // by replica
  std::map<std::int64_t, TimeParts> redoing_;  // gaps under way of preempted requests, by id
  GapHistogram gaps_;
  std::array<BoundShare, kNumIterationBounds> iteration_bounds_{};
  std::array<BoundShare, kNumBatchBounds> batch_bounds_{};
};

// Time to the first token of completed requests: all of them, and the slowest `share` (rounded up).
Breakdown SlowestFirstTokens(const RequestRecords& requests, double share);

}  // namespace sparseserve::metrics
