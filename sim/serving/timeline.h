// A record of what each lane of a replica did when, of its requests and of its iterations, for a
// Chrome trace. Kept in memory, bounded; nothing is recorded outside the window. The simulated and
// the live executor fill the same record.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "sim/core/units.h"
#include "sim/metrics/collector.h"

namespace sparseserve::serving {

enum class Lane : std::uint8_t { kScheduler, kCompute, kH2d, kD2h, kScatter };
inline constexpr std::size_t kNumLanes = 5;

struct Slice {
  SimTime begin;
  SimTime end;
  Lane lane;
  const char* name;    // static storage
  std::int64_t layer;  // -1: none
};

// Names of slices that the trace connects: what was loaded, and what waited for it.
inline constexpr const char* kLoadSlice = "load";
inline constexpr const char* kDecodeAttentionSlice = "decode attention";

enum class RequestPhase : std::uint8_t { kQueue, kPrefill, kDecode };

// A request was in one phase from begin to end. A preempted request queues again.
struct PhaseSpan {
  std::int64_t request;  // id
  Tokens prompt;
  RequestPhase phase;
  SimTime begin;
  SimTime end;
};

class Timeline {
 public:
  // Keeps at most `max_slices` slices, and as many phases and iterations. REQUIRES: begin < end.
  Timeline(SimTime begin, SimTime end, std::size_t max_slices)
      : begin_(begin), end_(end), max_slices_(max_slices) {
    last_.fill(kNone);
  }

  // A slice that begins in the window; one without duration is left out.
  void Add(Lane lane, const char* name, SimTime begin, SimTime end, std::int64_t layer = -1) {
    std::size_t& last = last_[static_cast<std::size_t>(lane)];
    last = kNone;
    if (begin < begin_ || begin >= end_ || end <= begin) return;
    if (slices_.size() == max_slices_) {
      ++dropped_;
      return;
    }
    last = slices_.size();
    slices_.push_back({begin, end, lane, name, layer});
  }
  // The slice last added to the lane, if it was kept, ends at `end` after all.
  void ExtendLast(Lane lane, SimTime end) {
    const std::size_t last = last_[static_cast<std::size_t>(lane)];
    if (last != kNone) slices_[last].end = end;
  }

  // A request arrives and waits; goes on to another phase (nothing happens when it is in that
  // phase); leaves.
  void BeginRequest(std::int64_t id, Tokens prompt, SimTime now);
  void BeginPhase(std::int64_t id, RequestPhase phase, SimTime now);
  void EndRequest(std::int64_t id, SimTime now);

  // An iteration that begins in the window: counters are drawn from it.
  void AddIteration(const metrics::IterationRecord& record);

  SimTime begin() const { return begin_; }
  SimTime end() const { return end_; }
  const std::vector<Slice>& slices() const { return slices_; }
  const std::vector<PhaseSpan>& phases() const { return phases_; }
  const std::vector<metrics::IterationRecord>& iterations() const { return iterations_; }
  // Slices, phases and iterations that found no room.
  std::int64_t dropped() const { return dropped_; }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;

  void Close(PhaseSpan span, SimTime now);

  SimTime begin_, end_;
  std::size_t max_slices_;
  std::vector<Slice> slices_;
  std::array<std::size_t, kNumLanes> last_;           // index of the slice last added, by lane
  std::vector<PhaseSpan> phases_;                     // in the order in which they ended
  std::unordered_map<std::int64_t, PhaseSpan> open_;  // by id; only looked up
  std::vector<metrics::IterationRecord> iterations_;
  std::int64_t dropped_ = 0;
};

// The timelines of a run, one per replica; they share the bound evenly.
class Timelines {
 public:
  Timelines(SimTime begin, SimTime end, std::size_t max_slices)
      : begin_(begin), end_(end), max_slices_(max_slices) {}

  // Begins the timelines of `num_replicas` replicas. References stay valid.
  void Begin(std::int64_t num_replicas);
  Timeline& of(std::int64_t replica) { return replicas_[static_cast<std::size_t>(replica)]; }
  const std::deque<Timeline>& replicas() const { return replicas_; }

 private:
  SimTime begin_, end_;
  std::size_t max_slices_;
  std::deque<Timeline> replicas_;
};

}  // namespace sparseserve::serving
