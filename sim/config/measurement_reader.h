// Raw measurements from JSON: those of our harness, and the link bandwidths of NVIDIA's
// nvbandwidth.
//
// The harness (kernels/bench) writes the form of Google Benchmark, so that its tools work on it:
//   {"context": {"backend": "cuda", "device": ..., "driver": ..., "cuda": ..., "clocks": ...,
//                "date": ..., "commit": ...},
//    "benchmarks": [{"name": "h2d.flash/items:16/item_bytes:4096", "real_time": 8200.0,
//                    "time_unit": "ns", "iterations": 32, "items": 16, "item_bytes": 4096,
//                    "bytes": 65536, "flops": 0, "q1_ns": 8100.0, "q3_ns": 8400.0, "noisy": false,
//                    "held_out": true}, ...],
//    "values": {"latencies.kernel": {"value": 2e-06, "how": "..."}, ...}}
// real_time is the median, iterations are the samples behind it. Other keys are left alone, as
// Google Benchmark adds to its form from time to time.
#pragma once

#include <map>
#include <string>

#include "calibration/measurement.h"

namespace sparseserve::config {

inline constexpr std::size_t kMaxMeasurements = 10'000;

// Throws InputError that names file and key: no JSON, torn, a key missing or of the wrong type, a
// number out of range, an operation or value that no record knows.
calibration::MeasurementSet LoadMeasurements(const std::string& path);

// "ceilings.h2d", "ceilings.d2h" and, if both directions were measured at once, "ceilings.duplex",
// from the output of `nvbandwidth --json`: copies by the copy engine, the median over the GPUs.
// Throws InputError, also if it has no host_to_device_memcpy_ce and device_to_host_memcpy_ce that
// passed.
std::map<std::string, calibration::MeasuredValue> LoadNvbandwidth(const std::string& path);

}  // namespace sparseserve::config
