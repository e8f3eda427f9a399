#include "sim/config/measurement_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "calibration/record_fit.h"
#include "sim/config/json_file.h"

namespace sparseserve::config {
namespace {

using calibration::MeasuredValue;
using calibration::Measurement;
using calibration::MeasurementSet;

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kMaxSeconds = 1e6;  // of one call

Seconds FromNanoseconds(const JsonValue& value) {
  return Seconds(value.Number(0, kMaxSeconds * 1e9) * 1e-9);
}

bool Flag(const JsonValue& benchmark, const char* key) {
  if (!benchmark.Has(key)) return false;
  const JsonValue value = benchmark.At(key);
  if (value.json().is_boolean()) return value.json().get<bool>();
  return value.Number(0, 1) != 0;  // a counter of Google Benchmark
}

Measurement ReadPoint(const JsonValue& benchmark) {
  Measurement point;
  const std::string name = benchmark.At("name").Text();
  point.operation = name.substr(0, name.find('/'));
  const auto& known = calibration::kOperationNames;
  if (std::find(known.begin(), known.end(), point.operation) == known.end()) {
    benchmark.At("name").Fail("no operation is called '" + point.operation + "'",
                              "OPERATION/items:N/item_bytes:M, as in calibration/README.md");
  }
  if (benchmark.At("time_unit").Text() != "ns") {
    benchmark.At("time_unit").Fail("found '" + benchmark.At("time_unit").Text() + "'", "ns");
  }
  point.work.items = benchmark.At("items").Integer(1);
  point.work.item_bytes = Bytes(benchmark.At("item_bytes").Integer(0));
  point.work.bytes = Bytes(benchmark.At("bytes").Integer(0));
  point.work.flops = Flops(benchmark.At("flops").Number(0, kInfinite));
  point.median = FromNanoseconds(benchmark.At("real_time"));
  if (point.median <= Seconds(0)) benchmark.At("real_time").Fail("a call takes time");
  point.lower_quartile = FromNanoseconds(benchmark.At("q1_ns"));
  point.upper_quartile = FromNanoseconds(benchmark.At("q3_ns"));
  if (point.lower_quartile > point.median) benchmark.At("q1_ns").Fail("above the median");
  if (point.upper_quartile < point.median) benchmark.At("q3_ns").Fail("below the median");
  point.num_samples = benchmark.At("iterations").Integer(1);
  point.noisy = Flag(benchmark, "noisy");
  point.held_out = Flag(benchmark, "held_out");
  return point;
}

// The median over the GPUs of a testcase; nothing if it did not run.
struct CaseRate {
  double bytes_per_second = 0;
  std::size_t num_gpus = 0;
};
std::optional<CaseRate> RateOfCase(const JsonValue& testcase) {
  if (!testcase.Has("status") || testcase.At("status").Text() != "Passed") return std::nullopt;
  std::vector<double> rates;
  const JsonValue matrix = testcase.At("bandwidth_matrix");
  for (std::size_t i = 0; i < matrix.Size(); ++i) {
    for (std::size_t j = 0; j < matrix.At(i).Size(); ++j) {
      const JsonValue cell = matrix.At(i).At(j);
      const std::string text = cell.Text();
      if (text == "N/A") continue;
      double rate = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
      if (error != std::errc() || end != text.data() + text.size() || !(rate > 0 && rate < 1e6))
        cell.Fail("'" + text + "' is no bandwidth", "GB/s above 0, or N/A");
      rates.push_back(rate * 1e9);
    }
  }
  if (rates.empty()) return std::nullopt;
  std::sort(rates.begin(), rates.end());
  const std::size_t middle = rates.size() / 2;
  const double median =
      rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return CaseRate{median, rates.size()};
}

}  // namespace

MeasurementSet LoadMeasurements(const std::string& path) {
  const auto json = JsonValue::Load(path);
  const JsonValue root(json, path);
  MeasurementSet set;
  const JsonValue context = root.At("context");
  set.backend = context.At("backend").Text();
  set.provenance = {context.At("device").Text(), context.At("driver").Text(),
                    context.At("cuda").Text(),   context.At("clocks").Text(),
                    context.At("date").Text(),   context.At("commit").Text()};
  const JsonValue benchmarks = root.At("benchmarks");
  if (benchmarks.Size() > kMaxMeasurements) {
    benchmarks.Fail(fmt::format("{} measurements", benchmarks.Size()),
                    fmt::format("at most {}", kMaxMeasurements));
  }
  for (std::size_t i = 0; i < benchmarks.Size(); ++i)
    set.points.push_back(ReadPoint(benchmarks.At(i)));
  const JsonValue values = root.At("values");
  if (!values.json().is_object()) values.Fail("found no object", "an object");
  for (const auto& [key, entry] : values.json().items()) {
    const JsonValue value = values.At(key);
    set.values[key] = {value.At("value").Number(0, kInfinite), value.At("how").Text()};
  }
  if (const std::string fault = ExplainFault(set); !fault.empty()) root.Fail(fault);
  return set;
}

std::map<std::string, MeasuredValue> LoadNvbandwidth(const std::string& path) {
  const auto json = JsonValue::Load(path);
  const JsonValue top = JsonValue(json, path).At("nvbandwidth");
  const JsonValue cases = top.At("testcases");
  std::map<std::string, CaseRate> rates;
  for (std::size_t i = 0; i < cases.Size(); ++i) {
    const std::string name = cases.At(i).At("name").Text();
    if (const auto rate = RateOfCase(cases.At(i))) rates[name] = *rate;
  }
  std::map<std::string, MeasuredValue> values;
  for (const auto& [key, name] : {std::pair{"ceilings.h2d", "host_to_device_memcpy_ce"},
                                  std::pair{"ceilings.d2h", "device_to_host_memcpy_ce"}}) {
    if (!rates.contains(name)) cases.Fail(fmt::format("no {} that passed", name));
    const CaseRate& rate = rates[name];
    values[key] = {rate.bytes_per_second,
                   fmt::format("nvbandwidth, {}, median of {} GPUs", name, rate.num_gpus)};
  }
  // Each is the rate of one direction while the other one is busy.
  const auto h2d = rates.find("host_to_device_bidirectional_memcpy_ce");
  const auto d2h = rates.find("device_to_host_bidirectional_memcpy_ce");
  if (h2d != rates.end() && d2h != rates.end()) {
    values["ceilings.duplex"] = {
        h2d->second.bytes_per_second + d2h->second.bytes_per_second,
        fmt::format("nvbandwidth, both bidirectional_memcpy_ce, median of {} GPUs",
                    h2d->second.num_gpus)};
  }
  return values;
}

}  // namespace sparseserve::config
