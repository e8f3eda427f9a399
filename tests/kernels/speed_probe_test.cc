#include "kernels/speed_probe.h"

#include <gtest/gtest.h>

#include "kernels/cpu/cpu_backend.h"

namespace sparseserve::kernels {
namespace {

TEST(SpeedProbeTest, SamplesTakeTimeAndDescribeTheirWork) {
  cpu::CpuBackend backend({});
  SpeedProbe probe(backend);
  for (int i = 0; i < 6; ++i) {
    const Seconds time = probe.Sample();
    EXPECT_GT(time, Seconds(1e-5));  // 46 MFLOP, of any core
    EXPECT_LT(time, Seconds(5));
  }
  EXPECT_EQ(probe.Describe(), "GEMM of 16 x 512 by 512 x 2816 in fp32");
}

TEST(SpeedSamplesTest, HaveAMeanAndItsError) {
  SpeedSamples samples;
  EXPECT_EQ(samples.mean(), Seconds(0));
  EXPECT_EQ(samples.standard_error(), 0);
  for (const double value : {1.0, 3.0, 1.0, 3.0}) samples.Add(Seconds(value));
  EXPECT_DOUBLE_EQ(samples.mean().value(), 2);
  // Standard deviation sqrt(4 / 3), over sqrt(4) samples, over the mean.
  EXPECT_NEAR(samples.standard_error(), 0.288675, 1e-6);
}

}  // namespace
}  // namespace sparseserve::kernels
