#include "sim/serving/engine.h"

#include "sim/core/check.h"
#include "sim/core/error.h"

namespace sparseserve::serving {

using des::Phase;

// Completions carry the replica whose iteration ends; schedule events the replica that should look
// for work.
Engine::Engine(std::vector<std::unique_ptr<Replica>> replicas, std::unique_ptr<Router> router,
               traces::RequestStream& requests, metrics::Collector& collector, EngineHooks hooks)
    : replicas_(std::move(replicas)),
      router_(std::move(router)),
      requests_(requests),
      collector_(collector),
      hooks_(std::move(hooks)) {
  SPARSESERVE_CHECK(!replicas_.empty(), "an engine needs a replica");
}

void Engine::Run() {
  PullArrival();
  if (!next_)
    throw InputError({.where = {},
                      .key = "workload",
                      .what = "the trace holds no request",
                      .expected = "",
                      .hint = ""});
  std::int64_t reported = 0;
  while (!events_.empty()) {
    const des::Event event = events_.Pop();
    const auto replica = static_cast<std::size_t>(event.subject);
    if (hooks_.pace) hooks_.pace(event.at);
    switch (event.phase) {
      case Phase::kArrival:
        HandleArrival();
        break;
      case Phase::kCompletion:
        replicas_[replica]->Finish(event.at);
        while (!held_.empty() && TrySubmit(held_.front(), event.at)) held_.pop_front();
        events_.Push(event.at, Phase::kSchedule, event.subject);
        break;
      case Phase::kSchedule:
        Wake(replica, event.at);
        break;
    }
    if (hooks_.progress && collector_.num_finished() != reported)
      hooks_.progress(reported = collector_.num_finished());
  }
  for (const auto& replica : replicas_) replica->CheckEmpty();
  collector_.CheckConservation();
}

void Engine::PullArrival() {
  next_ = requests_.Next();
  if (next_) events_.Push(next_->arrival, Phase::kArrival, 0);
}

void Engine::HandleArrival() {
  const traces::Request request = *next_;
  collector_.OnArrival(request.arrival, request.id, /*replica=*/-1, request.prompt, request.output);
  if (!held_.empty() || !TrySubmit(request, request.arrival)) held_.push_back(request);
  PullArrival();
}

bool Engine::TrySubmit(const traces::Request& request, SimTime now) {
  const std::optional<std::size_t> replica = router_->Route(replicas_);
  if (!replica) return false;
  collector_.OnRouted(request.id, static_cast<std::int32_t>(*replica));
  replicas_[*replica]->Submit(request);
  if (!replicas_[*replica]->busy())
    events_.Push(now, Phase::kSchedule, static_cast<std::int64_t>(*replica));
  return true;
}

void Engine::Wake(std::size_t replica, SimTime now) {
  const std::optional<Replica::Wake> wake = replicas_[replica]->TryStart(now);
  if (!wake) return;
  events_.Push(wake->at, wake->iteration ? Phase::kCompletion : Phase::kSchedule,
               static_cast<std::int64_t>(replica));
}

}  // namespace sparseserve::serving
