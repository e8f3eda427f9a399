#include "kernels/bench/json_writer.h"

#include <charconv>
#include <cmath>
#include <thread>
#include <utility>
#include <vector>

#include "sim/core/check.h"

namespace sparseserve::bench {
namespace {

using calibration::MeasuredValue;
using calibration::Measurement;

constexpr int kSchemaVersion = 1;  // as Google Benchmark's "json_schema_version"

void WriteObject(const JsonFields& fields, std::string_view indent, std::ostream& out) {
  out << "{";
  const char* separator = "\n";
  for (const auto& [key, value] : fields) {
    out << separator << indent << "  " << QuoteJson(key) << ": " << value;
    separator = ",\n";
  }
  out << "\n" << indent << "}";
}

JsonFields ToFields(const Measurement& point) {
  const double seconds = point.median.value();
  const auto ns = [](Seconds time) { return NumberJson(time.value() * 1e9); };
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  const calibration::Work& work = point.work;
  const std::string name = point.operation + "/items:" + number(work.items) +
                           "/item_bytes:" + number(work.item_bytes.value());
  return {{"name", QuoteJson(name)},
          {"run_name", QuoteJson(name)},
          {"run_type", QuoteJson("iteration")},
          {"iterations", number(point.num_samples)},
          {"real_time", ns(point.median)},
          {"cpu_time", ns(point.median)},
          {"time_unit", QuoteJson("ns")},
          {"bytes_per_second", NumberJson(static_cast<double>(work.bytes.value()) / seconds)},
          {"items_per_second", NumberJson(static_cast<double>(work.items) / seconds)},
          {"items", number(work.items)},
          {"item_bytes", number(work.item_bytes.value())},
          {"bytes", number(work.bytes.value())},
          {"flops", NumberJson(work.flops.value())},
          {"q1_ns", ns(point.lower_quartile)},
          {"q3_ns", ns(point.upper_quartile)},
          {"noisy", flag(point.noisy)},
          {"held_out", flag(point.held_out)}};
}

}  // namespace

std::string QuoteJson(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += "\\u00";
      quoted += kHex[c >> 4];
      quoted += kHex[c & 15];
    } else {
      quoted += c;
    }
  }
  return quoted += '"';
}

std::string NumberJson(double value) {
  SPARSESERVE_CHECK(std::isfinite(value), "JSON has no such number");
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  SPARSESERVE_CHECK(error == std::errc(), "a double has at most 24 characters");
  return {text, end};
}

void WriteContext(const calibration::MeasurementSet& set, std::ostream& out) {
  const calibration::Provenance& from = set.provenance;
  WriteObject({{"date", QuoteJson(from.date)},
               {"library_version", QuoteJson("sparseserve " + from.commit)},
               {"json_schema_version", std::to_string(kSchemaVersion)},
               {"num_cpus", std::to_string(std::thread::hardware_concurrency())},
               {"backend", QuoteJson(set.backend)},
               {"device", QuoteJson(from.device)},
               {"driver", QuoteJson(from.driver)},
               {"cuda", QuoteJson(from.cuda)},
               {"clocks", QuoteJson(from.clocks)},
               {"commit", QuoteJson(from.commit)}},
              "  ", out);
}

void WriteArray(const JsonArray& array, std::ostream& out) {
  out << "[";
  const char* separator = "\n    ";
  for (const JsonFields& fields : array) {
    out << separator;
    WriteObject(fields, "    ", out);
    separator = ",\n    ";
  }
  out << "\n  ]";
}

void WriteValues(const std::map<std::string, MeasuredValue>& values, std::ostream& out) {
  out << "{";
  const char* separator = "\n    ";
  for (const auto& [name, value] : values) {
    out << separator << QuoteJson(name) << ": ";
    WriteObject({{"value", NumberJson(value.value)}, {"how", QuoteJson(value.how)}}, "    ", out);
    separator = ",\n    ";
  }
  out << "\n  }";
}

void WriteMeasurements(const calibration::MeasurementSet& set, std::ostream& out) {
  JsonArray points;
  for (const Measurement& point : set.points) points.push_back(ToFields(point));
  out << "{\n  \"context\": ";
  WriteContext(set, out);
  out << ",\n  \"benchmarks\": ";
  WriteArray(points, out);
  out << ",\n  \"values\": ";
  WriteValues(set.values, out);
  out << "\n}\n";
}

}  // namespace sparseserve::bench
