// Raw measurements as JSON in the form of Google Benchmark: "context" says what was measured on
// what, "benchmarks" holds one entry a point, so that the usual tools can compare two files;
// "values" beside them holds the single numbers. sim/config/measurement_reader.h reads it. Written
// by hand, because this must build where no JSON library is.
#pragma once

#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calibration/measurement.h"

namespace sparseserve::bench {

// {"context": {"date", "num_cpus", "backend", "device", "driver", "cuda", "clocks", "commit", ...},
//  "benchmarks": [{"name": "gemm/items:64/item_bytes:8388608", "run_type": "iteration",
//                  "iterations", "real_time", "cpu_time", "time_unit": "ns", "bytes_per_second",
//                  "items_per_second", "items", "item_bytes", "bytes", "flops", "q1_ns", "q3_ns",
//                  "noisy", "held_out"}, ...],
//  "values": {"slowdowns.h2d.flash": {"value", "how"}, ...}}
void WriteMeasurements(const calibration::MeasurementSet& set, std::ostream& out);

// --- its parts, for other files of the same form. Values of fields are JSON already.
using JsonFields = std::vector<std::pair<std::string_view, std::string>>;
using JsonArray = std::vector<JsonFields>;
void WriteContext(const calibration::MeasurementSet& set, std::ostream& out);
void WriteArray(const JsonArray& array, std::ostream& out);
void WriteValues(const std::map<std::string, calibration::MeasuredValue>& values,
                 std::ostream& out);

// `text` in quotes, with all that JSON wants escaped. REQUIRES: UTF-8.
std::string QuoteJson(std::string_view text);
// The shortest text that reads back as the same number. REQUIRES: finite.
std::string NumberJson(double value);

}  // namespace sparseserve::bench
