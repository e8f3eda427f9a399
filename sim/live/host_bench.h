// What the engine's own work on the host costs on this machine, for a calibration record: the
// operations host.iteration, host.select and host.attend (calibration/README.md).
//
// It can only be measured where it happens: the cache, the tables and the threads that wake one
// another are the live executor's. So small synthetic batches, of one request up to eight with a
// few to some hundred selected blocks, are run live on a model of two layers, and what is kept are
// the spans between two events around the host's work, never the time of an iteration. Batches and
// model are none that anybody compares predictions with.
//
// Its points are means without the slowest twentieth, since waking a thread takes either of two
// times and sums of it are predicted; `median` of a point is that mean.
#pragma once

#include <functional>
#include <vector>

#include "calibration/record.h"
#include "kernels/backend.h"
#include "models/llm/architecture.h"

namespace sparseserve::live {

// `model`: gives heads and element types. `quick`: two small batches only. `progress`: told what is
// done, from 0 to 1; may be empty. Throws InputError when the model is one that live mode does not
// run.
std::vector<calibration::Measurement> MeasureHostWork(kernels::Backend& backend,
                                                      const llm::Architecture& model, bool quick,
                                                      const std::function<void(double)>& progress);

}  // namespace sparseserve::live
