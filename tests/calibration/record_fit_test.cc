#include "calibration/record_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace sparseserve::calibration {
namespace {

using ::testing::HasSubstr;

Measurement Point(std::string operation, std::int64_t items, std::int64_t item_bytes,
                  bool held_out = false) {
  Measurement point;
  point.operation = std::move(operation);
  point.work = Work::Fragments(items, Bytes(item_bytes));
  point.median = Seconds(10e-6 + static_cast<double>(items * item_bytes) / 20e9);
  point.lower_quartile = point.median * 0.99;
  point.upper_quartile = point.median * 1.01;
  point.num_samples = 10;
  point.held_out = held_out;
  return point;
}

MeasurementSet TestSet() {
  MeasurementSet set;
  set.backend = "cuda";
  set.provenance = {"a GPU", "580", "13.0", "1410 MHz", "2026-11-20", "abc"};
  for (const char* operation : {"topk", "h2d.flash"}) {
    for (const std::int64_t n : {1, 10, 100, 1000}) set.points.push_back(Point(operation, n, 8192));
    set.points.push_back(Point(operation, 50, 8192, true));
  }
  set.points.push_back(Point("merge", 1, 8192, true));
  set.values = {{"ceilings.hbm_read", {100e9, "reads"}},
                {"ceilings.gemm", {50e12, "a GEMM"}},
                {"efficiencies.elementwise.memory", {0.8, "norms"}},
                {"efficiencies.gemm.compute", {0.9, "GEMMs"}},
                {"latencies.kernel", {2.1e-6, "launches"}},
                {"slowdowns.h2d.flash", {0.97, "beside a GEMM"}},
                {"counts.cpu.scatter.threads", {4, "configured"}}};
  return set;
}

FitOptions TestOptions() {
  FitOptions options;
  options.name = "test";
  options.peaks = FindPeaks(TestSet());
  return options;
}

TEST(FitRecordTest, CurvesValuesAndPointsAreThere) {
  const Record record = FitRecord(TestSet(), TestOptions());
  EXPECT_EQ(record.name, "test");
  EXPECT_EQ(record.device, "a GPU");
  EXPECT_EQ(record.provenance->commit, "abc");
  ASSERT_EQ(record.operations.size(), 2u);
  const Curve& curve = record.operations.at("h2d.flash");
  EXPECT_EQ(curve.source.kind, Kind::kMeasured);
  EXPECT_THAT(curve.source.text,
              HasSubstr("sparseserve calibrate --backend cuda, fit of 4 points"));
  EXPECT_EQ(curve.holdout_error->points, 1);
  EXPECT_EQ(record.latencies.at("kernel").value, 2.1e-6);
  EXPECT_EQ(record.counts.at("cpu.scatter.threads").value, 4);
  EXPECT_EQ(record.ceilings.at("hbm_read").value, 100e9);
  EXPECT_EQ(record.ceilings.at("hbm_read").source.text, "reads");
  // In the order of kOperationNames, not of the set.
  ASSERT_EQ(record.measurements.size(), 11u);
  EXPECT_EQ(record.measurements.front().operation, "h2d.flash");
  EXPECT_EQ(record.measurements.back().operation, "topk");
}

TEST(FitRecordTest, PointsThatAreAllHeldOutMakeNoCurve) {
  EXPECT_FALSE(FitRecord(TestSet(), TestOptions()).operations.contains("merge"));
}

TEST(FitRecordTest, AMachineIsNamedUnlessItIsTheRecords) {
  FitOptions options = TestOptions();
  EXPECT_EQ(FitRecord(TestSet(), options).machine_name(), "test");
  options.machine = "h200-sxm";
  EXPECT_EQ(FitRecord(TestSet(), options).machine_name(), "h200-sxm");
}

TEST(FitRecordTest, EfficienciesAreRelativeToThePeaks) {
  FitOptions options = TestOptions();
  options.peaks = {BytesPerSecond(200e9), FlopsPerSecond(60e12)};
  const Record record = FitRecord(TestSet(), options);
  EXPECT_DOUBLE_EQ(record.efficiencies.at("elementwise.memory").value, 0.8 * 100 / 200);
  EXPECT_DOUBLE_EQ(record.efficiencies.at("gemm.compute").value, 0.9 * 50 / 60);
}

TEST(FitRecordTest, WhatNoiseCarriedBeyondTheLimitIsMovedAndNoted) {
  MeasurementSet set = TestSet();
  set.values["efficiencies.gemm.compute"].value = 1.1;
  const Record record = FitRecord(set, TestOptions());
  EXPECT_EQ(record.slowdowns.at("h2d.flash").value, 1);
  EXPECT_EQ(record.slowdowns.at("h2d.flash").source.text,
            "beside a GEMM; below the limit, moved to it");
  EXPECT_EQ(record.efficiencies.at("gemm.compute").value, 1);
  EXPECT_THAT(record.efficiencies.at("gemm.compute").source.text, HasSubstr("above the limit"));
}

TEST(FitRecordTest, TheBaseGivesWhatWasNotMeasured) {
  Record base;
  base.name = "old";
  base.provenance = Provenance{"", "", "", "", "2026-01-02", ""};
  base.operations["topk"].source = {Kind::kPublished, "not taken"};
  base.operations["allreduce"].source = {Kind::kPublished, "a paper"};
  base.operations["score"].source = {Kind::kMeasured, "a run"};
  base.slowdowns["d2h.flash"] = {1.2, {Kind::kAssumed, "a guess"}};
  FitOptions options = TestOptions();
  options.base = &base;
  const Record record = FitRecord(TestSet(), options);
  EXPECT_EQ(record.operations.at("topk").source.kind, Kind::kMeasured);
  EXPECT_EQ(record.operations.at("allreduce").source, base.operations["allreduce"].source);
  EXPECT_EQ(record.operations.at("score").source,
            (Source{Kind::kAssumed, "carried over from old, 2026-01-02: a run"}));
  EXPECT_EQ(record.slowdowns.at("d2h.flash").value, 1.2);
}

TEST(FindPeaksTest, APointThatIsFasterThanTheCeilingIsThePeak) {
  MeasurementSet set = TestSet();
  EXPECT_EQ(FindPeaks(set).memory, BytesPerSecond(100e9));
  EXPECT_EQ(FindPeaks(set).compute, FlopsPerSecond(50e12));
  Measurement cached = Point("score", 1000, 1000);
  cached.median = Seconds(2e-6);  // 500 GB/s
  set.points.push_back(cached);
  EXPECT_EQ(FindPeaks(set).memory, BytesPerSecond(500e9));
  cached.operation = "cpu.scatter";  // not in the memory of the device
  cached.median = Seconds(1e-6);
  set.points.push_back(cached);
  EXPECT_EQ(FindPeaks(set).memory, BytesPerSecond(500e9));
}

TEST(ExplainFaultTest, EachFaultOfASetIsNamed) {
  EXPECT_EQ(ExplainFault(TestSet()), "");
  const auto fault = [](auto&& change) {
    MeasurementSet set = TestSet();
    change(set);
    return ExplainFault(set);
  };
  EXPECT_EQ(fault([](MeasurementSet& set) { set.points.clear(); }), "no measurement");
  EXPECT_EQ(fault([](MeasurementSet& set) { set.points[3].operation = "h2d"; }),
            "no operation is called 'h2d'");
  EXPECT_EQ(fault([](MeasurementSet& set) { set.points[3].median = Seconds(0); }),
            "a point of topk has no work or no time");
  EXPECT_EQ(fault([](MeasurementSet& set) { set.points[3].median = Seconds(NAN); }),
            "a point of topk has no work or no time");
  EXPECT_EQ(fault([](MeasurementSet& set) { set.points[3].work.items = 0; }),
            "a point of topk has no work or no time");
  EXPECT_EQ(fault([](MeasurementSet& set) {
              set.values["ceilings.magic"] = {1, "x"};
            }),
            "no value is called 'ceilings.magic'");
  EXPECT_EQ(fault([](MeasurementSet& set) {
              set.values["kernel"] = {1, "x"};
            }),
            "no value is called 'kernel'");
  EXPECT_EQ(fault([](MeasurementSet& set) { set.values["ceilings.gemm"].value = 0; }),
            "ceilings.gemm is zero");
  EXPECT_EQ(fault([](MeasurementSet& set) { set.values.erase("ceilings.gemm"); }),
            "no ceilings.gemm");
  EXPECT_THAT(fault([](MeasurementSet& set) { set.values["latencies.kernel"].how = ""; }),
              HasSubstr("latencies.kernel is negative, not finite or without a word"));
}

}  // namespace
}  // namespace sparseserve::calibration
