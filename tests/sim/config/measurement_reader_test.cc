#include "sim/config/measurement_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "calibration/record_fit.h"
#include "kernels/bench/json_writer.h"
#include "sim/core/error.h"
#include "tests/temporary_directory.h"

namespace sparseserve::config {
namespace {

using calibration::MeasurementSet;
using calibration::Work;
using ::testing::HasSubstr;

MeasurementSet TestSet() {
  MeasurementSet set;
  set.backend = "cuda";
  set.provenance = {"NVIDIA H200 \"x\"", "580.1", "CUDA 13.0", "1980 MHz", "2026-11-20", "abc"};
  set.points = {{"h2d.flash", Work::Fragments(16, Bytes(4096)), Seconds(8.25e-6), Seconds(8.1e-6),
                 Seconds(8.4e-6), 32, false, true},
                {"gemm",
                 {64, Bytes(1 << 20), Bytes(3 << 20), Flops(1.5e9)},
                 Seconds(1e-3),
                 Seconds(0.9e-3),
                 Seconds(1.5e-3),
                 5,
                 true,
                 false}};
  set.values = {{"ceilings.hbm_read", {4e12, "reads"}},
                {"ceilings.gemm", {7e14, "a GEMM"}},
                {"slowdowns.h2d.flash", {1.07, "beside \\ a GEMM"}}};
  return set;
}

class MeasurementReaderTest : public ::testing::Test {
 protected:
  MeasurementSet Load(const std::string& text) const {
    std::ofstream(directory_ / "raw.json", std::ios::binary) << text;
    return LoadMeasurements(directory_ / "raw.json");
  }
  std::string ErrorOf(const std::string& text) const {
    try {
      Load(text);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  }

  test::TemporaryDirectory directory_;
};

std::string Written() {
  std::ostringstream out;
  bench::WriteMeasurements(TestSet(), out);
  return out.str();
}

TEST_F(MeasurementReaderTest, ReadsWhatTheHarnessWrites) {
  const MeasurementSet expected = TestSet();
  const MeasurementSet set = Load(Written());
  EXPECT_EQ(set.backend, expected.backend);
  EXPECT_EQ(set.provenance, expected.provenance);
  ASSERT_EQ(set.points.size(), expected.points.size());
  for (std::size_t i = 0; i < set.points.size(); ++i) {
    EXPECT_EQ(set.points[i].operation, expected.points[i].operation);
    EXPECT_EQ(set.points[i].work, expected.points[i].work);
    EXPECT_DOUBLE_EQ(set.points[i].median.value(), expected.points[i].median.value());
    EXPECT_DOUBLE_EQ(set.points[i].lower_quartile.value(),
                     expected.points[i].lower_quartile.value());
    EXPECT_EQ(set.points[i].num_samples, expected.points[i].num_samples);
    EXPECT_EQ(set.points[i].noisy, expected.points[i].noisy);
    EXPECT_EQ(set.points[i].held_out, expected.points[i].held_out);
  }
  ASSERT_EQ(set.values.size(), expected.values.size());
  EXPECT_EQ(set.values.at("slowdowns.h2d.flash").value, 1.07);
  EXPECT_EQ(set.values.at("slowdowns.h2d.flash").how, "beside \\ a GEMM");
}

TEST_F(MeasurementReaderTest, AFileThatIsCutAnywhereIsRefused) {
  const std::string text = Written();
  const std::size_t last = text.find_last_not_of('\n');
  for (std::size_t length = 0; length <= last; ++length)
    EXPECT_THAT(ErrorOf(text.substr(0, length)), HasSubstr("raw.json")) << length;
}

// Whatever a byte becomes, the file is read or refused, and what is read can be fitted.
TEST_F(MeasurementReaderTest, HostileBytesAreReadOrRefused) {
  const std::string text = Written();
  int refused = 0;
  for (std::size_t at = 0; at < text.size(); at += 3) {
    for (const char byte : {'\0', '9', '-', '"', '}', '\xff', 'e'}) {
      std::string changed = text;
      changed[at] = byte;
      try {
        EXPECT_EQ(ExplainFault(Load(changed)), "");
      } catch (const InputError& error) {
        EXPECT_THAT(error.what(), HasSubstr("raw.json"));
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 500);
}

TEST_F(MeasurementReaderTest, OddDocumentsAreRefusedWithAReason) {
  const auto changed = [](std::string_view before, std::string_view after) {
    std::string text = Written();
    const std::size_t at = text.find(before);
    EXPECT_NE(at, std::string::npos) << before;
    return text.replace(at, before.size(), after);
  };
  EXPECT_THAT(ErrorOf(""), HasSubstr("the file is empty"));
  EXPECT_THAT(ErrorOf("null"), HasSubstr("found null"));
  EXPECT_THAT(ErrorOf(std::string(100'000, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(ErrorOf(changed("\"items\": 16", "\"items\": 1e999")), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorOf(changed("\"items\": 16", "\"items\": 1e300")),
              HasSubstr("benchmarks[0].items: 1e+300 is out of range"));
  EXPECT_THAT(ErrorOf(changed("\"items\": 16", "\"items\": null")),
              HasSubstr("benchmarks[0].items: found null; expected a number"));
  EXPECT_THAT(ErrorOf(changed("\"items\": 16", "\"items\": 16, \"items\": 17")),
              HasSubstr("items: repeated key"));
  EXPECT_THAT(ErrorOf(changed("\"noisy\": false", "\"noisy\": 7")),
              HasSubstr("benchmarks[0].noisy: 7 is out of range"));
  EXPECT_THAT(ErrorOf(changed("\"backend\": \"cuda\"", "\"backend\": \"a\\nb\"")),
              HasSubstr("context.backend: the text has a control character"));
  EXPECT_THAT(ErrorOf(changed("\"benchmarks\": [", "\"benchmarks\": [3, ")),
              HasSubstr("benchmarks[0]: found 3; expected an object"));
}

TEST_F(MeasurementReaderTest, NvbandwidthGivesTheMedianOverTheGpus) {
  std::ofstream(directory_ / "nv.json") << R"({"nvbandwidth": {"git_version": "v0.8", "testcases": [
    {"name": "host_to_device_memcpy_ce", "status": "Passed", "bandwidth_matrix": [["55.1", "N/A", "53.0", "55.3"]]},
    {"name": "device_to_host_memcpy_ce", "status": "Passed", "bandwidth_matrix": [["54.0"], ["56.0"]]},
    {"name": "host_to_device_bidirectional_memcpy_ce", "status": "Passed", "bandwidth_matrix": [["41.5"]]},
    {"name": "device_to_host_bidirectional_memcpy_ce", "status": "Waived"}]}})";
  const auto values = LoadNvbandwidth(directory_ / "nv.json");
  EXPECT_EQ(values.size(), 2u);  // one direction alone is no duplex figure
  EXPECT_DOUBLE_EQ(values.at("ceilings.h2d").value, 55.1e9);
  EXPECT_DOUBLE_EQ(values.at("ceilings.d2h").value, 55e9);
  EXPECT_EQ(values.at("ceilings.h2d").how,
            "nvbandwidth, host_to_device_memcpy_ce, median of 3 GPUs");
}

}  // namespace
}  // namespace sparseserve::config
