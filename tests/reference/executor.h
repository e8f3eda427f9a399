// How long an iteration takes, layer by layer, as sim/serving/simulated_executor.h describes it:
// one loop over the layers, costs asked anew for each, nothing kept but the free time of the lanes.
#pragma once

#include <optional>
#include <vector>

#include "models/cost/cost_model.h"
#include "models/selection/locality_model.h"
#include "tests/reference/hbm.h"

namespace sparseserve::reference {

class Executor {
 public:
  Executor(const SystemConfig& config, const KvGeometry& geometry, const cost::CostModel& costs,
           Hbm& hbm);

  void BeginDecode(Request& request);
  void EndDecode(Request& request);
  // Fills in what the plan took from `start` on, its end included.
  void Run(const Plan& plan, SimTime start, IterationLog& log);
  SimTime saves_done() const { return saves_done_; }
  void CompleteSaves(SimTime now);

 private:
  struct Save {
    std::uint32_t ticket;
    SimTime done;
  };
  void RunLayer(const Plan& plan, std::int64_t layer);
  void SaveLayer(const Plan& plan, std::int64_t layer, const std::vector<Piece>& pieces);
  Seconds SelectCost(const Plan& plan, std::int64_t layer) const;
  Seconds DecodeAttention(const Plan& plan, std::int64_t layer, std::int64_t loads) const;
  std::int64_t Load(const Plan& plan, std::int64_t layer);
  void WaitForSaves(SimTime until);
  bool Sparse(std::int64_t layer) const {
    return geometry_.budget_blocks > 0 && layer >= geometry_.dense_layers;
  }
  bool Chooses(const Request& request) const;
  SimTime now() const { return start_ + Seconds(elapsed_); }
  void Spend(Seconds time, double& share) {
    share += time.value();
    elapsed_ += time.value();
  }

  const SystemConfig& config_;
  KvGeometry geometry_;
  const cost::CostModel& costs_;
  Hbm& hbm_;
  std::optional<selection::LocalityModel> selection_;
  bool offloads_, segmented_;

  SimTime start_;
  double elapsed_ = 0;  // s since start_, on the compute lane
  IterationLog* log_ = nullptr;
  SimTime h2d_free_, d2h_free_, scatter_free_, saves_done_;
  SimTime buffer_free_;            // layer-segmented: when the buffer of the layer before is free
  std::vector<SimTime> loadable_;  // by layer: when what finished prefills wrote is in DRAM
  double d2h_rate_ = 0;
  std::vector<Save> pending_;
};

}  // namespace sparseserve::reference
