#include "sim/config/calibration_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <fstream>
#include <string>
#include <vector>

#include "sim/config/calibration_loader.h"
#include "sim/config/machine_loader.h"
#include "sim/config/machine_writer.h"
#include "sim/core/error.h"
#include "tests/temporary_directory.h"

namespace sparseserve::config {
namespace {

using calibration::Curve;
using calibration::Kind;
using calibration::Measurement;
using calibration::Record;
using ::testing::HasSubstr;

// Words and what YAML gives a meaning: colons, hashes, quotes, dashes, blanks at the ends.
rc::Gen<std::string> AnyText() {
  return rc::gen::map(
      rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
          "grid", "on", "24", "points;", "a:", "b", "#", "- c", "'", "\"", "[x]", "{", "% of", "~",
          "null", "\\", "true", "&a", "*", "!t", "|", ">", "\n", "\t", " ", "   ", ",", "?", "µs",
          "0x10", "...", "---", "averyveryverylongword/with/a/path", "=", "`", "@"))),
      [](const std::vector<std::string>& words) {
        std::string text;
        for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
        return text;
      });
}

rc::Gen<double> AnyReal(double least, double most) {
  return rc::gen::map(rc::gen::inRange<std::int64_t>(0, 1'000'000'007), [=](std::int64_t x) {
    return least + (most - least) * (static_cast<double>(x) / 1'000'000'007);
  });
}

calibration::Source AnySource() {
  return {*rc::gen::element(Kind::kMeasured, Kind::kPublished, Kind::kAssumed), *AnyText()};
}

calibration::Range AnyRange(std::int64_t most) {
  const std::int64_t least = *rc::gen::inRange<std::int64_t>(0, most);
  return {static_cast<double>(least),
          static_cast<double>(*rc::gen::inRange<std::int64_t>(least, most + 1))};
}

// Strictly rising numbers.
std::vector<double> AnyAxis(std::int64_t least, std::size_t count) {
  std::vector<double> axis;
  for (std::size_t i = 0; i < count; ++i) {
    least += *rc::gen::inRange<std::int64_t>(1, 100'000);
    axis.push_back(static_cast<double>(least));
  }
  return axis;
}

Curve AnyCurve() {
  Curve curve;
  curve.source = AnySource();
  if (*rc::gen::arbitrary<bool>()) {
    curve.grid.items = AnyAxis(0, *rc::gen::inRange<std::size_t>(1, 5));
    curve.grid.item_bytes = AnyAxis(-1, *rc::gen::inRange<std::size_t>(1, 5));
    double time = 0;  // rising along the rows and from row to row
    for (std::size_t i = 0; i < curve.grid.items.size() * curve.grid.item_bytes.size(); ++i)
      curve.grid.times_s.push_back(time += *AnyReal(1e-9, 1e-3));
    curve.valid_items = {curve.grid.items.front(), curve.grid.items.back()};
    curve.valid_item_bytes = {curve.grid.item_bytes.front(), curve.grid.item_bytes.back()};
  } else {
    curve.launch = Seconds(*AnyReal(1e-9, 1e-3));
    if (*rc::gen::arbitrary<bool>()) curve.per_item = Seconds(*AnyReal(0, 1e-5));
    if (*rc::gen::arbitrary<bool>()) curve.bandwidth = BytesPerSecond(*AnyReal(1, 5e12));
    if (*rc::gen::arbitrary<bool>()) curve.flop_rate = FlopsPerSecond(*AnyReal(1, 1e15));
    if (*rc::gen::arbitrary<bool>()) curve.valid_items = AnyRange(100'000);
    if (*rc::gen::arbitrary<bool>()) curve.valid_item_bytes = AnyRange(1 << 30);
  }
  if (*rc::gen::arbitrary<bool>()) {
    curve.holdout_error = {*AnyReal(0, 3), *AnyReal(0, 3), *rc::gen::inRange<std::int64_t>(0, 50)};
  }
  return curve;
}

Measurement AnyMeasurement(std::string_view operation) {
  Measurement point;
  point.operation = operation;
  point.work.items = *rc::gen::inRange<std::int64_t>(1, 1'000'000);
  point.work.item_bytes = Bytes(*rc::gen::inRange<std::int64_t>(0, 1 << 30));
  point.work.bytes = *rc::gen::arbitrary<bool>()
                         ? point.work.item_bytes * point.work.items
                         : Bytes(*rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 50));
  point.work.flops = Flops(*AnyReal(0, 1e18));
  point.median = Seconds(*AnyReal(1e-9, 10));
  point.lower_quartile = point.median * 0.9;
  point.upper_quartile = point.median * 1.1;
  point.num_samples = *rc::gen::inRange<std::int64_t>(1, 1000);
  point.noisy = *rc::gen::arbitrary<bool>();
  point.held_out = *rc::gen::arbitrary<bool>();
  return point;
}

bool Maybe() { return *rc::gen::inRange(0, 4) == 0; }

Record AnyRecord() {
  Record record;
  record.name = *AnyText();
  record.device = *AnyText();
  if (Maybe()) record.machine = *AnyText();
  record.provenance = calibration::Provenance{*AnyText(), *AnyText(), *AnyText(),
                                              *AnyText(), *AnyText(), *AnyText()};
  for (const std::string_view name : calibration::kOperationNames) {
    if (Maybe()) record.operations[std::string(name)] = AnyCurve();
    if (!Maybe()) continue;
    for (int i = *rc::gen::inRange(1, 4); i > 0; --i)
      record.measurements.push_back(AnyMeasurement(name));
  }
  const auto values = [](auto& map, const auto& names, auto&& value) {
    for (const std::string_view name : names) {
      if (Maybe()) map[std::string(name)] = {value(), AnySource()};
    }
  };
  const auto count = [] { return static_cast<double>(*rc::gen::inRange(1, 1000)); };
  values(record.efficiencies, calibration::kEfficiencyNames, [] { return *AnyReal(1e-6, 1); });
  values(record.latencies, calibration::kLatencyNames, [] { return *AnyReal(0, 1e-3); });
  values(record.slowdowns, calibration::kSlowdownNames, [] { return *AnyReal(1, 9); });
  values(record.counts, calibration::kCountNames, count);
  for (const calibration::CeilingName& ceiling : calibration::kCeilingNames) {
    const bool is_rate = ceiling.unit == calibration::CeilingUnit::kBytesPerSecond ||
                         ceiling.unit == calibration::CeilingUnit::kFlopsPerSecond;
    if (Maybe()) {
      record.ceilings[std::string(ceiling.name)] = {is_rate ? *AnyReal(1, 1e15) : count(),
                                                    AnySource()};
    }
  }
  return record;
}

TEST(CalibrationWriterTest, ReadingWhatWasWrittenGivesTheSameRecord) {
  const bool holds = rc::check("load(write(record)) == record", [] {
    Record record = AnyRecord();
    const std::string text = WriteCalibration(record);
    record.file = "r.yaml";
    const Record back = ReadCalibration(text, "r.yaml");
    RC_ASSERT(back == record);
    RC_ASSERT(WriteCalibration(back) == text);
  });
  EXPECT_TRUE(holds);
}

TEST(CalibrationWriterTest, ShippedRecordsSurviveToo) {
  for (const char* name : {"a100-40g-pcie4", "a100-80g", "gh200", "h100-sxm-pcie5", "h200-sxm"}) {
    Record record = LoadCalibration("calibration/devices/" + std::string(name) + ".yaml");
    const Record back = ReadCalibration(WriteCalibration(record), record.file);
    EXPECT_TRUE(back == record) << name;
  }
}

Record SmallRecord() {
  Record record;
  record.name = record.device = "small";
  record.provenance = calibration::Provenance{"a", "b", "c", "d", "e", "f"};
  Curve& curve = record.operations["h2d.flash"];
  curve.source = {Kind::kMeasured, "sparseserve calibrate"};
  curve.launch = Seconds(8.25e-6);
  curve.bandwidth = BytesPerSecond(21.5e9);
  curve.valid_items = {1, 4096};
  curve.valid_item_bytes = {4096, 32768};
  curve.holdout_error = {0.021, 0.05, 7};
  Measurement& point = record.measurements.emplace_back();
  point = {"h2d.flash",
           calibration::Work::Fragments(16, Bytes(4096)),
           Seconds(11.5e-6),
           Seconds(11.25e-6),
           Seconds(11.75e-6),
           32,
           false,
           true};
  return record;
}

TEST(CalibrationWriterTest, TheTextIsWhatAPersonWouldWrite) {
  EXPECT_THAT(WriteCalibration(SmallRecord()), ::testing::EndsWith(R"(
operations:
  h2d.flash:
    kind: measured
    source: sparseserve calibrate
    launch: 8.25us
    bandwidth: 21.5GB/s
    valid: {items: [1, 4096], item_bytes: [4KiB, 32KiB]}
    holdout_error: {median: 0.021, p95: 0.05, points: 7}

measurements:
  h2d.flash:
    - {items: 16, item_bytes: 4KiB, median: 11.5us, q1: 11.25us, q3: 11.75us, samples: 32, held_out: true}
)"));
}

TEST(CalibrationWriterTest, ARecordThatIsTornOrEditedAnywhereIsRefused) {
  const std::string text = WriteCalibration(SmallRecord());
  const std::size_t body = text.find("name: small");
  const auto error_of = [](const std::string& changed) -> std::string {
    try {
      ReadCalibration(changed, "r.yaml");
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  };
  for (std::size_t length = 0; length < text.size(); ++length)
    EXPECT_THAT(error_of(text.substr(0, length)), HasSubstr("r.yaml")) << length;
  for (std::size_t at = body; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = changed[at] == '7' ? '8' : '7';
    EXPECT_THAT(error_of(changed),
                HasSubstr("r.yaml:3: digest: the rest of the file is not what was written"));
  }
  std::string unsealed = text;
  unsealed.erase(text.find("digest"), text.find("name: ") - text.find("digest"));
  EXPECT_EQ(error_of(unsealed), "no error");  // as the message says
  const std::string late = unsealed + "digest: 0123456789abcdef\n";
  EXPECT_THAT(error_of(late), HasSubstr("digest: a digest that is not on the line behind"));
}

// --- machine files -------------------------------------------------------------------------------

Record RecordWithCeilings(bool is_host) {
  Record record = SmallRecord();
  const auto set = [&](const char* name, double value) { record.ceilings[name].value = value; };
  set("h2d", 20e9);
  set("d2h", 19e9);
  set("duplex", 30e9);
  set("dram_copy", 12e9);
  set("memory", 24e9);
  set("workers", 2);
  if (!is_host) {
    set("host_memory", 1e12);
    set("host_cores", 64);
  }
  return record;
}

constexpr calibration::Peaks kPeaks{BytesPerSecond(40e9), FlopsPerSecond(1e12)};

TEST(MachineWriterTest, ACpuIsItsOwnHost) {
  const hardware::Machine machine = DeriveMachine(RecordWithCeilings(true), kPeaks, "./r.yaml");
  EXPECT_EQ(machine.name, "small");
  EXPECT_EQ(machine.calibration, "./r.yaml");
  EXPECT_EQ(machine.gpu.hbm_capacity, Bytes(12'000'000'000));
  EXPECT_EQ(machine.host.dram_capacity, Bytes(12'000'000'000));
  EXPECT_EQ(machine.gpu.hbm_bandwidth, kPeaks.memory);
  EXPECT_EQ(machine.gpu.bf16_flops, kPeaks.compute);
  EXPECT_EQ(machine.host.dram_bandwidth, BytesPerSecond(24e9));  // read and written
  EXPECT_EQ(machine.link.nominal_bandwidth, BytesPerSecond(20e9));
  EXPECT_EQ(machine.link.duplex_bandwidth, BytesPerSecond(30e9));
  EXPECT_EQ(machine.gpu.num_sms, 2);
  EXPECT_EQ(machine.host.num_cores, 2);
}

TEST(MachineWriterTest, AGpuHasAHost) {
  const hardware::Machine machine = DeriveMachine(RecordWithCeilings(false), kPeaks, "r");
  EXPECT_EQ(machine.gpu.hbm_capacity, Bytes(24'000'000'000));
  EXPECT_EQ(machine.host.dram_capacity, Bytes(1'000'000'000'000));
  EXPECT_EQ(machine.host.num_cores, 64);
}

TEST(MachineWriterTest, ATransferThatBeatTheCeilingIsNotCut) {
  Record record = RecordWithCeilings(true);
  record.measurements[0].median = Seconds(2e-6);  // 64 KiB: 32.8 GB/s
  const hardware::Machine machine = DeriveMachine(record, kPeaks, "r");
  EXPECT_EQ(machine.link.h2d_bandwidth, BytesPerSecond(32.768e9));
  EXPECT_EQ(machine.link.nominal_bandwidth, BytesPerSecond(32.768e9));
  EXPECT_EQ(machine.link.d2h_bandwidth, BytesPerSecond(19e9));
}

TEST(MachineWriterTest, AMissingCeilingIsNamed) {
  Record record = RecordWithCeilings(true);
  record.ceilings.erase("workers");
  try {
    DeriveMachine(record, kPeaks, "r");
    FAIL() << "made a machine without cores";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("ceilings.workers: not measured"));
  }
}

TEST(MachineWriterTest, TheLoaderReadsTheMachineBack) {
  const test::TemporaryDirectory directory;
  std::vector<hardware::Machine> machines;
  machines.push_back(DeriveMachine(RecordWithCeilings(true), kPeaks, "./r.yaml"));
  for (const char* name : {"a100-80g", "gh200", "h200-sxm"})
    machines.push_back(LoadMachine("models/hardware/configs/" + std::string(name) + ".yaml"));
  for (const hardware::Machine& machine : machines) {
    const std::string text = WriteMachine(machine);
    std::ofstream(directory / "m.yaml") << text;
    const hardware::Machine back = LoadMachine(directory / "m.yaml");
    EXPECT_EQ(WriteMachine(back), text);
    EXPECT_EQ(back.source, machine.source);
    EXPECT_EQ(back.gpu.hbm_bandwidth, machine.gpu.hbm_bandwidth);
    EXPECT_EQ(back.gpu.fp8_flops, machine.gpu.fp8_flops);
    EXPECT_EQ(back.gpu.gpu_link_latency, machine.gpu.gpu_link_latency);
    EXPECT_EQ(back.link.duplex_bandwidth, machine.link.duplex_bandwidth);
    EXPECT_EQ(back.host.dram_reached_bandwidth, machine.host.dram_reached_bandwidth);
    EXPECT_EQ(back.host.num_sockets, machine.host.num_sockets);
    EXPECT_EQ(back.gpus_per_switch, machine.gpus_per_switch);
    EXPECT_EQ(back.num_gpus, machine.num_gpus);
  }
}

}  // namespace
}  // namespace sparseserve::config
