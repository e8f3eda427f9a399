#include "sim/config/calibration_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sim/config/yaml_reader.h"
#include "sim/core/hash.h"

namespace sparseserve::config {
namespace {

using calibration::CeilingUnit;
using calibration::Curve;
using calibration::Kind;
using calibration::Record;
using calibration::Source;
using ValueMap = std::map<std::string, calibration::Value, std::less<>>;

constexpr EnumName<Kind> kKinds[] = {
    {"measured", Kind::kMeasured}, {"published", Kind::kPublished}, {"assumed", Kind::kAssumed}};

// Calls read(name, reader) for each of `names` that the map at `key` holds. All of them are asked
// for, so that an unknown name is answered with the known ones.
void ReadNamed(MapReader& parent, std::string_view key, std::span<const std::string_view> names,
               const std::function<void(std::string_view, MapReader&)>& read) {
  MapReader map = parent.OptionalMap(key);
  for (const std::string_view name : names) {
    MapReader entry = map.OptionalMap(name);
    if (map.Has(name)) read(name, entry);
  }
}

template <typename T>
double Plain(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<double>(value);
  } else {
    return static_cast<double>(value.value());
  }
}

Source ReadSource(MapReader& reader) {
  Source source;
  reader.RequiredEnum("kind", source.kind, kKinds);
  reader.Required("source", source.text, {.doc = "document and date, or the derivation"});
  if (reader.Has("source") && source.text.empty()) {
    reader.AddProblem("source", {"an empty source", "document and date, or the derivation", ""});
  }
  return source;
}

// [least, most] of one input.
template <typename T>
void ReadRange(MapReader& reader, std::string_view key, calibration::Range& range) {
  std::vector<T> ends;
  reader.Optional(key, ends);
  if (ends.empty()) return;
  if (ends.size() != 2) {
    reader.AddProblem(key, {fmt::format("{} values", ends.size()), "[least, most]", ""});
    return;
  }
  range = {Plain(ends[0]), Plain(ends[1])};
}

calibration::Grid ReadGrid(MapReader reader) {
  calibration::Grid grid;
  std::vector<Bytes> item_bytes;
  reader.Required("item_bytes", item_bytes, {.doc = "one per column"});
  for (const Bytes bytes : item_bytes)
    grid.item_bytes.push_back(static_cast<double>(bytes.value()));
  for (MapReader& row : reader.Maps("rows")) {
    std::int64_t items = 0;
    std::vector<Seconds> times;
    row.Required("items", items, {.min = 1});
    row.Required("times", times, {.doc = "one per column", .positive = true});
    if (!times.empty() && times.size() != item_bytes.size()) {
      row.AddProblem("times", {fmt::format("{} times", times.size()),
                               fmt::format("{}, one per item_bytes", item_bytes.size()), ""});
    }
    grid.items.push_back(static_cast<double>(items));
    for (const Seconds time : times) grid.times_s.push_back(time.value());
  }
  return grid;
}

void ReadTerms(MapReader& reader, Curve& curve) {
  reader.Optional("launch", curve.launch, {.doc = "once per call"});
  reader.Optional("per_item", curve.per_item);
  reader.Optional("bandwidth", curve.bandwidth, {.positive = true});
  reader.Optional("flop_rate", curve.flop_rate, {.positive = true});
  MapReader valid = reader.OptionalMap("valid", "range in which the curve holds");
  ReadRange<std::int64_t>(valid, "items", curve.valid_items);
  ReadRange<Bytes>(valid, "item_bytes", curve.valid_item_bytes);
  if (!reader.Has("grid")) return;
  curve.grid = ReadGrid(reader.Map("grid"));
  if (reader.Has("valid")) {
    reader.AddProblem("valid", {"a range beside a grid", "", "the grid is its own range"});
  } else if (!curve.grid.items.empty() && !curve.grid.item_bytes.empty()) {
    curve.valid_items = {curve.grid.items.front(), curve.grid.items.back()};
    curve.valid_item_bytes = {curve.grid.item_bytes.front(), curve.grid.item_bytes.back()};
  }
}

Curve ReadCurve(MapReader& reader) {
  Curve curve;
  curve.source = ReadSource(reader);
  ReadTerms(reader, curve);
  if (reader.Has("holdout_error")) {
    MapReader error = reader.Map("holdout_error", "relative, on points held out");
    calibration::HoldoutError& holdout = curve.holdout_error.emplace();
    error.Required("median", holdout.median);
    error.Required("p95", holdout.p95);
    error.Optional("points", holdout.points, {.doc = "how many there were"});
  }
  const std::string fault = ExplainFault(curve);
  if (!fault.empty()) reader.AddProblem("", {fault, "", ""});
  return curve;
}

// The named values of one kind: `value: ...` of type T with its source.
template <typename T>
void ReadValues(MapReader& parent, std::string_view key, std::span<const std::string_view> names,
                ValueMap& values, const Field& field) {
  ReadNamed(parent, key, names, [&](std::string_view name, MapReader& entry) {
    T value{};
    entry.Required("value", value, field);
    values[std::string(name)] = {Plain(value), ReadSource(entry)};
  });
}

void ReadCeilings(MapReader& root, Record& record) {
  std::vector<std::string_view> names;
  for (const calibration::CeilingName& known : calibration::kCeilingNames)
    names.push_back(known.name);
  ReadNamed(root, "ceilings", names, [&](std::string_view name, MapReader& entry) {
    const auto read = [&]<typename T>(T value) {
      entry.Required("value", value, {.positive = true});
      return Plain(value);
    };
    const auto known =
        std::find_if(calibration::kCeilingNames.begin(), calibration::kCeilingNames.end(),
                     [&](const auto& ceiling) { return ceiling.name == name; });
    double value = 0;
    switch (known->unit) {
      case CeilingUnit::kBytesPerSecond:
        value = read(BytesPerSecond());
        break;
      case CeilingUnit::kFlopsPerSecond:
        value = read(FlopsPerSecond());
        break;
      case CeilingUnit::kBytes:
        value = read(Bytes());
        break;
      case CeilingUnit::kCount:
        value = read(std::int64_t{0});
        break;
    }
    record.ceilings[std::string(name)] = {value, ReadSource(entry)};
  });
}

void ReadMeasurements(MapReader& root, Record& record) {
  MapReader map = root.OptionalMap("measurements", "raw points, for each operation");
  for (const std::string_view name : calibration::kOperationNames) {
    for (MapReader& row : map.Maps(name)) {
      calibration::Measurement& point = record.measurements.emplace_back();
      point.operation = name;
      row.Required("items", point.work.items, {.min = 1});
      row.Required("item_bytes", point.work.item_bytes);
      point.work.bytes = point.work.item_bytes * point.work.items;
      row.Optional("bytes", point.work.bytes, {.doc = "if not items x item_bytes"});
      row.Optional("flops", point.work.flops);
      row.Required("median", point.median, {.positive = true});
      row.Required("q1", point.lower_quartile, {.doc = "lower quartile"});
      row.Required("q3", point.upper_quartile, {.doc = "upper quartile"});
      row.Required("samples", point.num_samples);
      row.Optional("noisy", point.noisy, {.doc = "the spread stayed large"});
      row.Optional("held_out", point.held_out, {.doc = "not used in the fit"});
    }
  }
}

void ReadProvenance(MapReader& root, Record& record) {
  bool measured = false;
  for (const auto& [name, curve] : record.operations)
    measured |= curve.source.kind == Kind::kMeasured;
  for (const auto* values : {&record.efficiencies, &record.latencies, &record.slowdowns,
                             &record.counts, &record.ceilings}) {
    for (const auto& [name, value] : *values) measured |= value.source.kind == Kind::kMeasured;
  }
  MapReader reader = measured ? root.Map("provenance", "the record has measured entries")
                              : root.OptionalMap("provenance");
  if (!root.Has("provenance")) return;
  calibration::Provenance& provenance = record.provenance.emplace();
  reader.Required("device", provenance.device);
  reader.Required("driver", provenance.driver);
  reader.Required("cuda", provenance.cuda);
  reader.Required("clocks", provenance.clocks);
  reader.Required("date", provenance.date);
  reader.Required("commit", provenance.commit);
}

// A record of ours begins, behind comments, with these two lines.
const std::string kSealedHead = "schema: " + std::string(calibration::kSchema) + "\ndigest: ";

// Checks the text of a sealed record; returns whether it is one.
bool CheckDigest(std::string_view text, const std::string& name) {
  const std::size_t head = text.find(kSealedHead);
  if (head == std::string_view::npos || (head > 0 && text[head - 1] != '\n')) return false;
  const std::size_t begin = head + kSealedHead.size();
  const std::size_t end = std::min(text.find('\n', begin), text.size());
  const std::string_view found = text.substr(begin, end - begin);
  if (end < text.size() && found == DigestOf(text.substr(end + 1))) return true;
  const auto line = static_cast<int>(std::count(text.begin(), text.begin() + begin, '\n')) + 1;
  throw InputError({{name, line, 0},
                    "digest",
                    "the rest of the file is not what was written: it is torn, or was edited",
                    "the record as 'sparseserve calibrate' wrote it",
                    "to take an edited record as it stands, remove this line"});
}

}  // namespace

