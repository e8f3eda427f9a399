// What the engine's own work on the host costs on this machine, and what it costs to hand work from
// lane to lane, for a calibration record: the operations host.* and
// latencies.handover and .save_handover (calibration/README.md).
//
// It can only be measured where it happens: the cache, the tables and the threads that wake one
// another are the live executor's. So small synthetic batches, of one request up to eight with a
// few to some hundred selected blocks, are run live on a model of two layers, with KV in DRAM and
// with KV in HBM, and what is kept are the spans between two events around the host's work, never
// the time of an iteration. Batches and model are none that anybody compares predictions with.
//
// A load in a layer is alone and its thread has slept, and it is handed over call by call, so it
// takes longer than its curve, which is that of many in a row; latencies.handover is the
// difference.
//
// Its points are means without the slowest twentieth, since waking a thread takes either of two
// times and sums of it are predicted; `median` of a point is that mean.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "calibration/measurement.h"
#include "calibration/record.h"
#include "kernels/backend.h"
#include "models/llm/architecture.h"

namespace sparseserve::live {

using HostTimes = std::map<std::int64_t, std::vector<double>>;  // items -> seconds

class HostBench {
 public:
  // `model`: gives heads and element types. `quick`: two small batches only. Throws InputError when
  // the model is one that live mode does not run.
  HostBench(kernels::Backend& backend, const llm::Architecture& model, bool quick);

  // Runs all batches once. A machine that is shared changes within minutes, so rounds belong before
  // and after what else is measured. `progress`: told what is done, from 0 to 1; may be empty.
  void Run(const std::function<void(double)>& progress);
  // Of all rounds.
  std::vector<calibration::Measurement> points() const;
  std::map<std::string, calibration::MeasuredValue> values() const;

 private:
  kernels::Backend& backend_;
  const llm::Architecture model_;
  const bool quick_;
  HostTimes iterations_, selects_, attends_, resident_attends_;
  std::vector<double> late_loads_;  // seconds beyond those of a load in a row
  std::vector<double> resumes_, saves_;
};

}  // namespace sparseserve::live
