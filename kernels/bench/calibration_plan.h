// Measures everything that a calibration record needs of one device: a rectangle of times for each
// operation, single values, and points that are held out to judge what is fitted to the rest.
//
// 1. Largest sizes: each operation's ranges are cut where one call takes too long for the budget.
// 2. A coarse rectangle of each operation, log-spaced, and held-out points at random places, all
//    sampled in rounds (rounds.h) until their medians are precise.
// 3. While there is time, the operation that interpolation mispredicts most gets a new line
//    (refinement.h), and more held-out points, about a fifth of all.
// 4. All points once more in each round, for two fifths of the time: a shared machine changes
//    within minutes, and what runs on it later meets the mean of them.
//
// A size is checked before it is timed (Call::check). A line that could not be sampled whole is
// dropped, so that what remains is a rectangle.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "calibration/measurement.h"
#include "kernels/backend.h"
#include "kernels/bench/model_shape.h"
#include "kernels/bench/workbench.h"
#include "kernels/staging_ring.h"

namespace sparseserve::bench {

struct MeasureOptions {
  double budget_s = 300;  // of all of it; used up, and kept within 10 %
  std::uint64_t seed = 1;
  std::optional<ModelShape> model;        // DefaultModelShape of the backend
  std::optional<PoolSizes> pools;         // ChoosePoolSizes
  kernels::StagingRingOptions ring{};     // as the backend was configured
  std::string filter;                     // a regular expression; empty: all operations and values
  bool warm = false;                      // repeat the same inputs, so that the caches hold them
  std::string commit = "unknown commit";  // of the code that measures
  std::function<void(const std::string& what, double done_fraction)> progress;  // may be empty
  std::function<bool()> cancelled;  // may be empty; true: stop soon, with what there is
};

// Throws WrongResult, and what a backend throws; std::regex_error if `filter` is none.
calibration::MeasurementSet MeasureDevice(kernels::Backend& backend, const MeasureOptions& options);

// What a set of measurements says about its origin, without any points.
calibration::MeasurementSet DescribeDevice(const kernels::Backend& backend,
                                           const std::string& commit);

}  // namespace sparseserve::bench
