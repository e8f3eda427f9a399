#include "sim/serving/timeline.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::serving {

void Timeline::BeginRequest(std::int64_t id, Tokens prompt, SimTime now) {
  const bool is_new =
      open_.emplace(id, PhaseSpan{id, prompt, RequestPhase::kQueue, now, now}).second;
  SPARSESERVE_CHECK(is_new, "a request arrives twice");
}

void Timeline::BeginPhase(std::int64_t id, RequestPhase phase, SimTime now) {
  PhaseSpan& span = open_.at(id);
  if (span.phase == phase) return;
  Close(span, now);
  span.phase = phase;
  span.begin = now;
}

void Timeline::EndRequest(std::int64_t id, SimTime now) {
  const auto found = open_.find(id);
  SPARSESERVE_CHECK(found != open_.end(), "a request leaves that did not arrive");
  Close(found->second, now);
  open_.erase(found);
}

void Timeline::Close(PhaseSpan span, SimTime now) {
  span.end = now;
  if (span.end <= span.begin || span.begin >= end_ || span.end <= begin_) return;
  if (phases_.size() == max_slices_) {
    ++dropped_;
  } else {
    phases_.push_back(span);
  }
}

void Timeline::AddIteration(const metrics::IterationRecord& record) {
  if (record.begin < begin_ || record.begin >= end_) return;
  if (iterations_.size() == max_slices_) {
    ++dropped_;
  } else {
    iterations_.push_back(record);
  }
}

void Timelines::Begin(std::int64_t num_replicas) {
  SPARSESERVE_CHECK(replicas_.empty(), "the timelines of another run");
  const std::size_t share =
      std::max<std::size_t>(1, max_slices_ / static_cast<std::size_t>(num_replicas));
  for (std::int64_t i = 0; i < num_replicas; ++i) replicas_.emplace_back(begin_, end_, share);
}

}  // namespace sparseserve::serving
