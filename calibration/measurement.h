// Raw measurements of one machine, as the harness takes them and before anything is fitted. They
// travel between a machine with a GPU and one with the libraries to fit as a JSON file in the form
// of Google Benchmark (kernels/bench writes it, sim/config reads it).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calibration/record.h"

namespace sparseserve::calibration {

// A single number that is no curve: an efficiency, latency, slowdown, count or ceiling.
struct MeasuredValue {
  double value = 0;
  std::string how;  // one sentence: what was measured, with sizes
};

struct MeasurementSet {
  std::string backend;  // "cpu", "cuda"
  Provenance provenance;
  std::vector<Measurement> points;
  // Keys as in a record: "latencies.kernel" (seconds), "slowdowns.h2d.flash",
  // "efficiencies.elementwise.memory" ..., and "ceilings.NAME" with the names and units of
  // kCeilingNames. An efficiency is relative to the ceiling of its kind, hbm_read or gemm.
  std::map<std::string, MeasuredValue> values;
};

}  // namespace sparseserve::calibration
