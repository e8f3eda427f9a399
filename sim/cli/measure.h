// Measuring this machine for 'calibrate': makes a backend and hands it to the harness.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "calibration/measurement.h"
#include "models/llm/architecture.h"
#include "sim/core/units.h"

namespace sparseserve::cli {

struct MeasureRequest {
  std::string backend;  // "cpu", "cuda"
  Seconds budget;
  std::uint64_t seed = 1;
  std::optional<llm::Architecture> model;  // whose shapes are measured; else the harness's own
  std::string model_path;                  // for messages
  std::int64_t block_tokens = 16;          // of the KV blocks that attention reads
};

// Shows its progress on stderr. Throws InputError where the backend is not available, or the
// model's shapes are not ones that the kernels run.
calibration::MeasurementSet MeasureThisMachine(const MeasureRequest& request);

}  // namespace sparseserve::cli
