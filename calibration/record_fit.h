// From all measurements of a machine to its calibration record: a fitted curve for each operation
// (fit.h), values as they were measured, and the raw points with them.
#pragma once

#include <string>

#include "calibration/measurement.h"
#include "calibration/record.h"

namespace sparseserve::calibration {

// The rates that efficiencies refer to: a machine's data sheet, or what it was seen to reach.
struct Peaks {
  BytesPerSecond memory;
  FlopsPerSecond compute;
};

// The best that was seen: a ceiling, or a point that was faster (out of a cache, say). The cost
// model lets no curve undercut a machine's peaks, so these cut no measured time.
Peaks FindPeaks(const MeasurementSet& set);

struct FitOptions {
  std::string name;              // of the record
  std::string machine;           // that the record is for; empty: the one called as the record
  Peaks peaks;                   // of that machine
  const Record* base = nullptr;  // gives what was not measured; may be null
};

// Why no record can be made of `set`; empty if FitRecord can.
std::string ExplainFault(const MeasurementSet& set);

// REQUIRES: ExplainFault(set) is empty, peaks are above zero.
// - An operation with points gets their curve. One whose points are all held out has none.
// - Efficiencies become relative to `peaks`. What noise carried beyond what a record may hold, an
//   efficiency above 1 or a slowdown below 1, is moved to the limit, and its source says so.
// - What was not measured is taken from `base`. Entries that were measured there, on another
//   machine or day, become assumptions here.
Record FitRecord(const MeasurementSet& set, const FitOptions& options);

}  // namespace sparseserve::calibration
