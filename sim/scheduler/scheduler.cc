#include "sim/scheduler/scheduler.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::scheduler {

using metrics::BatchBound;

Scheduler::Scheduler(const SchedulerConfig& config, std::int64_t num_layers, KvMemory& memory,
                     std::vector<RequestState>& table)
    : config_(config), num_layers_(num_layers), memory_(memory), table_(table) {
  if (config_.max_inject_token_layers == 0) {
    config_.max_inject_token_layers = config_.max_batch_tokens.value() * num_layers;
  }
}

void Scheduler::Enqueue(RequestIndex index) {
  RequestState& request = At(index);
  request.stage = Stage::kWaiting;
  request.prefill_target = request.prompt;
  waiting_.push_back(index);
}

const IterationPlan& Scheduler::Plan(bool saves_pending) {
  admitted_.clear();
  preempted_.clear();
  failed_.clear();
  if (plan_.ticket == 0 || !plan_.empty()) ++plan_.ticket;  // an empty plan uses none up
  FormBatch();
  while (plan_.empty() && !saves_pending && ResolveDeadlock()) FormBatch();
  return plan_;
}

void Scheduler::FormBatch() {
  plan_.decodes.clear();
  plan_.prefills.clear();
  batch_bound_ = BatchBound::kRequests;
  memory_.BeginPlan();
  CollectCandidates();
  if (config_.working_set_control) FilterByWorkingSet();
  const std::size_t preempted_before = preempted_.size();
  for (const Candidate& candidate : candidates_) {
    if (candidate.waiting) {
      if (preempted_.size() > preempted_before || !AdmitWaiting(candidate.index))
        break;  // first come, first served
    } else if (At(candidate.index).stage == Stage::kWaiting) {
      continue;  // preempted by a candidate before it
    }
    if (candidate.num_pieces == 0) {
      CommitDecode(candidate.index);
    } else {
      CommitPrefill(candidate);
    }
  }
}

void Scheduler::NoteMemoryBound() {
  NoteBound(memory_.RefusedByDram() ? BatchBound::kDram : BatchBound::kHbm);
}

void Scheduler::CollectCandidates() {
  candidates_.clear();
  pieces_.clear();
  std::int64_t tokens = config_.max_batch_tokens.value();
  for (const RequestIndex index : running_) {
    if (At(index).stage != Stage::kDecode) continue;
    if (tokens == 0) {
      NoteBound(BatchBound::kMaxBatchTokens);
      break;
    }
    candidates_.push_back({index, 0, 0, false});
    --tokens;
  }
  // Decodes take their share of the prefill budget, so that both modes load an iteration alike.
  std::int64_t token_layers =
      config_.max_inject_token_layers - static_cast<std::int64_t>(candidates_.size()) * num_layers_;
  for (const RequestIndex index : running_) {
    if (At(index).stage == Stage::kPrefill) AddCandidate(index, false, token_layers);
  }
  std::int64_t seats = config_.max_requests - num_running();
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it, --seats) {
    if (seats <= 0) {
      NoteBound(BatchBound::kMaxRequests);
      break;
    }
    const std::size_t before = candidates_.size();
    AddCandidate(*it, true, token_layers);
    if (candidates_.size() == before) break;  // the budget is spent
  }
}

void Scheduler::AddCandidate(RequestIndex index, bool waiting, std::int64_t& token_layers) {
  const std::size_t first = pieces_.size();
  // A layer is cut only for the first prefill of the batch; the others wait for a whole layer's
  // budget.
  PlanPrefill(config_.prefill, index, At(index), num_layers_, token_layers,
              /*cut_layers=*/first == 0, pieces_);
  if (pieces_.size() == first || !pieces_.back().completes) NoteBound(BatchBound::kMaxBatchTokens);
  if (pieces_.size() == first) return;
  for (std::size_t i = first; i < pieces_.size(); ++i) token_layers -= pieces_[i].TokenLayers();
  candidates_.push_back({index, first, pieces_.size() - first, waiting});
}

