#include "sim/config/calibration_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "sim/core/error.h"

namespace sparseserve::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kGood = R"(schema: sparseserve-calibration/1
name: test
device: a GPU
machine: h200-sxm
provenance: {device: A, driver: "550", cuda: "12.4", clocks: "1410MHz", date: 2026-11-01, commit: abc}
operations:
  h2d.flash:
    kind: measured
    source: calibrate --backend cuda
    grid:
      item_bytes: [4KiB, 32KiB]
      rows:
        - {items: 1, times: [8us, 9us]}
        - {items: 1000, times: [200us, 1.6ms]}
    holdout_error: {median: 0.02, p95: 0.06, points: 9}
  h2d.memcpy:
    kind: published
    source: a paper
    launch: 1us
    per_item: 5.24us
    bandwidth: 25GB/s
    valid: {items: [1, 5000], item_bytes: [4KiB, 32KiB]}
  gemm: {kind: assumed, source: a guess, flop_rate: 200TFLOP/s}
efficiencies:
  gemm.compute: {value: 0.75, kind: assumed, source: a guess}
latencies:
  kernel: {value: 2us, kind: assumed, source: a guess}
slowdowns:
  d2h.direct: {value: 1.47, kind: published, source: a pull request}
counts:
  cpu.scatter.threads: {value: 4, kind: assumed, source: a guess}
ceilings:
  h2d: {value: 55GB/s, kind: measured, source: one copy}
  gemm: {value: 700TFLOP/s, kind: measured, source: a GEMM}
  memory: {value: 141GB, kind: measured, source: the driver}
  workers: {value: 132, kind: measured, source: the driver}
measurements:
  h2d.flash:
    - {items: 1, item_bytes: 4KiB, median: 8us, q1: 7.9us, q3: 8.1us, samples: 30}
    - {items: 9, item_bytes: 4KiB, bytes: 40KiB, flops: 2MFLOP, median: 9us, q1: 8us, q3: 10us,
       samples: 7, noisy: true, held_out: true}
)";

calibration::Record Read(const std::string& text) { return ReadCalibration(text, "bad.yaml"); }

