#include "models/hardware/topology.h"

#include <gtest/gtest.h>

namespace sparseserve::hardware {
namespace {

// Eight GPUs, two to a switch, four to a socket; 50 GB/s a direction, 80 GB/s both; DRAM as given.
Machine EightGpus(double dram_gb_per_s) {
  Machine m;
  m.num_gpus = 8;
  m.gpus_per_switch = 2;
  m.link = {"PCIe", BytesPerSecond(63e9), BytesPerSecond(50e9), BytesPerSecond(50e9),
            BytesPerSecond(80e9)};
  m.host.num_sockets = 2;
  m.host.dram_bandwidth = BytesPerSecond(dram_gb_per_s * 1e9);
  return m;
}

constexpr double kFast = 1e6;  // GB/s: DRAM that never binds

double LoadGbPerS(const SharedBandwidth& shared) { return shared.h2d.value() / 1e9; }
double SaveGbPerS(const SharedBandwidth& shared) { return shared.d2h.value() / 1e9; }

TEST(TopologyTest, OneGpuInOneDirectionReachesItsLink) {
  const SharedBandwidth loads = ShareHostLinks(EightGpus(kFast), 1, 1, Transfers::kLoads);
  EXPECT_DOUBLE_EQ(LoadGbPerS(loads), 50);
  EXPECT_DOUBLE_EQ(SaveGbPerS(loads), 0);
  EXPECT_EQ(loads.bottleneck, "PCIe");
  const SharedBandwidth saves = ShareHostLinks(EightGpus(kFast), 1, 1, Transfers::kSaves);
  EXPECT_DOUBLE_EQ(LoadGbPerS(saves), 0);
  EXPECT_DOUBLE_EQ(SaveGbPerS(saves), 50);
  EXPECT_EQ(saves.bottleneck, "PCIe");
}

TEST(TopologyTest, BothDirectionsShareTheDuplexBandwidth) {
  const SharedBandwidth both = ShareHostLinks(EightGpus(kFast), 1, 1);
  EXPECT_DOUBLE_EQ(LoadGbPerS(both), 40);
  EXPECT_DOUBLE_EQ(SaveGbPerS(both), 40);
}

TEST(TopologyTest, ASlowDirectionLeavesTheRestOfTheDuplexToTheOther) {
  Machine m = EightGpus(kFast);
  m.link.d2h_bandwidth = BytesPerSecond(10e9);
  const SharedBandwidth both = ShareHostLinks(m, 1, 1);
  EXPECT_DOUBLE_EQ(SaveGbPerS(both), 10);
  EXPECT_DOUBLE_EQ(LoadGbPerS(both), 50);  // 80 - 10 = 70 is more than the direction carries
}

TEST(TopologyTest, AMissingDuplexFigureIsTheSumOfTheDirections) {
  Machine m = EightGpus(kFast);
  m.link.duplex_bandwidth = BytesPerSecond(0);
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(m, 1, 1)), 50);
}

TEST(TopologyTest, TwoGpusOfASwitchShareItsUplink) {
  const SharedBandwidth loads = ShareHostLinks(EightGpus(kFast), 2, 1, Transfers::kLoads);
  EXPECT_DOUBLE_EQ(LoadGbPerS(loads), 25);
  EXPECT_EQ(loads.bottleneck, "switch uplink");
  // All eight: four uplinks, nothing else in common.
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(EightGpus(kFast), 8, 1, Transfers::kLoads)), 25);
}

TEST(TopologyTest, WithoutSwitchesEachGpuHasItsOwnLink) {
  Machine m = EightGpus(kFast);
  m.gpus_per_switch = 1;
  const SharedBandwidth loads = ShareHostLinks(m, 8, 1, Transfers::kLoads);
  EXPECT_DOUBLE_EQ(LoadGbPerS(loads), 50);
  EXPECT_EQ(loads.bottleneck, "PCIe");
}

