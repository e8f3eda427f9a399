#include "sim/config/calibration_loader.h"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sim/config/yaml_reader.h"

namespace sparseserve::config {
namespace {

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
  const auto number = [](T end) {
    if constexpr (std::is_same_v<T, Bytes>) {
      return static_cast<double>(end.value());
    } else {
      return static_cast<double>(end);
    }
  };
  range = {number(ends[0]), number(ends[1])};
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
    calibration::Value& result = values[std::string(name)];
    if constexpr (std::is_same_v<T, Seconds>) {
      result.value = value.value();
    } else {
      result.value = static_cast<double>(value);
    }
    result.source = ReadSource(entry);
  });
}

void ReadProvenance(MapReader& root, Record& record) {
  bool measured = false;
  for (const auto& [name, curve] : record.operations)
    measured |= curve.source.kind == Kind::kMeasured;
  for (const auto* values :
       {&record.efficiencies, &record.latencies, &record.slowdowns, &record.counts}) {
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

}  // namespace

Record ReadCalibration(const Node& root) {
  MapReader reader(root);
  Record record;
  record.file = root.where.file;
  std::string schema;
  reader.Required("schema", schema, {.one_of = {std::string(calibration::kSchema)}});
  reader.Required("name", record.name);
  reader.Required("device", record.device);
  ReadNamed(reader, "operations", calibration::kOperationNames,
            [&](std::string_view name, MapReader& entry) {
              record.operations.emplace(name, ReadCurve(entry));
            });
  ReadValues<double>(reader, "efficiencies", calibration::kEfficiencyNames, record.efficiencies,
                     {.positive = true, .real = RealKind::kFraction});
  ReadValues<Seconds>(reader, "latencies", calibration::kLatencyNames, record.latencies, {});
  ReadValues<double>(reader, "slowdowns", calibration::kSlowdownNames, record.slowdowns,
                     {.min = 1});
  ReadValues<std::int64_t>(reader, "counts", calibration::kCountNames, record.counts, {.min = 1});
  ReadProvenance(reader, record);
  reader.Finish();
  return record;
}

Record LoadCalibration(const std::string& path) { return ReadCalibration(LoadYamlFile(path)); }

}  // namespace sparseserve::config