// The message for the good file with one change in it.
std::string ErrorOf(std::string_view before, std::string_view after) {
  std::string text(kGood);
  const std::size_t at = text.find(before);
  EXPECT_NE(at, std::string::npos) << before;
  text.replace(at, before.size(), after);
  try {
    Read(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(CalibrationLoaderTest, ReadsEveryKey) {
  const calibration::Record record = Read(std::string(kGood));
  EXPECT_EQ(record.file, "bad.yaml");
  EXPECT_EQ(record.name, "test");
  EXPECT_EQ(record.device, "a GPU");
  ASSERT_TRUE(record.provenance);
  EXPECT_EQ(record.provenance->driver, "550");
  EXPECT_EQ(record.provenance->clocks, "1410MHz");
  EXPECT_EQ(record.provenance->date, "2026-11-01");
  EXPECT_EQ(record.operations.size(), 3u);
  EXPECT_EQ(record.efficiencies.at("gemm.compute").value, 0.75);
  EXPECT_EQ(record.efficiencies.at("gemm.compute").source.kind, calibration::Kind::kAssumed);
  EXPECT_EQ(record.latencies.at("kernel").value, 2e-6);
  EXPECT_EQ(record.slowdowns.at("d2h.direct").value, 1.47);
  EXPECT_EQ(record.slowdowns.at("d2h.direct").source.text, "a pull request");
  EXPECT_EQ(record.counts.at("cpu.scatter.threads").value, 4);
}

TEST(CalibrationLoaderTest, ReadsCeilingsAndRawPoints) {
  const calibration::Record record = Read(std::string(kGood));
  EXPECT_EQ(record.machine_name(), "h200-sxm");
  EXPECT_EQ(record.ceilings.at("h2d").value, 55e9);
  EXPECT_EQ(record.ceilings.at("gemm").value, 700e12);
  EXPECT_EQ(record.ceilings.at("memory").value, 141e9);
  EXPECT_EQ(record.ceilings.at("workers").value, 132);
  ASSERT_EQ(record.measurements.size(), 2u);
  const calibration::Measurement& first = record.measurements[0];
  EXPECT_EQ(first.operation, "h2d.flash");
  EXPECT_EQ(first.work, calibration::Work::Fragments(1, Bytes(4096)));
  EXPECT_EQ(first.lower_quartile, Seconds(7.9e-6));
  EXPECT_EQ(first.num_samples, 30);
  EXPECT_FALSE(first.noisy || first.held_out);
  const calibration::Measurement& second = record.measurements[1];
  EXPECT_EQ(second.work, (calibration::Work{9, Bytes(4096), Bytes(40960), Flops(2e6)}));
  EXPECT_TRUE(second.noisy && second.held_out);
  EXPECT_EQ(record.operations.at("h2d.flash").holdout_error->points, 9);
}

TEST(CalibrationLoaderTest, AnotherVersionIsOneProblem) {
  const std::string error = ErrorOf("calibration/1", "calibration/2\nnew_key: 5");
  EXPECT_THAT(error, HasSubstr("bad.yaml:1: schema: 'sparseserve-calibration/2' is not known here; "
                               "expected sparseserve-calibration/1"));
  EXPECT_THAT(error, Not(HasSubstr("\n")));
}

TEST(CalibrationLoaderTest, ARecordIsOfOneMachineUnlessThatOneNamesIt) {
  calibration::Record record = Read(std::string(kGood));
  hardware::Machine machine;
  machine.name = "h200-sxm";
  EXPECT_NO_THROW(CheckMachine(record, machine));
  machine.name = "mine";
  machine.calibration = "test";
  EXPECT_NO_THROW(CheckMachine(record, machine));
  machine.calibration = "another";
  try {
    CheckMachine(record, machine);
    FAIL() << "took the record of another machine";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the record test is of h200-sxm (a GPU) and not of the "
                                        "machine mine; expected another"));
  }
  record.machine.clear();
  machine.name = "test";  // called as the record
  EXPECT_NO_THROW(CheckMachine(record, machine));
}

TEST(CalibrationLoaderTest, ReadsLinearTerms) {
  const calibration::Curve curve = Read(std::string(kGood)).operations.at("h2d.memcpy");
  EXPECT_EQ(curve.source.kind, calibration::Kind::kPublished);
  EXPECT_EQ(curve.launch, Seconds(1e-6));
  EXPECT_EQ(curve.per_item, Seconds(5.24e-6));
  EXPECT_EQ(curve.bandwidth, BytesPerSecond(25e9));
  EXPECT_EQ(curve.valid_items.max, 5000);
  EXPECT_EQ(curve.valid_item_bytes.min, 4096);
  EXPECT_TRUE(curve.grid.empty());
  EXPECT_FALSE(curve.holdout_error);
  EXPECT_EQ(Read(std::string(kGood)).operations.at("gemm").flop_rate, FlopsPerSecond(200e12));
}

TEST(CalibrationLoaderTest, ReadsAGridWithItsRectangleAsRange) {
  const calibration::Curve curve = Read(std::string(kGood)).operations.at("h2d.flash");
  EXPECT_EQ(curve.source.kind, calibration::Kind::kMeasured);
  EXPECT_EQ(curve.grid.items, (std::vector<double>{1, 1000}));
  EXPECT_EQ(curve.grid.item_bytes, (std::vector<double>{4096, 32768}));
  EXPECT_EQ(curve.grid.times_s, (std::vector<double>{8e-6, 9e-6, 200e-6, 1.6e-3}));
  EXPECT_EQ(curve.valid_items.max, 1000);
  EXPECT_EQ(curve.valid_item_bytes.min, 4096);
  ASSERT_TRUE(curve.holdout_error);
  EXPECT_EQ(curve.holdout_error->p95, 0.06);
}

TEST(CalibrationLoaderTest, AMissingFileIsNamed) {
  try {
    LoadCalibration("calibration/devices/none.yaml");
    FAIL() << "loaded a file that is not there";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("calibration/devices/none.yaml"));
  }
}

TEST(CalibrationLoaderTest, ATornFileIsRefusedWhereverItIsCut) {
  const std::string text(kGood);
  const std::size_t last_section = text.find("counts:");
  int refused = 0;
  // Cut at any byte before the last section starts. A cut that happens to leave a complete record
  // of fewer operations is one that the cost model refuses by what it lacks.
  for (std::size_t length = 0; length < last_section; ++length) {
    try {
      const calibration::Record record = Read(text.substr(0, length));
      EXPECT_LT(record.operations.size() + record.efficiencies.size() + record.latencies.size() +
                    record.slowdowns.size() + record.counts.size(),
                7u)
          << length;
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("bad.yaml"));
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(last_section) / 2);
}

