// A plan file (configs/plans/*.yaml): a workload, a service level, a demand, and the candidates
// that may serve it.
//
//   name: mooncake
//   experiment: ../run/mooncake.yaml    # workload, model, engine; its systems are candidates
//   demand: 3.4/s                       # all replicas together
//   slo: {definition: distserve, ttft: 4s, tpot: 100ms}
//   axes:                               # what else is a choice, as in a sweep
//     - {key: hardware.machine, values: [h100-sxm-pcie5, h200-sxm]}
//   prices: {h100-sxm-pcie5: 2.5, h200-sxm: 3.2}   # per GPU and hour, in any currency
//
// What the search scales is the experiment's hardware: one replica of tensor_parallel GPUs or, with
// hardware.replicas, a group behind one router.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/config/sweep_file.h"
#include "sim/plan/planner.h"

namespace sparseserve::config {

struct PlanFile {
  // A candidate in terms of the file.
  struct Place {
    std::vector<std::size_t> values;  // of the axes
    std::size_t system = 0;
  };

  std::string name;
  Variation base = Variation("");
  std::vector<Axis> axes;
  plan::Slo slo;
  // P99 of the token gaps as a multiple of one decode iteration; replaces slo.tbt_p99.
  std::optional<double> tbt_p99_decode_iterations;
  double demand = 0;                     // requests/s; 0: the rate that the workload has
  std::map<std::string, double> prices;  // by machine
  double precision = 0.02;
  std::int64_t seeds = 3;
  std::int64_t verify_seeds = 3;
  std::int64_t num_verified = 1;
  std::optional<double> calibration_error;  // none: what the record's hold-out says
  std::vector<Place> candidates;            // row-major over the axes, then systems
  std::vector<plan::Candidate> described;   // the same in terms of the planner

  std::vector<std::string> AxisNames() const;  // "system" last
  // The experiment of a candidate with nothing else set.
  Variation VariationOf(const Place& place) const;
};

// What a run assumes about the error of operation times where nothing was measured and held out.
inline constexpr double kAssumedCalibrationError = 0.15;

// Reads and checks every candidate. Throws InputError.
PlanFile LoadPlanFile(const std::string& path, const std::vector<std::string>& set,
                      const std::string& data_root, Schema* schema = nullptr);

// Makes a workload come at `rate` requests per second: a generator's own key, or the speed of a
// trace whose recorded rate is `recorded`.
void SetRate(Variation& variation, const Experiment& experiment, double rate, double recorded);

}  // namespace sparseserve::config