TEST(TopologyTest, DramIsSharedByTheGpusOfASocketOnly) {
  Machine m = EightGpus(160);  // 80 GB/s a socket
  m.gpus_per_switch = 1;
  const SharedBandwidth four = ShareHostLinks(m, 4, 1, Transfers::kLoads);
  EXPECT_DOUBLE_EQ(LoadGbPerS(four), 20);
  EXPECT_EQ(four.bottleneck, "host DRAM");
  // Four more on the other socket change nothing.
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(m, 8, 1, Transfers::kLoads)), 20);
}

TEST(TopologyTest, EachTouchOfDramCostsItsBandwidth) {
  Machine m = EightGpus(240);  // 120 GB/s a socket
  m.gpus_per_switch = 1;
  // Loads and saves of one GPU, three touches a byte: 2 x 3 x rate = 120.
  const SharedBandwidth staged = ShareHostLinks(m, 1, 3);
  EXPECT_DOUBLE_EQ(LoadGbPerS(staged), 20);
  EXPECT_DOUBLE_EQ(SaveGbPerS(staged), 20);
  EXPECT_EQ(staged.bottleneck, "host DRAM");
}

TEST(TopologyTest, ReachedDramBandwidthTakesThePlaceOfThePeak) {
  Machine m = EightGpus(160);
  m.gpus_per_switch = 1;
  m.host.dram_reached_bandwidth = BytesPerSecond(80e9);
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(m, 4, 1, Transfers::kLoads)), 10);
}

TEST(TopologyTest, TheGpuThatGetsLeastIsReported) {
  // GPU 0 and 1 share an uplink and get 25; GPU 2 alone on the next switch gets 50.
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(EightGpus(kFast), 3, 1, Transfers::kLoads)), 25);
  // With 90 GB/s a socket GPU 2 takes what the pair cannot: 25 + 25 + 40.
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(EightGpus(180), 3, 1, Transfers::kLoads)), 25);
  // With 60 GB/s all three are bound by DRAM.
  EXPECT_DOUBLE_EQ(LoadGbPerS(ShareHostLinks(EightGpus(120), 3, 1, Transfers::kLoads)), 20);
}

// Metamorphic: over a grid of machines, another active GPU never gives anyone more, another GB/s
// anywhere never gives the worst-off less, and no link carries more than it can.
TEST(TopologyTest, MoreGpusNeverHelpAndMoreBandwidthNeverHurts) {
  for (const double dram : {50.0, 150.0, 400.0, 2000.0}) {
    for (const std::int64_t fan_in : {1, 2, 4}) {
      for (const double touches : {1.0, 3.0}) {
        Machine m = EightGpus(dram);
        m.gpus_per_switch = fan_in;
        Machine faster = m;
        faster.link.duplex_bandwidth = BytesPerSecond(100e9);
        Machine more_dram = EightGpus(dram + 10);
        more_dram.gpus_per_switch = fan_in;
        double last = 1e300;
        for (std::int64_t gpus = 1; gpus <= 8; ++gpus) {
          const SharedBandwidth shared = ShareHostLinks(m, gpus, touches);
          const double rate = LoadGbPerS(shared);
          EXPECT_LE(rate, last * (1 + 1e-12));
          last = rate;
          const auto on_socket = static_cast<double>(std::min<std::int64_t>(gpus, 4));
          EXPECT_LE(touches * on_socket * (rate + SaveGbPerS(shared)), dram / 2 * (1 + 1e-12));
          EXPECT_LE(rate + SaveGbPerS(shared), 80 * (1 + 1e-12));
          EXPECT_GE(LoadGbPerS(ShareHostLinks(faster, gpus, touches)), rate * (1 - 1e-12));
          EXPECT_GE(LoadGbPerS(ShareHostLinks(more_dram, gpus, touches)), rate * (1 - 1e-12));
        }
      }
    }
  }
}

}  // namespace
}  // namespace sparseserve::hardware
