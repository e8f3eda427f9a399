// The calibration record of one device: how long its operations take, where each number comes from
// and in which range it holds. Plain data; calibration/README.md explains the file form key by key.
//
// A record holds *curves* (work -> time) for what was measured or published as a time or a rate,
// and *values* (efficiencies, latencies, slowdowns, counts) from which the cost model builds a
// roofline for the rest. A measured curve replaces a published one or a roofline by standing under
// the same operation name.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"

namespace sparseserve::calibration {

inline constexpr std::string_view kSchema = "sparseserve-calibration/1";

// The names a record may use. What the items and item bytes of each operation are: README.md.
inline constexpr auto kOperationNames = std::to_array<std::string_view>({"h2d.memcpy",
                                                                         "h2d.batch",
                                                                         "h2d.flash",
                                                                         "h2d.bulk",
                                                                         "d2h.memcpy",
                                                                         "d2h.direct",
                                                                         "d2h.flash",
                                                                         "cpu.scatter",
                                                                         "gemm",
                                                                         "attention.prefill",
                                                                         "attention.decode_full",
                                                                         "attention.decode_sparse",
                                                                         "merge",
                                                                         "metadata",
                                                                         "score",
                                                                         "topk",
                                                                         "elementwise",
                                                                         "allreduce",
                                                                         "host.iteration",
                                                                         "host.select",
                                                                         "host.attend",
                                                                         "host.attend_resident"});
inline constexpr auto kEfficiencyNames = std::to_array<std::string_view>(
    {"gemm.compute", "gemm.memory", "elementwise.memory", "attention.prefill.compute",
     "attention.prefill.memory", "attention.decode.compute", "attention.decode_full.memory",
     "attention.decode_sparse.memory", "score.memory", "allreduce.link"});
inline constexpr auto kLatencyNames =
    std::to_array<std::string_view>({"kernel", "handover", "save_handover", "probe"});
inline constexpr auto kSlowdownNames = std::to_array<std::string_view>(
    {"h2d.memcpy", "h2d.batch", "h2d.flash", "h2d.bulk", "d2h.memcpy", "d2h.direct", "d2h.flash",
     "cold.h2d.memcpy", "cold.h2d.flash"});
inline constexpr auto kCountNames = std::to_array<std::string_view>(
    {"cpu.scatter.threads", "attention.block_tokens", "attention.query_tile_rows"});

// What the machine reaches at best, and its sizes: what the efficiencies of a measured record
// refer to, and what a machine file is made of where there is no data sheet.
enum class CeilingUnit : std::uint8_t { kBytesPerSecond, kFlopsPerSecond, kBytes, kCount };
struct CeilingName {
  std::string_view name;
  CeilingUnit unit;
};
inline constexpr auto kCeilingNames = std::to_array<CeilingName>(
    {{"h2d", CeilingUnit::kBytesPerSecond},
     {"d2h", CeilingUnit::kBytesPerSecond},
     {"duplex", CeilingUnit::kBytesPerSecond},     // both directions at once, sum
     {"hbm_read", CeilingUnit::kBytesPerSecond},   // device memory
     {"dram_copy", CeilingUnit::kBytesPerSecond},  // host memory; each byte read and written once
     {"gemm", CeilingUnit::kFlopsPerSecond},
     {"memory", CeilingUnit::kBytes},       // of the device; of a CPU its DRAM
     {"host_memory", CeilingUnit::kBytes},  // absent for a CPU, whose device is the host
     {"workers", CeilingUnit::kCount},      // SMs; cores
     {"host_cores", CeilingUnit::kCount}});

enum class Kind : std::uint8_t { kMeasured, kPublished, kAssumed };
std::string_view KindName(Kind kind);

struct Source {
  Kind kind = Kind::kAssumed;
  std::string text;  // document and date, or the derivation

  bool operator==(const Source&) const = default;
};

// What one call of an operation has to do.
struct Work {
  std::int64_t items = 0;  // zero: no work, no time
  Bytes item_bytes;
  Bytes bytes;  // all traffic of the call; for a transfer items x item_bytes
  Flops flops;

