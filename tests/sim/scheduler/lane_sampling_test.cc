#include "sim/scheduler/lane_sampling.h"

#include <gtest/gtest.h>

#include <map>

#include "sim/scheduler/kv_memory.h"

namespace sparseserve::scheduler {
namespace {

std::int64_t Tracked(std::int64_t layers, std::int64_t heads, double share) {
  return layers * heads / SampleLanes(layers, heads, share).scale();
}

TEST(LaneSamplingTest, TakesTheLargestEvenPartOfTheHeadsThatTheShareAllows) {
  EXPECT_EQ(Tracked(32, 32, 1), 1024);
  EXPECT_EQ(Tracked(32, 32, 0.25), 256);
  EXPECT_EQ(Tracked(32, 32, 0.0625), 64);
  EXPECT_EQ(Tracked(32, 32, 0.1), 64);  // 3.2 heads a layer: 3 do not divide 32
  EXPECT_EQ(Tracked(61, 12, 1.0 / 3), 61 * 4);
}

TEST(LaneSamplingTest, BelowAHeadALayerLeavesLayersOut) {
  const LaneSampling half = SampleLanes(32, 32, 1.0 / 64);
  EXPECT_EQ(half.head_stride, 32);
  EXPECT_EQ(half.layer_stride, 2);
  EXPECT_EQ(Tracked(32, 8, 1.0 / 64), 4);
  EXPECT_EQ(Tracked(61, 1, 0.5), 1);  // a prime number of layers: one or all
  EXPECT_EQ(Tracked(32, 32, 1.0 / 1024), 1);
}

TEST(LaneSamplingTest, LessThanALaneIsNone) {
  EXPECT_EQ(SampleLanes(32, 32, 1.0 / 1025).scale(), 0);
  EXPECT_EQ(SampleLanes(1, 1, 0.99).scale(), 0);
}

TEST(LaneSamplingTest, RequestsInTurnTrackEveryLayerOfAStratum) {
  for (const std::int64_t layers : {1, 2, 28, 32, 61, 80}) {
    for (const double share : {1.0, 0.3, 0.125, 0.03, 0.0125}) {
      const LaneSampling sampling = SampleLanes(layers, 1, share);
      if (sampling.scale() == 0) continue;
      std::map<std::int64_t, std::int64_t> tracked;  // by layer: requests
      std::int64_t leader = 0;
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        if (sampling.Leads(layer)) leader = layer;
        EXPECT_EQ(sampling.StratumOf(layer), leader / sampling.layer_stride);
        if (!sampling.Leads(layer)) continue;
        for (std::int64_t id = 0; id < 2 * sampling.layer_stride; ++id) {
          const std::int64_t its = leader + sampling.OffsetOf(id);
          EXPECT_EQ(sampling.StratumOf(its), sampling.StratumOf(layer));
          ++tracked[its];
        }
      }
      EXPECT_EQ(static_cast<std::int64_t>(tracked.size()), layers);
      for (const auto& [layer, requests] : tracked) EXPECT_EQ(requests, 2);
    }
  }
}

}  // namespace
}  // namespace sparseserve::scheduler