std::string DigestOf(std::string_view text) { return fmt::format("{:016x}", HashBytes(text)); }

Record ReadCalibration(std::string_view text, const std::string& name) {
  const bool sealed = CheckDigest(text, name);
  const Node root = LoadYamlString(text, name);
  MapReader reader(root);
  Record record;
  record.file = name;
  std::string schema;
  reader.Required("schema", schema, {.one_of = {std::string(calibration::kSchema)}});
  if (reader.Has("schema") && schema.empty()) reader.Ignore();  // of unknown form is the rest
  std::string digest;
  reader.Optional("digest", digest);
  if (reader.Has("digest") && !sealed) {
    reader.AddProblem("digest", {"a digest that is not on the line behind the schema", "", ""});
  }
  reader.Required("name", record.name);
  reader.Required("device", record.device);
  reader.Optional("machine", record.machine,
                  {.doc = "that it is for; empty: called as the record"});
  ReadNamed(reader, "operations", calibration::kOperationNames,
            [&](std::string_view operation, MapReader& entry) {
              record.operations.emplace(operation, ReadCurve(entry));
            });
  ReadValues<double>(reader, "efficiencies", calibration::kEfficiencyNames, record.efficiencies,
                     {.positive = true, .real = RealKind::kFraction});
  ReadValues<Seconds>(reader, "latencies", calibration::kLatencyNames, record.latencies, {});
  ReadValues<double>(reader, "slowdowns", calibration::kSlowdownNames, record.slowdowns,
                     {.min = 1});
  ReadValues<std::int64_t>(reader, "counts", calibration::kCountNames, record.counts, {.min = 1});
  ReadCeilings(reader, record);
  ReadMeasurements(reader, record);
  ReadProvenance(reader, record);
  reader.Finish();
  return record;
}

Record LoadCalibration(const std::string& path) {
  return ReadCalibration(ReadTextFile(path), path);
}

void CheckMachine(const Record& record, const hardware::Machine& machine) {
  if (record.machine_name() == machine.name || record.name == machine.calibration) return;
  throw InputError({{},
                    "hardware.calibration",
                    fmt::format("the record {} is of {} ({}) and not of the machine {}",
                                record.name, record.machine_name(), record.device, machine.name),
                    machine.calibration.empty() ? "a record of that machine" : machine.calibration,
                    "a machine's file may name another record as its `calibration`"});
}

}  // namespace sparseserve::config