  static Work Fragments(std::int64_t items, Bytes item_bytes) {
    return {items, item_bytes, item_bytes * items, Flops()};
  }
  bool operator==(const Work&) const = default;
};

struct Estimate {
  Seconds time;
  bool extrapolated = false;  // outside the range in which the curve was measured

  Estimate& operator+=(Estimate other) {
    time += other.time;
    extrapolated |= other.extrapolated;
    return *this;
  }
};

// A closed interval; by default everything.
struct Range {
  double min = 0;
  double max = std::numeric_limits<double>::infinity();

  constexpr bool Contains(double x) const { return min <= x && x <= max; }
  bool operator==(const Range&) const = default;
};

// Times measured on a rectangle of (items, item_bytes), interpolated bilinearly in the inputs
// themselves and not in their logarithms, because the time of n items of s bytes,
// launch + n * per_item + n * s / bandwidth, *is* bilinear in (n, s): a linear machine is
// reproduced exactly from any grid. It also needs no libm, whose last bit differs between systems.
// Outside, an input is moved to the nearest edge, and beyond the upper edge the time grows in
// proportion to it: continuous and monotone, and slow rather than fast.
struct Grid {
  std::vector<double> items;       // strictly rising, > 0
  std::vector<double> item_bytes;  // strictly rising, >= 0
  std::vector<double> times_s;     // row by row: [items, item_bytes]; falls in neither direction

  bool empty() const { return times_s.empty(); }
  Seconds At(double num_items, double bytes_per_item) const;
  bool operator==(const Grid&) const = default;
};

// Relative error on points that the fit or the grid had not seen.
struct HoldoutError {
  double median = 0;
  double p95 = 0;
  std::int64_t points = 0;  // how many there were; 0: not stated

  bool operator==(const HoldoutError&) const = default;
};

// Either the grid, or launch + items * per_item + bytes / bandwidth + flops / flop_rate, where a
// term that is zero costs nothing.
struct Curve {
  Source source;
  Seconds launch;
  Seconds per_item;
  BytesPerSecond bandwidth;
  FlopsPerSecond flop_rate;
  Grid grid;
  Range valid_items;  // of a grid: its rectangle
  Range valid_item_bytes;
  std::optional<HoldoutError> holdout_error;

  Estimate Evaluate(const Work& work) const;
  bool operator==(const Curve&) const = default;
};

// Why the curve cannot be evaluated or would let more work take less time; empty if it is sound.
std::string ExplainFault(const Curve& curve);

struct Value {
  double value = 0;
  Source source;

  bool operator==(const Value&) const = default;
};

// One raw point: the time of one call that does `work`.
struct Measurement {
  std::string operation;  // of kOperationNames
  Work work;
  Seconds median;
  Seconds lower_quartile;
  Seconds upper_quartile;
  std::int64_t num_samples = 0;
  bool noisy = false;     // the stopping rule gave up before the spread was small enough
  bool held_out = false;  // never used in a fit, only to judge it

  bool operator==(const Measurement&) const = default;
};

// How a measurement was made; required of a record with measured entries.
struct Provenance {
  std::string device;
  std::string driver;
  std::string cuda;
  std::string clocks;
  std::string date;
  std::string commit;

  bool operator==(const Provenance&) const = default;
};

struct Record {
  std::string file;  // for messages
  std::string name;  // "a100-40g-pcie4"
  std::string device;
  std::string machine;  // name of the machine it was made for; empty: the one called as the record
  std::optional<Provenance> provenance;
  std::map<std::string, Curve, std::less<>> operations;
  std::map<std::string, Value, std::less<>> efficiencies;  // reached / data sheet, in (0, 1]
  std::map<std::string, Value, std::less<>> latencies;     // seconds
  std::map<std::string, Value, std::less<>> slowdowns;     // factor on compute, >= 1
  std::map<std::string, Value, std::less<>> counts;        // integers >= 1
  std::map<std::string, Value, std::less<>> ceilings;      // in the units of kCeilingNames
  // What the measured curves were fitted to, operation by operation in the order of
  // kOperationNames.
  std::vector<Measurement> measurements;

  const std::string& machine_name() const { return machine.empty() ? name : machine; }
  bool operator==(const Record&) const = default;
};

}  // namespace sparseserve::calibration
