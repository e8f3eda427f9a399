#include "sim/config/calibration_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string_view>

#include "sim/config/calibration_loader.h"
#include "sim/config/value_text.h"
#include "sim/config/yaml_node.h"
#include "sim/core/check.h"

namespace sparseserve::config {
namespace {

using calibration::CeilingUnit;
using calibration::Curve;
using calibration::Record;
using ValueMap = std::map<std::string, calibration::Value, std::less<>>;

constexpr std::size_t kWidth = 100;

// One scalar on the line of its key.
std::string Inline(const std::string& text) {
  std::string yaml = ToYaml(Node::Scalar(text));
  yaml.pop_back();  // the line end
  return yaml;
}

// Whether a folded block gives the text back: words with one blank between them.
bool Folds(const std::string& text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ') return false;
  return text.find("  ") == std::string::npos && text.find_first_of("\n\r\t") == std::string::npos;
}

template <typename T>
std::string BytesText(T bytes) {
  return FormatText(Bytes(static_cast<std::int64_t>(bytes)));
}

std::string SourceText(const calibration::Source& source, std::size_t indent) {
  const std::string space(indent, ' ');
  return fmt::format("{}kind: {}\n{}source:{}\n", space, calibration::KindName(source.kind), space,
                     YamlText(source.text, indent + 2));
}

std::string RangeText(const Curve& curve) {
  std::string text;
  const auto add = [&](std::string_view key, const calibration::Range& range, auto&& number) {
    if (range == calibration::Range{}) return;
    SPARSESERVE_CHECK(std::isfinite(range.max), "a range with one end has no text");
    text += fmt::format("{}{}: [{}, {}]", text.empty() ? "" : ", ", key, number(range.min),
                        number(range.max));
  };
  add("items", curve.valid_items, [](double x) { return static_cast<std::int64_t>(x); });
  add("item_bytes", curve.valid_item_bytes, BytesText<double>);
  return text.empty() ? "" : "    valid: {" + text + "}\n";
}

std::string GridText(const calibration::Grid& grid) {
  std::string text = "    grid:\n      item_bytes: [";
  for (std::size_t j = 0; j < grid.item_bytes.size(); ++j)
    text += (j > 0 ? ", " : "") + BytesText(grid.item_bytes[j]);
  text += "]\n      rows:\n";
  for (std::size_t i = 0; i < grid.items.size(); ++i) {
    text +=
        fmt::format("        - {{items: {}, times: [", static_cast<std::int64_t>(grid.items[i]));
    for (std::size_t j = 0; j < grid.item_bytes.size(); ++j) {
      const Seconds time(grid.times_s[i * grid.item_bytes.size() + j]);
      text += (j > 0 ? ", " : "") + FormatText(time);
    }
    text += "]}\n";
  }
  return text;
}

std::string CurveText(std::string_view name, const Curve& curve) {
  std::string text = fmt::format("  {}:\n", name) + SourceText(curve.source, 4);
  const auto add = [&](const char* key, auto term) {
    if (term.value() != 0) text += fmt::format("    {}: {}\n", key, FormatText(term));
  };
  add("launch", curve.launch);
  add("per_item", curve.per_item);
  add("bandwidth", curve.bandwidth);
  add("flop_rate", curve.flop_rate);
  text += curve.grid.empty() ? RangeText(curve) : GridText(curve.grid);
  if (const auto& error = curve.holdout_error) {
    text += fmt::format("    holdout_error: {{median: {}, p95: {}", error->median, error->p95);
    text += error->points > 0 ? fmt::format(", points: {}}}\n", error->points) : "}\n";
  }
  return text;
}

// A section of named values; `format` writes the number with its unit.
std::string ValuesText(
    std::string_view section, const ValueMap& values,
    const std::function<std::string(std::string_view name, double value)>& format) {
  if (values.empty()) return "";
  std::string text = fmt::format("\n{}:\n", section);
  for (const auto& [name, value] : values) {
    text += fmt::format("  {}:\n    value: {}\n", name, format(name, value.value)) +
            SourceText(value.source, 4);
  }
  return text;
}

std::string CeilingText(std::string_view name, double value) {
  const auto known =
      std::find_if(calibration::kCeilingNames.begin(), calibration::kCeilingNames.end(),
                   [&](const auto& ceiling) { return ceiling.name == name; });
  SPARSESERVE_CHECK(known != calibration::kCeilingNames.end(), name);
  switch (known->unit) {
    case CeilingUnit::kBytesPerSecond:
      return FormatText(BytesPerSecond(value));
    case CeilingUnit::kFlopsPerSecond:
      return FormatText(FlopsPerSecond(value));
    case CeilingUnit::kBytes:
      return BytesText(value);
    case CeilingUnit::kCount:
      break;
  }
  return FormatText(static_cast<std::int64_t>(value));
}

std::string MeasurementText(const calibration::Measurement& point) {
  const calibration::Work& work = point.work;
  std::string text =
      fmt::format("    - {{items: {}, item_bytes: {}", work.items, FormatText(work.item_bytes));
  if (work.bytes != work.item_bytes * work.items) text += ", bytes: " + FormatText(work.bytes);
  if (work.flops != Flops()) text += ", flops: " + FormatText(work.flops);
  text += fmt::format(", median: {}, q1: {}, q3: {}, samples: {}", FormatText(point.median),
                      FormatText(point.lower_quartile), FormatText(point.upper_quartile),
                      point.num_samples);
  if (point.noisy) text += ", noisy: true";
  if (point.held_out) text += ", held_out: true";
  return text + "}\n";
}

std::string MeasurementsText(const Record& record) {
  if (record.measurements.empty()) return "";
  std::string text = "\nmeasurements:\n";
  for (std::size_t i = 0; i < record.measurements.size(); ++i) {
    const calibration::Measurement& point = record.measurements[i];
    if (i == 0 || point.operation != record.measurements[i - 1].operation)
      text += "  " + point.operation + ":\n";
    text += MeasurementText(point);
  }
  return text;
}

std::string ProvenanceText(const calibration::Provenance& provenance) {
  std::string text = "provenance:\n";
  const auto add = [&](const char* key, const std::string& value) {
    text += fmt::format("  {}: {}\n", key, Inline(value));
  };
  add("device", provenance.device);
  add("driver", provenance.driver);
  add("cuda", provenance.cuda);
  add("clocks", provenance.clocks);
  add("date", provenance.date);
  add("commit", provenance.commit);
  return text;
}

// Everything behind the digest.
std::string BodyText(const Record& record) {
  std::string text =
      fmt::format("name: {}\ndevice: {}\n", Inline(record.name), Inline(record.device));
  if (!record.machine.empty()) text += fmt::format("machine: {}\n", Inline(record.machine));
  if (record.provenance) text += ProvenanceText(*record.provenance);
  if (!record.operations.empty()) text += "\noperations:\n";
  for (const std::string_view name : calibration::kOperationNames) {
    const auto found = record.operations.find(name);
    if (found != record.operations.end()) text += CurveText(name, found->second);
  }
  const auto plain = [](std::string_view, double value) { return FormatText(value); };
  const auto time = [](std::string_view, double value) { return FormatText(Seconds(value)); };
  const auto count = [](std::string_view, double value) {
    return FormatText(static_cast<std::int64_t>(value));
  };
  return text + ValuesText("efficiencies", record.efficiencies, plain) +
         ValuesText("latencies", record.latencies, time) +
         ValuesText("slowdowns", record.slowdowns, plain) +
         ValuesText("counts", record.counts, count) +
         ValuesText("ceilings", record.ceilings, CeilingText) + MeasurementsText(record);
}

}  // namespace

std::string YamlText(const std::string& text, std::size_t indent) {
  const std::string quoted = Inline(text);
  if (indent + quoted.size() + sizeof("source:") <= kWidth || !Folds(text)) return " " + quoted;
  std::string folded = " >-";
  std::size_t column = kWidth;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (column + 1 + (end - begin) > kWidth) {
      folded += '\n' + std::string(indent, ' ');
      column = indent;
    } else {
      folded += ' ';
      ++column;
    }
    folded += text.substr(begin, end - begin);
    column += end - begin;
    begin = end + 1;
  }
  return folded;
}

std::string WriteCalibration(const Record& record) {
  const std::string body = BodyText(record);
  return fmt::format(
      "# Calibration record, written by 'sparseserve calibrate'; calibration/README.md explains "
      "it.\nschema: {}\ndigest: {}\n{}",
      calibration::kSchema, DigestOf(body), body);
}

}  // namespace sparseserve::config
