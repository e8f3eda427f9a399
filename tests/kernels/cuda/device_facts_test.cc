// What a user is told of a machine on which the CUDA backend cannot run. The facts are made up: no
// GPU is needed. How they are asked of the runtime stands in kernels/cuda/device_info.cc.
#include "kernels/cuda/device_facts.h"

#include <gtest/gtest.h>

namespace sparseserve::kernels::cuda {
namespace {

TEST(DeviceFactsTest, EachFaultIsOneClearLine) {
  DeviceFacts facts{
      .driver = 13000, .runtime = 13000, .num_devices = 2, .device = 1, .capability = 90};
  EXPECT_EQ(WhyUnusable(facts), "");
  facts.capability = 75;
  EXPECT_EQ(WhyUnusable(facts), "backend cuda: device 1 has compute capability 7.5, 8.0 is needed");
  facts.device = 2;
  EXPECT_EQ(WhyUnusable(facts), "backend cuda: no device 2, there are 2");
  facts.device = -1;
  EXPECT_EQ(WhyUnusable(facts), "backend cuda: no device -1, there are 2");
  facts.error = "cudaErrorUnknown: unknown error";
  EXPECT_EQ(WhyUnusable(facts), "backend cuda: cudaErrorUnknown: unknown error");
  facts.is_no_device = true;
  EXPECT_EQ(WhyUnusable(facts), "backend cuda: the driver finds no GPU");
  facts = {.driver = 12020, .runtime = 13000, .is_insufficient_driver = true};
  EXPECT_EQ(WhyUnusable(facts),
            "backend cuda: the driver supports CUDA 12.2, this binary needs CUDA 13.0");
  facts.driver = 0;
  EXPECT_EQ(WhyUnusable(facts), "backend cuda: no NVIDIA driver on this machine");
  EXPECT_EQ(WhyUnusable({.driver = 13000}), "backend cuda: the driver finds no GPU");
}

}  // namespace
}  // namespace sparseserve::kernels::cuda
