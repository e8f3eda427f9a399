#include "calibration/record_fit.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "calibration/fit.h"
#include "sim/core/check.h"

namespace sparseserve::calibration {
namespace {

using ValueMap = std::map<std::string, Value, std::less<>>;

constexpr int kMeasuredDigits = 6;

bool Has(const auto& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// "h2d.flash" of "slowdowns.h2d.flash".
std::string_view NameIn(std::string_view section, std::string_view key) {
  return key.starts_with(section) ? key.substr(section.size()) : std::string_view();
}

bool IsKnownValue(std::string_view key) {
  if (const auto ceiling = NameIn("ceilings.", key); !ceiling.empty()) {
    return std::any_of(kCeilingNames.begin(), kCeilingNames.end(),
                       [&](const CeilingName& known) { return known.name == ceiling; });
  }
  return Has(kEfficiencyNames, NameIn("efficiencies.", key)) ||
         Has(kLatencyNames, NameIn("latencies.", key)) ||
         Has(kSlowdownNames, NameIn("slowdowns.", key)) || Has(kCountNames, NameIn("counts.", key));
}

double CeilingOf(const MeasurementSet& set, const char* name) {
  const auto found = set.values.find(std::string("ceilings.") + name);
  return found == set.values.end() ? 0 : found->second.value;
}

// Device memory sees neither what crosses the link nor the host's own copies.
bool IsOnDevice(std::string_view operation) {
  return !operation.starts_with("h2d.") && !operation.starts_with("d2h.") &&
         operation != "cpu.scatter" && operation != "allreduce" && !operation.starts_with("host.");
}

// The factor from "relative to what was seen" to "relative to the machine's peak".
double EfficiencyScale(const MeasurementSet& set, const Peaks& peaks, std::string_view name) {
  if (name.ends_with(".memory")) return CeilingOf(set, "hbm_read") / peaks.memory.value();
  if (name.ends_with(".compute")) return CeilingOf(set, "gemm") / peaks.compute.value();
  return 1;  // of a link between GPUs
}

// `value` within [min, max]; what was moved is noted.
Value Limited(const MeasuredValue& measured, double value, double min, double max) {
  Value limited{RoundTo(std::clamp(value, min, max), kMeasuredDigits),
                {Kind::kMeasured, measured.how}};
  if (value < min) limited.source.text += "; below the limit, moved to it";
  if (value > max) limited.source.text += "; above the limit, moved to it";
  return limited;
}

void AddValues(const MeasurementSet& set, const Peaks& peaks, Record& record) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  for (const auto& [key, measured] : set.values) {
    const std::size_t dot = key.find('.');
    const std::string_view section = std::string_view(key).substr(0, dot);
    const std::string name = key.substr(dot + 1);
    if (section == "efficiencies") {
      const double value = measured.value * EfficiencyScale(set, peaks, name);
      record.efficiencies[name] = Limited(measured, value, 0, 1);
    } else if (section == "latencies") {
      record.latencies[name] = Limited(measured, measured.value, 0, kInfinite);
    } else if (section == "slowdowns") {
      record.slowdowns[name] = Limited(measured, measured.value, 1, kInfinite);
    } else if (section == "counts") {
      record.counts[name] = {std::round(measured.value), {Kind::kMeasured, measured.how}};
    } else {
      const auto known = std::find_if(kCeilingNames.begin(), kCeilingNames.end(),
                                      [&](const CeilingName& c) { return c.name == name; });
      const bool is_rate = known->unit == CeilingUnit::kBytesPerSecond ||
                           known->unit == CeilingUnit::kFlopsPerSecond;
      const double value =
          is_rate ? RoundTo(measured.value, kMeasuredDigits) : std::round(measured.value);
      record.ceilings[name] = {value, {Kind::kMeasured, measured.how}};
    }
  }
}

// With one digit behind the point.
std::string Percent(double fraction) {
  const auto tenths = static_cast<std::int64_t>(std::round(1000 * fraction));
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " %";
}

std::string DescribeFit(const FittedCurve& fitted, const Points& points,
                        const std::string& backend) {
  const auto held_out = std::count_if(points.begin(), points.end(),
                                      [](const Measurement& point) { return point.held_out; });
  std::string text = "sparseserve calibrate --backend " + backend + ", " +
                     (fitted.curve.grid.empty() ? "fit of " : "grid on ") +
                     std::to_string(static_cast<std::int64_t>(points.size()) - held_out) +
                     " points";
  if (fitted.validation) {
    text += "; mean error on points left out in turn: linear " +
            Percent(fitted.validation->linear) + ", grid " + Percent(fitted.validation->grid);
  }
  return text;
}

void AddCurves(const MeasurementSet& set, Record& record) {
  for (const std::string_view operation : kOperationNames) {
    Points points;
    bool fits = false;
    for (const Measurement& point : set.points) {
      if (point.operation != operation) continue;
      Measurement kept = point;
      for (Seconds* time : {&kept.median, &kept.lower_quartile, &kept.upper_quartile})
        *time = Seconds(RoundTo(time->value(), kMeasuredDigits));
      points.push_back(std::move(kept));
      fits |= !point.held_out;
    }
    record.measurements.insert(record.measurements.end(), points.begin(), points.end());
    if (!fits) continue;
    const FittedCurve fitted = FitCurve(points);
    Curve& curve = record.operations[std::string(operation)] = fitted.curve;
    curve.source = {Kind::kMeasured, DescribeFit(fitted, points, set.backend)};
  }
}

Source CarriedOver(const Source& source, const Record& base) {
  if (source.kind != Kind::kMeasured) return source;
  const std::string date = base.provenance ? ", " + base.provenance->date : "";
  return {Kind::kAssumed, "carried over from " + base.name + date + ": " + source.text};
}

template <typename Map>
void AddMissing(const Map& from, const Record& base, Map& to) {
  for (const auto& [name, entry] : from) {
    const auto [place, added] = to.emplace(name, entry);
    if (added) place->second.source = CarriedOver(entry.source, base);
  }
}

}  // namespace

Peaks FindPeaks(const MeasurementSet& set) {
  double memory = CeilingOf(set, "hbm_read");
  double compute = CeilingOf(set, "gemm");
  for (const Measurement& point : set.points) {
    if (!IsOnDevice(point.operation)) continue;
    const double seconds = point.median.value();
    memory = std::max(memory, static_cast<double>(point.work.bytes.value()) / seconds);
    compute = std::max(compute, point.work.flops.value() / seconds);
  }
  return {BytesPerSecond(RoundUp(memory, kMeasuredDigits)),
          FlopsPerSecond(RoundUp(compute, kMeasuredDigits))};
}

std::string ExplainFault(const MeasurementSet& set) {
  if (set.points.empty()) return "no measurement";
  for (const Measurement& point : set.points) {
    const bool sound = point.median.value() > 0 && std::isfinite(point.median.value()) &&
                       point.lower_quartile >= Seconds(0) && point.upper_quartile >= Seconds(0) &&
                       std::isfinite(point.lower_quartile.value()) &&
                       std::isfinite(point.upper_quartile.value()) && point.work.items > 0 &&
                       point.work.item_bytes >= Bytes(0) && point.work.bytes >= Bytes(0) &&
                       point.work.flops >= Flops(0) && std::isfinite(point.work.flops.value());
    if (!Has(kOperationNames, point.operation))
      return "no operation is called '" + point.operation + "'";
    if (!sound) return "a point of " + point.operation + " has no work or no time";
  }
  for (const auto& [key, measured] : set.values) {
    if (!IsKnownValue(key)) return "no value is called '" + key + "'";
    if (!std::isfinite(measured.value) || measured.value < 0 || measured.how.empty())
      return key + " is negative, not finite or without a word on how it was measured";
    const bool may_be_zero = key.starts_with("latencies.") || key.starts_with("slowdowns.");
    if (measured.value == 0 && !may_be_zero) return key + " is zero";
  }
  for (const char* ceiling : {"hbm_read", "gemm"}) {
    if (CeilingOf(set, ceiling) <= 0) return std::string("no ceilings.") + ceiling;
  }
  return "";
}

Record FitRecord(const MeasurementSet& set, const FitOptions& options) {
  SPARSESERVE_CHECK(ExplainFault(set).empty(), ExplainFault(set));
  SPARSESERVE_CHECK(options.peaks.memory.value() > 0 && options.peaks.compute.value() > 0,
                    "a machine has peaks");
  Record record;
  record.name = options.name;
  record.device = set.provenance.device;
  record.machine = options.machine == options.name ? "" : options.machine;
  record.provenance = set.provenance;
  AddCurves(set, record);
  AddValues(set, options.peaks, record);
  if (options.base != nullptr) {
    const Record& base = *options.base;
    AddMissing(base.operations, base, record.operations);
    AddMissing(base.efficiencies, base, record.efficiencies);
    AddMissing(base.latencies, base, record.latencies);
    AddMissing(base.slowdowns, base, record.slowdowns);
    AddMissing(base.counts, base, record.counts);
  }
  return record;
}

}  // namespace sparseserve::calibration
