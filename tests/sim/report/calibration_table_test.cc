#include "sim/report/calibration_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sparseserve::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

calibration::Record TestRecord() {
  calibration::Record record;
  calibration::Curve& linear = record.operations["h2d.flash"];
  linear.source.kind = calibration::Kind::kMeasured;
  linear.valid_items = {1, 4096};
  linear.valid_item_bytes = {4096, 32768};
  linear.holdout_error = {0.021, 0.125, 7};
  calibration::Curve& grid = record.operations["topk"];
  grid.source.kind = calibration::Kind::kMeasured;
  grid.grid = {{1, 2}, {4096}, {1e-6, 2e-6}};
  grid.valid_items = {1, 2};
  grid.valid_item_bytes = {4096, 4096};
  record.operations["allreduce"].source.kind = calibration::Kind::kPublished;
  for (const bool held_out : {false, false, true}) {
    calibration::Measurement& point = record.measurements.emplace_back();
    point.operation = "h2d.flash";
    point.held_out = held_out;
  }
  return record;
}

TEST(CalibrationTableTest, ARowSaysHowACurveWasMadeAndHowGoodItIs) {
  const std::string table = CalibrationTable(TestRecord());
  EXPECT_THAT(table, HasSubstr("h2d.flash                 linear          2         7     2.1      "
                               "12  1 to 4096 of 4.00 KiB to 32.0 KiB\n"));
  EXPECT_THAT(table,
              HasSubstr("topk                      grid 2x1        0         0       -       "
                        "-  1 to 2 of 4.00 KiB\n"));
  EXPECT_THAT(table, HasSubstr("allreduce                 published "));
  EXPECT_THAT(table, HasSubstr("not measured: h2d.memcpy, h2d.batch, h2d.bulk, "));
  EXPECT_THAT(table, Not(HasSubstr("warning")));
}

TEST(CalibrationTableTest, ALargeMedianErrorIsAWarning) {
  calibration::Record record = TestRecord();
  record.operations["h2d.flash"].holdout_error->median = 0.1;
  EXPECT_THAT(CalibrationTable(record), Not(HasSubstr("warning")));
  record.operations["h2d.flash"].holdout_error->median = 0.11;
  EXPECT_THAT(CalibrationTable(record), HasSubstr("warning: h2d.flash is 11 % off"));
}

}  // namespace
}  // namespace sparseserve::report
