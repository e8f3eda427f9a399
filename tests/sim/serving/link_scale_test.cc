#include "sim/serving/link_scale.h"

#include <gtest/gtest.h>

#include "models/cost/cost_model.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

TEST(LinkScaleTest, OneChangesNothing) {
  const SystemConfig config = Shipped("sparseserve");
  EXPECT_EQ(ScaleLink(config.calibration, config.machine, 1), config.calibration);
  EXPECT_EQ(ScaleLink(config.machine, 1).link.h2d_bandwidth, config.machine.link.h2d_bandwidth);
}

// A load of 1000 blocks: launch stays, bytes take half as long.
TEST(LinkScaleTest, BytesScaleAndCallsDoNot) {
  const SystemConfig config = Shipped("sparseserve");
  const cost::CostModel before(config.model, config.machine, config.calibration, {});
  const cost::CostModel after(config.model, ScaleLink(config.machine, 2),
                              ScaleLink(config.calibration, config.machine, 2), {});
  const calibration::Curve& curve = config.calibration.operations.at("h2d.flash");
  const Seconds calls = curve.launch + curve.per_item * 1000;
  const auto load = [](const cost::CostModel& costs) {
    return costs.Load(cost::LoadMethod::kFlashH2d, Bytes(16384), 1000).time;
  };
  EXPECT_NEAR(((load(before) - calls) / (load(after) - calls)), 2, 1e-9);
  EXPECT_LT(after.Save(cost::SaveMethod::kFlashD2h, Bytes(1 << 24), 1).time,
            before.Save(cost::SaveMethod::kFlashD2h, Bytes(1 << 24), 1).time);
  EXPECT_EQ(after.Projection(Tokens(100)).time, before.Projection(Tokens(100)).time);
}

// 10 and 20 items of 0 and 1000 bytes; 1 us a call, bytes at 1 GB/s: 1 us and 2 us an item.
TEST(LinkScaleTest, AGridLosesTheTimeOfItsBytes) {
  hardware::Machine machine;
  machine.link.h2d_bandwidth = BytesPerSecond(1e9);
  calibration::Record record;
  calibration::Grid& grid = record.operations["h2d.flash"].grid;
  grid.items = {10, 20};
  grid.item_bytes = {0, 1000};
  grid.times_s = {10e-6, 20e-6, 20e-6, 40e-6};
  const calibration::Record faster = ScaleLink(record, machine, 2);
  const std::vector<double> expected = {10e-6, 15e-6, 20e-6, 30e-6};
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(faster.operations.at("h2d.flash").grid.times_s[i], expected[i], 1e-18);
  const calibration::Record slower = ScaleLink(record, machine, 0.5);
  EXPECT_NEAR(slower.operations.at("h2d.flash").grid.times_s[3], 60e-6, 1e-18);
  // A grid that is faster than the machine says never falls, and never shrinks by more than the
  // scale.
  grid.times_s = {10e-6, 11e-6, 20e-6, 22e-6};
  const calibration::Record clipped = ScaleLink(record, machine, 2);
  EXPECT_GE(clipped.operations.at("h2d.flash").grid.times_s[1], 10e-6);
  EXPECT_GE(clipped.operations.at("h2d.flash").grid.times_s[3], 11e-6);
}

}  // namespace
}  // namespace sparseserve::serving
