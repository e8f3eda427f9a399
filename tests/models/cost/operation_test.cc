#include "models/cost/operation.h"

#include <gtest/gtest.h>

namespace sparseserve::cost {
namespace {

const Limits kPeak = Limits::Of(FlopsPerSecond(100e12), BytesPerSecond(1e12));

Work MakeWork(double flops, std::int64_t bytes) {
  return {1, Bytes(bytes), Bytes(bytes), Flops(flops)};
}

TEST(OperationTest, ARooflineIsLaunchPlusTheSlowerOfComputeAndMemory) {
  const Operation operation(Seconds(2e-6), kPeak.Reaching(0.5, 0.8), kPeak);
  EXPECT_DOUBLE_EQ(operation.Time(MakeWork(100e9, 0)).time.value(), 2e-6 + 2e-3);
  EXPECT_DOUBLE_EQ(operation.Time(MakeWork(0, 8'000'000)).time.value(), 2e-6 + 1e-5);
  EXPECT_DOUBLE_EQ(operation.Time(MakeWork(100e9, 8'000'000)).time.value(), 2e-6 + 2e-3);
}

TEST(OperationTest, ACurveReplacesTheRooflineAndTellsItsRange) {
  calibration::Curve curve;
  curve.per_item = Seconds(1e-3);
  curve.valid_item_bytes = {0, 1000};
  const Operation operation(curve, kPeak);
  EXPECT_EQ(operation.Time(MakeWork(0, 1000)).time, Seconds(1e-3));
  EXPECT_FALSE(operation.Time(MakeWork(0, 1000)).extrapolated);
  EXPECT_TRUE(operation.Time(MakeWork(0, 1001)).extrapolated);
}

TEST(OperationTest, NoCurveUndercutsTheDataSheet) {
  calibration::Curve curve;
  curve.launch = Seconds(1e-9);
  EXPECT_DOUBLE_EQ(Operation(curve, kPeak).Time(MakeWork(0, 1'000'000)).time.value(), 1e-6);
  EXPECT_DOUBLE_EQ(Operation(curve, kPeak).Time(MakeWork(1e9, 0)).time.value(), 1e-5);
}

TEST(OperationTest, NoWorkTakesNoTime) {
  const Operation operation(Seconds(2e-6), kPeak, kPeak);
  EXPECT_EQ(operation.Time(Work()).time, Seconds(0));
}

TEST(EstimateTest, ASumIsExtrapolatedIfAPartIs) {
  Estimate sum{Seconds(1), false};
  sum += {Seconds(2), true};
  sum += {Seconds(3), false};
  EXPECT_EQ(sum.time, Seconds(6));
  EXPECT_TRUE(sum.extrapolated);
}

}  // namespace
}  // namespace sparseserve::cost
