#include "sim/serving/replica.h"

#include "sim/core/check.h"

namespace sparseserve::serving {

Replica::Replica(std::int32_t id, const scheduler::SchedulerConfig& scheduling,
                 std::int64_t num_layers, std::unique_ptr<scheduler::KvMemory> memory,
                 std::unique_ptr<Executor> executor, metrics::Collector& collector)
    : id_(id),
      memory_(std::move(memory)),
      scheduler_(scheduling, num_layers, *memory_, table_),
      executor_(std::move(executor)),
      collector_(collector) {}

void Replica::Submit(const traces::Request& request) {
  RequestIndex index = 0;
  if (free_.empty()) {
    index = static_cast<RequestIndex>(table_.size());
    table_.emplace_back();
    outputs_.emplace_back();
    decoding_.push_back(0);
  } else {
    index = free_.back();
    free_.pop_back();
  }
  const auto i = static_cast<std::size_t>(index);
  table_[i] = RequestState{};
  table_[i].id = request.id;
  table_[i].arrival = request.arrival;
  table_[i].prompt = request.prompt;
  outputs_[i] = request.output;
  ++unfinished_;
  if (timeline_ != nullptr) timeline_->BeginRequest(request.id, request.prompt, request.arrival);
  scheduler_.Enqueue(index);
}

std::optional<Replica::Wake> Replica::TryStart(SimTime now) {
  if (busy_) return std::nullopt;
  executor_->CompleteSaves(now);
  const bool saves_pending = executor_->SavesDone() > now;
  const IterationPlan& plan = scheduler_.Plan(saves_pending);
  for (const RequestIndex index : scheduler_.preempted()) {
    collector_.OnPreempted(table_[static_cast<std::size_t>(index)].id);
    DrawPhase(index, RequestPhase::kQueue, now);
    EndDecode(index);
  }
  for (const RequestIndex index : scheduler_.failed()) Drop(index, now, /*failed=*/true);
  if (plan.empty()) {
    if (unfinished_ == 0 || !saves_pending) return std::nullopt;
    return Wake{executor_->SavesDone(), false};
  }
  SPARSESERVE_CHECK(now >= last_end_, "two iterations of a replica overlap");
  plan_ = plan;
  const IterationResult result = executor_->Execute(now, plan_, table_);
  RecordPlan(plan_, now, result);
  busy_ = true;
  return Wake{record_.end, true};
}

void Replica::RecordPlan(const IterationPlan& plan, SimTime now, const IterationResult& result) {
  extrapolated_ |= result.extrapolated;
  record_.replica = id_;
  record_.begin = now;
  record_.end = now + result.time.duration;
  record_.num_decodes = static_cast<std::int64_t>(plan.decodes.size());
  record_.num_prefills = 0;
  record_.prefill_token_layers = 0;
  for (std::size_t i = 0; i < plan.prefills.size(); ++i) {
    record_.prefill_token_layers += plan.prefills[i].TokenLayers();
    const bool first = i == 0 || plan.prefills[i - 1].request != plan.prefills[i].request;
    if (first) ++record_.num_prefills;
    collector_.OnScheduled(now, table_[static_cast<std::size_t>(plan.prefills[i].request)].id);
    DrawPhase(plan.prefills[i].request, RequestPhase::kPrefill, now);
  }
  record_.num_running = scheduler_.num_running();
  record_.num_waiting = scheduler_.num_waiting();
  record_.batch_bound = scheduler_.batch_bound();
  record_.compute = result.time.compute;
  record_.attention = result.time.attention;
  record_.prefill_compute = result.time.prefill_compute;
  record_.prefill_attention = result.time.prefill_attention;
  record_.load_stall = result.time.load_stall;
  record_.save_stall = result.time.save_stall;
  record_.host = result.time.host;
  record_.block_loads = result.loads;
  record_.block_reloads = result.reloads;
  record_.block_touches = result.touches;
  record_.h2d_bytes = result.h2d_bytes;
  record_.d2h_bytes = result.d2h_bytes;
  record_.h2d_busy = result.h2d_busy;
  record_.d2h_busy = result.d2h_busy;
  record_.scatter_busy = result.scatter_busy;
}

void Replica::Finish(SimTime now) {
  SPARSESERVE_CHECK(busy_ && now == record_.end, "an iteration ends that did not start");
  busy_ = false;
  last_end_ = now;
  record_.hbm_used = memory_->hbm_used();
  record_.dram_used = memory_->dram_used();
  collector_.OnIteration(record_);
  if (timeline_ != nullptr) timeline_->AddIteration(record_);
  ++record_.index;
  scheduler_.Advance();
  const auto emit = [&](RequestIndex index) {
    const RequestState& request = table_[static_cast<std::size_t>(index)];
    collector_.OnToken(now, request.id);
    if (request.generated == outputs_[static_cast<std::size_t>(index)]) {
      scheduler_.Finish(index);
      Drop(index, now, /*failed=*/false);
    }
  };
  for (const scheduler::PrefillPiece& piece : plan_.prefills) {
    collector_.OnPrefill(now, table_[static_cast<std::size_t>(piece.request)].id);
    if (!piece.completes) continue;
    executor_->BeginDecode(piece.request, table_[static_cast<std::size_t>(piece.request)]);
    decoding_[static_cast<std::size_t>(piece.request)] = 1;
    DrawPhase(piece.request, RequestPhase::kDecode, now);
  }
  for (const RequestIndex index : plan_.decodes) emit(index);
  for (const scheduler::PrefillPiece& piece : plan_.prefills) {
    if (piece.completes) emit(piece.request);
  }
}

void Replica::DrawPhase(RequestIndex index, RequestPhase phase, SimTime now) {
  if (timeline_ == nullptr) return;
  timeline_->BeginPhase(table_[static_cast<std::size_t>(index)].id, phase, now);
}

void Replica::EndDecode(RequestIndex index) {
  char& decoding = decoding_[static_cast<std::size_t>(index)];
  if (decoding == 0) return;
  decoding = 0;
  executor_->EndDecode(index);
}

void Replica::Drop(RequestIndex index, SimTime now, bool failed) {
  EndDecode(index);
  const std::int64_t id = table_[static_cast<std::size_t>(index)].id;
  collector_.OnFinish(now, id, failed);
  if (timeline_ != nullptr) timeline_->EndRequest(id, now);
  free_.push_back(index);
  --unfinished_;
}

void Replica::CheckEmpty() const {
  SPARSESERVE_CHECK(
      unfinished_ == 0 && scheduler_.num_running() == 0 && scheduler_.num_waiting() == 0,
      "requests are left in a replica");
  SPARSESERVE_CHECK(memory_->hbm_used() == Bytes(0) && memory_->dram_used() == Bytes(0),
                    "a finished run leaves KV memory in use");
}

}  // namespace sparseserve::serving