struct BadCase {
  const char* name;
  const char* before;
  const char* after;
  const char* message;
};

class BadCalibration : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadCalibration, IsRefusedWithPlaceAndReason) {
  EXPECT_THAT(ErrorOf(GetParam().before, GetParam().after), HasSubstr(GetParam().message));
}

const BadCase kBadCases[] = {
    {"OtherSchema", "sparseserve-calibration/1", "sparseserve-calibration/2",
     "bad.yaml:1: schema: 'sparseserve-calibration/2'"},
    {"NoSchema", "schema: sparseserve-calibration/1\n", "", "schema: missing key"},
    {"NoDevice", "device: a GPU\n", "", "device: missing key"},
    {"UnknownSection", "latencies:", "latency:", "latency: unknown key"},
    {"UnknownOperation",
     "h2d.memcpy:", "h2d.memcopy:", "bad.yaml:16: operations.h2d.memcopy: unknown key"},
    {"UnknownOperationIsGuessed", "h2d.memcpy:", "h2d.memcopy:", "did you mean 'h2d.memcpy'?"},
    {"UnknownTerm", "per_item:", "per_block:", "operations.h2d.memcpy.per_block: unknown key"},
    {"UnknownEfficiency", "gemm.compute:", "gemm.speed:",
     "efficiencies.gemm.speed: unknown key; expected gemm.compute, gemm.memory"},
    {"NoKind", "    kind: published\n", "", "operations.h2d.memcpy.kind: missing key"},
    {"OtherKind", "kind: published", "kind: guessed",
     "'guessed' is not known here; expected measured, published or assumed"},
    {"NoSource", "    source: a paper\n", "", "operations.h2d.memcpy.source: missing key"},
    {"EmptySource", "source: a paper", "source: ''",
     "operations.h2d.memcpy.source: an empty source"},
    {"NoUnit", "launch: 1us", "launch: 1", "operations.h2d.memcpy.launch: '1' has no unit"},
    {"WrongUnit", "bandwidth: 25GB/s", "bandwidth: 25Gb/s", "has the unknown unit 'Gb/s'"},
    {"NegativeBandwidth", "bandwidth: 25GB/s", "bandwidth: -25GB/s",
     "operations.h2d.memcpy.bandwidth: '-25GB/s' is out of range"},
    {"ZeroBandwidth", "bandwidth: 25GB/s", "bandwidth: 0GB/s", "'0GB/s' is out of range"},
    {"NegativeLaunch", "launch: 1us", "launch: -1us", "'-1us' is out of range"},
    {"NotANumber", "per_item: 5.24us", "per_item: .nan", "'.nan' is not a number"},
    {"CurveWithoutTerms", ", flop_rate: 200TFLOP/s", "",
     "operations.gemm: a curve needs a grid or one of launch"},
    {"RangeOfThree", "items: [1, 5000]", "items: [1, 5000, 7]",
     "operations.h2d.memcpy.valid.items: 3 values; expected [least, most]"},
    {"RangeBackwards", "items: [1, 5000]", "items: [5000, 1]",
     "a range of validity ends before it begins"},
    {"GridAndTerms", "    grid:", "    launch: 3us\n    grid:",
     "operations.h2d.flash: a curve is a grid or linear terms, not both"},
    {"GridAndRange", "    grid:", "    valid: {items: [1, 2]}\n    grid:",
     "operations.h2d.flash.valid: a range beside a grid"},
    {"TornRow", "times: [8us, 9us]", "times: [8us]",
     "operations.h2d.flash.grid.rows[0].times: 1 times; expected 2, one per item_bytes"},
    {"GridFalls", "times: [200us, 1.6ms]", "times: [5us, 1.6ms]",
     "the time falls at row 2, column 1: more work may not take less time"},
    {"GridUnsorted", "items: 1000", "items: 1", "the items of a grid must be above zero and rise"},
    {"GridTimeZero", "times: [8us", "times: [0us", "grid.rows[0].times[0]: '0us' is out of range"},
    {"HoldoutWithoutP95", ", p95: 0.06", "", "operations.h2d.flash.holdout_error.p95: missing key"},
    {"HoldoutOfNoPoints", "points: 9", "points: -9", "holdout_error.points: '-9' is out of range"},
    {"UnknownCeiling", "  h2d: {value", "  h3d: {value", "ceilings.h3d: unknown key"},
    {"CeilingOfAnotherUnit", "value: 55GB/s", "value: 55TFLOP/s",
     "ceilings.h2d.value: '55TFLOP/s' has the unknown unit 'TFLOP/s'"},
    {"CeilingZero", "value: 132", "value: 0", "ceilings.workers.value: '0' is out of range"},
    {"CeilingWithoutSource", ", source: a GEMM", "", "ceilings.gemm.source: missing key"},
    {"UnknownMeasurement", "measurements:\n  h2d.flash", "measurements:\n  h2d.flush",
     "measurements.h2d.flush: unknown key"},
    {"UnknownKeyOfAPoint", "samples: 30", "samples: 30, mean: 3us",
     "measurements.h2d.flash[0].mean: unknown key"},
    {"PointWithoutMedian", "median: 8us, ", "", "measurements.h2d.flash[0].median: missing key"},
    {"PointWithoutUnit", "median: 8us", "median: 8", "[0].median: '8' has no unit"},
    {"PointOfNoItems", "items: 9", "items: 0", "[1].items: '0' is out of range"},
    {"FlagOfAPoint", "noisy: true", "noisy: 1", "[1].noisy: '1' is not a truth value"},
    {"DigestElsewhere", "machine:", "digest: 0123\nmachine:",
     "bad.yaml:4: digest: a digest that is not on the line behind the schema"},
    {"WrongDigest", "calibration/1\n", "calibration/1\ndigest: 0123\n",
     "bad.yaml:2: digest: the rest of the file is not what was written"},
    {"EfficiencyAboveOne", "value: 0.75", "value: 1.2",
     "efficiencies.gemm.compute.value: '1.2' is out of range"},
    {"EfficiencyZero", "value: 0.75", "value: 0", "'0' is out of range"},
    {"EfficiencyInPercent", "value: 0.75", "value: 75%", "write 0.75"},
    {"SlowdownBelowOne", "value: 1.47", "value: 0.9",
     "slowdowns.d2h.direct.value: '0.9' is out of range; expected a number >= 1"},
    {"LatencyWithoutUnit", "value: 2us", "value: 2", "latencies.kernel.value: '2' has no unit"},
    {"FractionOfAThread", "value: 4", "value: 4.5", "counts.cpu.scatter.threads.value: '4.5'"},
    {"NoThread", "value: 4", "value: 0", "counts.cpu.scatter.threads.value: '0' is out of range"},
    {"MeasuredWithoutProvenance", "provenance: {", "# {", "provenance: missing key"},
    {"ProvenanceWithoutDriver", "driver: \"550\", ", "", "provenance.driver: missing key"},
    {"RepeatedOperation", "  gemm: {kind", "  h2d.flash: {kind", "h2d.flash"},
    {"OperationIsNoMap", "gemm: {kind: assumed, source: a guess, flop_rate: 200TFLOP/s}", "gemm: 5",
     "operations.gemm: found '5'; expected a mapping"},
};

INSTANTIATE_TEST_SUITE_P(Calibration, BadCalibration, ::testing::ValuesIn(kBadCases),
                         [](const auto& bad) { return std::string(bad.param.name); });

TEST(CalibrationLoaderTest, AllProblemsOfAFileAreReportedAtOnce) {
  std::string text(kGood);
  text.replace(text.find("25GB/s"), 6, "-5GB/s");
  text.replace(text.find("value: 0.75"), 11, "value: 1.5 ");
  try {
    Read(text);
    FAIL() << "accepted two faults";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("operations.h2d.memcpy.bandwidth: '-5GB/s'"));
    EXPECT_THAT(error.what(), HasSubstr("efficiencies.gemm.compute.value: '1.5'"));
    EXPECT_THAT(error.what(), Not(HasSubstr("unknown key")));
  }
}

}  // namespace
}  // namespace sparseserve::config
