// FCFS continuous batching with hybrid prefill/decode batches, as vLLM does it, and on top of it
// the working-set control of SparseServe (arXiv 2509.24626, Algorithm 1).
//
// One iteration's batch is formed in three passes:
// (1) Candidates: running decodes, prefills in progress, then waiting requests, each in order of
//     admission or arrival, within max_requests and max_batch_tokens.
// (2) With working-set control, a candidate whose estimated working set does not fit beside those
//     accepted before it goes back as if it had not been picked. The first is always accepted, so
//     that the batch is never empty.
// (3) Memory: decodes grow; when memory is exhausted the latest admitted request is preempted and
//     will recompute. Waiting requests are admitted in order until one does not fit; none is
//     admitted in an iteration that preempts, except to end a deadlock.
//
// The scheduler never knows which executor runs, nor how long an output will be.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "sim/metrics/time_parts.h"
#include "sim/scheduler/kv_memory.h"
#include "sim/scheduler/prefill.h"
#include "sim/scheduler/request_state.h"

namespace sparseserve::scheduler {

struct SchedulerConfig {
  std::int64_t max_requests = 256;  // R_max: vLLM's max_num_seqs
  Tokens max_batch_tokens{
      2048};  // T_max: vLLM's max_num_batched_tokens; the chunk of chunked prefill
  // Prefill work per iteration in token-layers; 0: max_batch_tokens x layers, parity with chunked
  // prefill.
  std::int64_t max_inject_token_layers = 0;
  PrefillMode prefill = PrefillMode::kChunked;
  bool working_set_control = false;
};

class Scheduler {
 public:
  // `table` holds the state of every live request by index and outlives the scheduler, as does
  // `memory`.
  Scheduler(const SchedulerConfig& config, std::int64_t num_layers, KvMemory& memory,
            std::vector<RequestState>& table);

  // The request at `index` has arrived.
  void Enqueue(RequestIndex index);

  // Forms the next batch. An empty plan means that nothing can run now; when no saves are pending,
  // that happens only if there are no requests. `saves_pending`: waiting for saves may free memory.
  const IterationPlan& Plan(bool saves_pending);
  // The planned iteration has run: progress moves, tokens come out.
  void Advance();
  // The request has produced its last token: frees what it holds.
  void Finish(RequestIndex index);

  // What the last Plan() did beside the plan.
  const std::vector<RequestIndex>& admitted() const { return admitted_; }
  const std::vector<RequestIndex>& preempted() const { return preempted_; }
  // Requests that outgrew memory while alone: they can never finish. The owner must drop them; they
  // are no longer known here.
  const std::vector<RequestIndex>& failed() const { return failed_; }

  // What kept the last plan from holding more.
  metrics::BatchBound batch_bound() const { return batch_bound_; }

  std::int64_t num_waiting() const { return static_cast<std::int64_t>(waiting_.size()); }
  std::int64_t num_running() const { return static_cast<std::int64_t>(running_.size()); }

 private:
  struct Candidate {
    RequestIndex index;
    std::size_t first_piece;
    std::size_t num_pieces;  // 0: a decode step
    bool waiting;
  };

  void FormBatch();
  // Something stayed out of the batch for this reason.
  void NoteBound(metrics::BatchBound bound) { batch_bound_ = std::max(batch_bound_, bound); }
  void NoteMemoryBound();
  void CollectCandidates();
  void FilterByWorkingSet();
  void CommitDecode(RequestIndex index);
  void CommitPrefill(const Candidate& candidate);
  bool AdmitWaiting(RequestIndex index);
  void Preempt(RequestIndex index);
  void Fail(RequestIndex index);
  bool ResolveDeadlock();
  void AddCandidate(RequestIndex index, bool waiting, std::int64_t& token_layers);
  RequestState& At(RequestIndex index) { return table_[static_cast<std::size_t>(index)]; }

  SchedulerConfig config_;
  std::int64_t num_layers_;
  KvMemory& memory_;
  std::vector<RequestState>& table_;

  std::deque<RequestIndex> waiting_;
  std::vector<RequestIndex> running_;  // in order of admission
  IterationPlan plan_;
  metrics::BatchBound batch_bound_ = metrics::BatchBound::kRequests;
  std::vector<RequestIndex> admitted_, preempted_, failed_;
  std::vector<Candidate> candidates_;  // scratch of Plan()
  std::vector<PrefillPiece> pieces_;   // scratch of Plan()
};

}  // namespace sparseserve::scheduler
