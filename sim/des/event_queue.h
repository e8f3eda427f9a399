// The future event list: events leave in the order (time, phase, sequence).
//
// Two events never compare equal, so a run depends only on its inputs:
// (1) time is an integer;
// (2) Phase orders one instant: completions free resources before arrivals ask for them, and the
//     scheduler looks last;
// (3) sequence is the order of Push calls.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.h"

namespace sparseserve::des {

enum class Phase : std::uint8_t { kCompletion = 0, kArrival = 1, kSchedule = 2 };

// What happens and to whom; the meaning of `subject` is the owner's (a replica, a request).
struct Event {
  SimTime at;
  Phase phase = Phase::kCompletion;
  std::uint64_t sequence = 0;
  std::int64_t subject = 0;
};

class EventQueue {
 public:
  // REQUIRES: at is not before now().
  void Push(SimTime at, Phase phase, std::int64_t subject);
  // Removes the next event and moves the clock to it. REQUIRES: !empty(). O(log size).
  Event Pop();

  bool empty() const { return heap_.empty(); }
  SimTime now() const { return now_; }
  std::uint64_t num_pushed() const { return next_sequence_; }

 private:
  std::vector<Event> heap_;
  std::uint64_t next_sequence_ = 0;
  SimTime now_;
};

}  // namespace sparseserve::des