void Scheduler::FilterByWorkingSet() {
  const std::int64_t available = memory_.AvailableUnits();
  std::int64_t used = memory_.HeldUnits();
  std::size_t kept = 0;
  for (const Candidate& candidate : candidates_) {
    const RequestState& request = At(candidate.index);
    const std::int64_t need =
        candidate.num_pieces == 0
            ? memory_.DecodeNeed(candidate.index, request)
            : memory_.PrefillNeed(pieces_[candidate.first_piece + candidate.num_pieces - 1],
                                  request);
    if (used + need > available && kept > 0) {
      NoteBound(BatchBound::kWorkingSet);
      continue;
    }
    used += need;
    candidates_[kept++] = candidate;
  }
  candidates_.resize(kept);
}

void Scheduler::CommitDecode(RequestIndex index) {
  while (true) {
    const Grow grown = memory_.GrowDecode(index, At(index), plan_.ticket);
    if (grown == Grow::kDone) {
      plan_.decodes.push_back(index);
    } else {
      NoteMemoryBound();
    }
    if (grown != Grow::kFull) return;
    const RequestIndex victim = running_.back();
    if (victim == index && running_.size() == 1) {
      Fail(index);
      return;
    }
    Preempt(victim);
    if (victim == index) return;
  }
}

void Scheduler::CommitPrefill(const Candidate& candidate) {
  const PrefillPiece* pieces = &pieces_[candidate.first_piece];
  for (std::size_t i = 0; i < candidate.num_pieces; ++i) {
    if (memory_.GrowPrefill(pieces[i], At(candidate.index)) != Grow::kDone)
      return NoteMemoryBound();
    plan_.prefills.push_back(pieces[i]);
  }
}

bool Scheduler::AdmitWaiting(RequestIndex index) {
  if (!memory_.Admit(index, At(index))) {
    NoteMemoryBound();
    return false;
  }
  At(index).stage = Stage::kPrefill;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), index));
  running_.push_back(index);
  admitted_.push_back(index);
  return true;
}

void Scheduler::Preempt(RequestIndex index) {
  RequestState& request = At(index);
  memory_.Release(index);
  running_.erase(std::find(running_.begin(), running_.end(), index));
  request.stage = Stage::kWaiting;
  request.prefill_target = request.context();
  request.prefill_tokens = Tokens(0);
  request.prefill_layer = 0;
  ++request.preemptions;
  waiting_.push_front(index);
  preempted_.push_back(index);
}

void Scheduler::Fail(RequestIndex index) {
  memory_.Release(index);
  running_.erase(std::find(running_.begin(), running_.end(), index));
  failed_.push_back(index);
}

// Nothing runs and nothing will change by waiting: the latest admitted request gives way; a request
// that does not fit although it is alone can never be served. Returns whether there is something
// left to plan.
bool Scheduler::ResolveDeadlock() {
  if (running_.size() > 1) {
    Preempt(running_.back());
    return true;
  }
  if (running_.size() == 1) {
    Fail(running_.back());
    return true;
  }
  if (waiting_.empty()) return false;
  failed_.push_back(waiting_.front());
  waiting_.pop_front();
  return true;
}

void Scheduler::Advance() {
  for (const RequestIndex index : plan_.decodes) At(index).generated += Tokens(1);
  for (const PrefillPiece& piece : plan_.prefills) {
    RequestState& request = At(piece.request);
    AdvancePrefill(config_.prefill, piece, request);
    if (!piece.completes) continue;
    memory_.FinishPrefill(piece.request, request, plan_.ticket);
    request.stage = Stage::kDecode;
    request.generated += Tokens(1);
  }
}

void Scheduler::Finish(RequestIndex index) {
  memory_.Release(index);
  running_.erase(std::find(running_.begin(), running_.end(), index));
}

}  // namespace sparseserve::scheduler
