#include "kernels/bench/json_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace sparseserve::bench {
namespace {

using nlohmann::json;

calibration::MeasurementSet MakeSet() {
  calibration::MeasurementSet set;
  set.backend = "cpu";
  set.provenance = {
      "a \"device\"\\ with\ttabs", "driver", "runtime", "clocks µ", "2026-01-02", "abc"};
  calibration::Measurement point;
  point.operation = "gemm";
  point.work = {64, Bytes(1 << 20), Bytes(3 << 20), Flops(1.25e9)};
  point.median = Seconds(1.5e-3);
  point.lower_quartile = Seconds(1.25e-3);
  point.upper_quartile = Seconds(2e-3);
  point.num_samples = 9;
  point.noisy = true;
  set.points = {point, point};
  set.points[1].held_out = true;
  set.values["latencies.kernel"] = {2.5e-6, "a line\nbreak"};
  return set;
}

json Write(const calibration::MeasurementSet& set) {
  std::ostringstream out;
  WriteMeasurements(set, out);
  return json::parse(out.str());
}

TEST(JsonWriterTest, HasTheFormOfGoogleBenchmark) {
  const json root = Write(MakeSet());
  EXPECT_EQ(root["context"]["device"], "a \"device\"\\ with\ttabs");
  EXPECT_EQ(root["context"]["clocks"], "clocks µ");
  EXPECT_EQ(root["context"]["commit"], "abc");
  EXPECT_GE(root["context"]["num_cpus"], 1);
  EXPECT_FALSE(root["context"].contains("host_name"));
  const json& point = root["benchmarks"][0];
  EXPECT_EQ(point["name"], "gemm/items:64/item_bytes:1048576");
  EXPECT_EQ(point["run_type"], "iteration");
  EXPECT_EQ(point["time_unit"], "ns");
  EXPECT_DOUBLE_EQ(point["real_time"], 1.5e6);
  EXPECT_DOUBLE_EQ(point["q1_ns"], 1.25e6);
  EXPECT_DOUBLE_EQ(point["q3_ns"], 2e6);
  EXPECT_EQ(point["iterations"], 9);
  EXPECT_EQ(point["items"], 64);
  EXPECT_EQ(point["bytes"], 3 << 20);
  EXPECT_DOUBLE_EQ(point["flops"], 1.25e9);
  EXPECT_DOUBLE_EQ(point["bytes_per_second"], (3 << 20) / 1.5e-3);
  EXPECT_EQ(point["noisy"], true);
  EXPECT_EQ(point["held_out"], false);
  EXPECT_EQ(root["benchmarks"][1]["held_out"], true);
  EXPECT_DOUBLE_EQ(root["values"]["latencies.kernel"]["value"], 2.5e-6);
  EXPECT_EQ(root["values"]["latencies.kernel"]["how"], "a line\nbreak");
}

TEST(JsonWriterTest, EmptySetIsWellFormed) {
  const json root = Write({});
  EXPECT_TRUE(root["benchmarks"].is_array() && root["benchmarks"].empty());
  EXPECT_TRUE(root["values"].is_object() && root["values"].empty());
}

TEST(JsonWriterTest, QuotesEveryControlCharacter) {
  std::string text;
  for (char c = 1; c < 0x7f; ++c) text += c;
  text += '\0';
  EXPECT_EQ(json::parse(QuoteJson(text)).get<std::string>(), text);
}

TEST(JsonWriterTest, NumbersReadBackExactly) {
  for (const double value : {0.0, 1.0 / 3, 1e-300, 123456789.0, 5e9, std::nextafter(1.0, 2.0)}) {
    EXPECT_EQ(json::parse(NumberJson(value)).get<double>(), value);
  }
}

}  // namespace
}  // namespace sparseserve::bench
