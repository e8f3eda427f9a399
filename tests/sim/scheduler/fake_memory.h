// A KvMemory that does what a test tells it, and a bench that drives a scheduler with it.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "sim/core/check.h"
#include "sim/scheduler/scheduler.h"

namespace sparseserve::scheduler {

// By default memory is endless and every working set is empty.
class FakeMemory : public KvMemory {
 public:
  std::function<bool(RequestIndex)> admits = [](RequestIndex) { return true; };
  std::function<Grow(RequestIndex)> grows_decode = [](RequestIndex) { return Grow::kDone; };
  std::function<Grow(RequestIndex)> grows_prefill = [](RequestIndex) { return Grow::kDone; };
  std::map<RequestIndex, std::int64_t> needs;
  std::int64_t available = 0;
  std::int64_t held = 0;
  bool refused_by_dram = false;
  std::set<RequestIndex> live;
  std::vector<RequestIndex> finished_prefills;

  std::string WhyNever(Tokens) const override { return ""; }
  bool Admit(RequestIndex index, const RequestState&) override {
    if (!admits(index)) return false;
    SPARSESERVE_CHECK(live.insert(index).second, "admitted twice");
    return true;
  }
  Grow GrowPrefill(const PrefillPiece& piece, const RequestState&) override {
    return grows_prefill(piece.request);
  }
  void FinishPrefill(RequestIndex index, const RequestState&, SaveTicket) override {
    finished_prefills.push_back(index);
  }
  Grow GrowDecode(RequestIndex index, const RequestState&, SaveTicket) override {
    return grows_decode(index);
  }
  void Release(RequestIndex index) override {
    SPARSESERVE_CHECK(live.erase(index) == 1, "released but not held");
  }
  bool RefusedByDram() const override { return refused_by_dram; }
  std::int64_t AvailableUnits() const override { return available; }
  std::int64_t HeldUnits() const override { return held; }
  std::int64_t DecodeNeed(RequestIndex index, const RequestState&) const override {
    return Need(index);
  }
  std::int64_t PrefillNeed(const PrefillPiece& piece, const RequestState&) const override {
    return Need(piece.request);
  }
  Bytes hbm_used() const override { return Bytes(0); }
  Bytes dram_used() const override { return Bytes(0); }
  std::int64_t capacity_blocks() const override { return 0; }
  std::int64_t hbm_peak_blocks() const override { return 0; }
  Bytes dram_peak() const override { return Bytes(0); }

 private:
  std::int64_t Need(RequestIndex index) const {
    const auto found = needs.find(index);
    return found == needs.end() ? 0 : found->second;
  }
};

// Requests 0, 1, ... on a scheduler with four layers.
class FakeBench {
 public:
  static constexpr std::int64_t kLayers = 4;

  explicit FakeBench(const SchedulerConfig& config) : scheduler(config, kLayers, memory, table) {}

  RequestIndex Add(std::int64_t prompt) {
    const auto index = static_cast<RequestIndex>(table.size());
    RequestState request;
    request.id = index;
    request.prompt = Tokens(prompt);
    table.push_back(request);
    scheduler.Enqueue(index);
    return index;
  }
  // Plans and runs one iteration.
  IterationPlan Step(bool saves_pending = false) {
    const IterationPlan plan = scheduler.Plan(saves_pending);
    scheduler.Advance();
    return plan;
  }
  RequestState& At(RequestIndex index) { return table[static_cast<std::size_t>(index)]; }

  FakeMemory memory;
  std::vector<RequestState> table;
  Scheduler scheduler;
};

inline std::vector<RequestIndex> PrefilledBy(const IterationPlan& plan) {
  std::vector<RequestIndex> requests;
  for (const PrefillPiece& piece : plan.prefills)
    if (requests.empty() || requests.back() != piece.request) requests.push_back(piece.request);
  return requests;
}

}  // namespace sparseserve::scheduler
