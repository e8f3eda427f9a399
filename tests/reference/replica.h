// One replica: batch forming and progress of requests, by the rules of sim/scheduler/scheduler.h
// and prefill.h.
#pragma once

#include <optional>
#include <vector>

#include "tests/reference/executor.h"

namespace sparseserve::reference {

class Replica {
 public:
  Replica(std::int64_t id, const SystemConfig& config, const KvGeometry& geometry,
          const cost::CostModel& costs, std::int64_t hbm_bytes, std::int64_t dram_bytes, Log& log);

  void Submit(Request& request);
  // Looks for work at `now`, if idle.
  void Look(SimTime now);
  // The iteration under way ends.
  void Finish();

  std::optional<SimTime> end() const { return end_; }    // of the iteration under way
  std::optional<SimTime> wake() const { return wake_; }  // wants to look again then
  std::int64_t unfinished() const { return unfinished_; }
  std::int64_t evictions() const { return hbm_.evictions(); }

 private:
  struct Candidate {
    Request* request;
    std::vector<Piece> pieces;  // none: a decode step
  };
  RequestLog& LogOf(const Request& request) {
    return log_.requests[static_cast<std::size_t>(request.trace.id)];
  }
  void FormPlan(bool saves_pending, SimTime now);
  void FillPlan();
  std::vector<Candidate> Candidates() const;
  void KeepWorkingSets(std::vector<Candidate>& candidates) const;
  std::vector<Piece> Pieces(Request& request, std::int64_t token_layers, bool may_cut) const;
  void Decode(Request& request);
  void Preempt(Request& request);
  void Drop(Request& request, SimTime now, bool failed);
  void Advance(const Piece& piece);

  std::int64_t id_;
  const SystemConfig& config_;
  std::int64_t num_layers_;
  Log& log_;
  Hbm hbm_;
  Executor executor_;
  std::vector<Request*> waiting_, running_;  // by arrival; by admission
  std::vector<Request*> failed_;
  bool preempted_ = false;  // in the batch being formed
  Plan plan_;
  bool ran_ = true;  // the plan of this ticket has run
  IterationLog iteration_;
  std::optional<SimTime> end_, wake_;
  std::int64_t unfinished_ = 0;
};

}  // namespace sparseserve::reference
