// Runs iterations on a virtual clock: a selection model says which blocks are selected, the cost
// models how long things take.
//
// One iteration is a pass over the layers on four lanes. In each layer
//
//   compute  projection, score and top-k, prefill attention, [wait for the load], decode attention,
//            output and MLP
//   H2D      after top-k: the load of missed blocks
//   host     after top-k: the cache is asked, loads are issued, tables of slots built
//   D2H      after the projection: the save of the new K and V
//   scatter  (FlashD2H) after its save: CPU threads move it from staging into DRAM blocks
//
// A lane does one thing at a time, in order. Compute waits for a load before the decode attention
// that needs it (load stall), and for saves when their buffers are still in use: those of the
// iteration before the last, and in layer-segmented prefill those of the layer before, whose KV
// buffer is reused (save stall). H2D and D2H at once share the link's duplex bandwidth; transfers
// that use SMs slow the compute beside them.
//
// The host's work is that of the record, where it has some, and `host_overhead` between iterations.
//
// Not modelled: contention inside HBM between copies and compute; kernel launch gaps beyond those
// in the calibrated curves.
#pragma once

#include <memory>
#include <vector>

#include "models/cost/cost_model.h"
#include "models/selection/overlap_meter.h"
#include "models/selection/selection_model.h"
#include "sim/kvcache/kv_cache.h"
#include "sim/serving/executor.h"
#include "sim/serving/iteration_work.h"
#include "sim/serving/timeline.h"

namespace sparseserve::serving {

struct SimulatedExecutorConfig {
  scheduler::KvGeometry geometry;
  cost::LoadMethod load = cost::LoadMethod::kFlashH2d;
  cost::SaveMethod save = cost::SaveMethod::kFlashD2h;
  bool layer_segmented = false;
  Seconds host_overhead;  // per iteration: scheduling, input preparation, sampling on the host
  BytesPerSecond duplex_bandwidth;  // both directions of the link together; 0: no limit but theirs
  // A measured run to follow: its durations are the clock, and what it had saved at each plan is
  // saved, whatever the predicted times say. May be null.
  const MeasuredRun* imposed = nullptr;
};

class SimulatedExecutor : public Executor {
 public:
  // `cache` and `selection` are null when all KV stays in HBM: then the selected amounts matter,
  // not which blocks. `timeline` is null when nobody looks. All outlive the executor.
  SimulatedExecutor(const SimulatedExecutorConfig& config, const cost::CostModel& costs,
                    kvcache::KvCache* cache, selection::SelectionModel* selection,
                    selection::OverlapMeter* meter, Timeline* timeline);

  void BeginDecode(RequestIndex index, const RequestState& request) override;
  void EndDecode(RequestIndex index) override;
  IterationResult Execute(SimTime start, const IterationPlan& plan,
                          const std::vector<RequestState>& table) override;
  SimTime SavesDone() const override { return saves_done_; }
  void CompleteSaves(SimTime now) override;

 private:
  // What a layer of one run and kind costs; the same for every layer of that kind.
  struct LayerCost {
    Seconds projection, select, prefill_attention, decode_attention, output_mlp;
    double prefill_share = 0;  // of the tokens
    std::int64_t units = 0;    // that the decodes attend to
    Seconds save, scatter;
    Seconds host_select, host_attend;  // since the end of `select`
    Bytes saved;
  };
  void CompleteUpTo(kvcache::SaveTicket ticket);
  struct PendingSave {
    kvcache::SaveTicket ticket;
    SimTime done;
  };

  LayerCost CostOf(const LayerRun& run, std::int64_t layer);
  void AddSaveCost(const LayerRun& run, LayerCost& layer);
  static Seconds HostStall(const LayerCost& cost);
  void RunResident(const LayerRun& run);
  void DrawResident(const LayerCost& cost, std::int64_t begin, std::int64_t end);
  void RunOffloaded(const LayerRun& run, const IterationPlan& plan,
                    const std::vector<RequestState>& table);
  void RunLayer(const LayerCost& cost, std::int64_t layer, bool prefills, const IterationPlan& plan,
                const std::vector<RequestState>& table);
  // Returns the units that `layer` loads: those of its tracked heads for all its heads. With layers
  // left out, the first of a stratum does the work of the stratum, and each is given an equal part.
  std::int64_t SelectAndLoad(std::int64_t layer, const IterationPlan& plan,
                             const std::vector<RequestState>& table);
  void SelectInStratum(std::int64_t first_layer, const IterationPlan& plan,
                       const std::vector<RequestState>& table);
  void Select(RequestIndex index, std::int64_t layer, Tokens context);
  std::int64_t LoadMisses();
  void IssueSave(const LayerCost& cost, std::int64_t layer, bool prefills);
  Seconds IssueLoad(std::int64_t loads, std::int64_t layer, SimTime ready);
  void StallForSaves(SimTime until);
  void WaitForHost(Seconds duration, std::int64_t layer);
  void FollowClock();
  bool IsMetered(std::int64_t layer) const;
  // Of the meter.
  std::size_t MeterGroup(RequestIndex index, std::int64_t layer) const;
  Seconds Take(cost::Estimate estimate);
  void Compute(Seconds duration, Seconds& share, const char* what, std::int64_t layer);
  SimTime now() const { return start_ + elapsed_; }

  SimulatedExecutorConfig config_;
  const cost::CostModel& costs_;
  kvcache::KvCache* cache_;
  selection::SelectionModel* selection_;
  selection::OverlapMeter* meter_;
  std::int64_t metered_layer_;  // where nothing is imposed, the overlap is that of its stratum
  std::vector<char> metered_;   // by request
  Timeline* timeline_;

  IterationWork work_;
  selection::SelectionDelta delta_;
  SimTime start_;                   // of the iteration
  Seconds elapsed_;                 // on the compute lane since then
  std::int64_t layer_loads_ = 0;    // of one layer of the stratum under way, in units of all heads
  std::int64_t layer_touches_ = 0;  // likewise
  std::int64_t layer_reloads_ = 0;
  IterationResult result_;
  SimTime h2d_free_, d2h_free_, scatter_free_;
  BytesPerSecond d2h_rate_;  // that the save issued last reaches by itself
  SimTime saves_done_;
  SimTime buffer_free_;               // layer-segmented prefill: the KV buffer of the layer before
  std::vector<SimTime> layer_saved_;  // when the blocks of finished prefills can be loaded again
  std::vector<PendingSave> pending_;  // oldest first
  std::size_t num_iterations_ = 0;
};

}  // namespace sparseserve::serving
