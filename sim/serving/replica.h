// One replica of the model: request table, scheduler and executor, advanced by two calls from the
// engine.
//
// Only the replica knows how many tokens a request will produce; the scheduler's view has no such
// field.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/metrics/collector.h"
#include "sim/scheduler/kv_memory.h"
#include "sim/scheduler/scheduler.h"
#include "sim/serving/executor.h"
#include "sim/serving/timeline.h"
#include "traces/request.h"

namespace sparseserve::serving {

class Replica {
 public:
  Replica(std::int32_t id, const scheduler::SchedulerConfig& scheduling, std::int64_t num_layers,
          std::unique_ptr<scheduler::KvMemory> memory, std::unique_ptr<Executor> executor,
          metrics::Collector& collector);

  // What the replica does is drawn there, unless it is null. Outlives the replica.
  void set_timeline(Timeline* timeline) { timeline_ = timeline; }

  // A request arrives. It waits until the next TryStart.
  void Submit(const traces::Request& request);

  // Starts an iteration if the replica is idle and something can run. Returns when the replica
  // wants to be called again: the end of the iteration (then call Finish), or the completion of
  // saves it waits for (then call TryStart), or nothing.
  struct Wake {
    SimTime at;
    bool iteration = false;
  };
  std::optional<Wake> TryStart(SimTime now);
  // The iteration started by TryStart ends.
  void Finish(SimTime now);

  bool busy() const { return busy_; }
  std::int64_t num_unfinished() const { return unfinished_; }
  const scheduler::KvMemory& memory() const { return *memory_; }
  bool extrapolated() const { return extrapolated_; }
  // Aborts unless everything was given back.
  void CheckEmpty() const;

 private:
  void Drop(RequestIndex index, SimTime now, bool failed);
  void RecordPlan(const IterationPlan& plan, SimTime now, const IterationResult& result);
  void EndDecode(RequestIndex index);
  void DrawPhase(RequestIndex index, RequestPhase phase, SimTime now);

  std::int32_t id_;
  std::vector<RequestState> table_;
  std::vector<Tokens> outputs_;  // by index: what the scheduler must not see
  std::vector<char> decoding_;   // by index: the executor knows it
  std::vector<RequestIndex> free_;
  std::unique_ptr<scheduler::KvMemory> memory_;
  scheduler::Scheduler scheduler_;
  std::unique_ptr<Executor> executor_;
  metrics::Collector& collector_;
  Timeline* timeline_ = nullptr;
  metrics::IterationRecord record_;
  IterationPlan plan_;  // of the iteration under way
  bool busy_ = false;
  bool extrapolated_ = false;
  std::int64_t unfinished_ = 0;
  SimTime last_end_;
};

}  // namespace sparseserve::serving
