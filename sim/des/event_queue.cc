#include "sim/des/event_queue.h"

#include <algorithm>
#include <tuple>

#include "sim/core/check.h"

namespace sparseserve::des {
namespace {

// std::push_heap keeps the largest on top, so "less" is "leaves later".
bool LeavesLater(const Event& a, const Event& b) {
  return std::tie(a.at, a.phase, a.sequence) > std::tie(b.at, b.phase, b.sequence);
}

}  // namespace

void EventQueue::Push(SimTime at, Phase phase, std::int64_t subject) {
  SPARSESERVE_CHECK(at >= now_, "an event lies in the past");
  heap_.push_back({at, phase, next_sequence_++, subject});
  std::push_heap(heap_.begin(), heap_.end(), LeavesLater);
}

Event EventQueue::Pop() {
  SPARSESERVE_CHECK(!heap_.empty(), "no event is left");
  std::pop_heap(heap_.begin(), heap_.end(), LeavesLater);
  const Event event = heap_.back();
  heap_.pop_back();
  now_ = event.at;
  return event;
}

}  // namespace sparseserve::des
