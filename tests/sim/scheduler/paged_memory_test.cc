#include "sim/scheduler/paged_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sparseserve::scheduler {
namespace {

using ::testing::HasSubstr;

// 2 layers x 2 heads, blocks of 16 tokens, units of 1000 B: a row of 4000 B holds 16 tokens.
KvGeometry Geometry() {
  KvGeometry g;
  g.num_layers = 2;
  g.heads = 2;
  g.block_tokens = Tokens(16);
  g.unit_bytes = Bytes(1000);
  return g;
}

RequestState Request(std::int64_t prompt) {
  RequestState request;
  request.prompt = request.prefill_target = Tokens(prompt);
  return request;
}

TEST(PagedMemoryTest, CapacityIsInWholeRows) {
  const PagedMemory memory(Geometry(), Bytes(4000 * 10 + 3999));
  EXPECT_EQ(memory.capacity_blocks(), 10 * 4);
}

TEST(PagedMemoryTest, MetadataLiesBesideEachBlock) {
  KvGeometry g = Geometry();
  g.metadata_bytes = Bytes(250);
  EXPECT_EQ(PagedMemory(g, Bytes(5000 * 10)).capacity_blocks(), 10 * 4);
  EXPECT_EQ(PagedMemory(g, Bytes(5000 * 10 - 1)).capacity_blocks(), 9 * 4);
}

TEST(PagedMemoryTest, APromptTakesItsBlocksAndGivesThemBack) {
  PagedMemory memory(Geometry(), Bytes(40000));
  ASSERT_TRUE(memory.Admit(0, Request(33)));
  EXPECT_EQ(memory.hbm_used(), Bytes(3 * 4000));
  ASSERT_TRUE(memory.Admit(1, Request(16)));
  EXPECT_EQ(memory.hbm_used(), Bytes(4 * 4000));
  memory.Release(0);
  EXPECT_EQ(memory.hbm_used(), Bytes(4000));
  memory.Release(1);
  EXPECT_EQ(memory.hbm_used(), Bytes(0));
  EXPECT_EQ(memory.hbm_peak_blocks(), 4 * 4);
}

TEST(PagedMemoryTest, AdmissionKeepsAWatermarkOfOnePerCentUnlessThePoolIsEmpty) {
  PagedMemory memory(Geometry(), Bytes(4000 * 200));  // watermark: 2 rows
  ASSERT_TRUE(memory.Admit(0, Request(16 * 100)));
  EXPECT_FALSE(memory.Admit(1, Request(16 * 99)));
  EXPECT_EQ(memory.hbm_used(), Bytes(4000 * 100));  // a refusal changes nothing
  EXPECT_TRUE(memory.Admit(1, Request(16 * 98)));
  memory.Release(0);
  memory.Release(1);
  EXPECT_TRUE(memory.Admit(2, Request(16 * 200)));
}

TEST(PagedMemoryTest, DecodesGrowIntoTheWatermarkBlockByBlock) {
  PagedMemory memory(Geometry(), Bytes(4000 * 100));
  RequestState request = Request(16 * 99);
  ASSERT_TRUE(memory.Admit(0, request));
  request.generated = Tokens(1);
  EXPECT_EQ(memory.GrowDecode(0, request, 1), Grow::kDone);
  EXPECT_EQ(memory.hbm_used(), Bytes(4000 * 100));
  request.generated = Tokens(16);  // the block is full, not exceeded
  EXPECT_EQ(memory.GrowDecode(0, request, 2), Grow::kDone);
  request.generated = Tokens(17);
  EXPECT_EQ(memory.GrowDecode(0, request, 3), Grow::kFull);
}

TEST(PagedMemoryTest, WhyNeverAsksForThePromptAndOneBlock) {
  const PagedMemory memory(Geometry(), Bytes(4000 * 10));
  EXPECT_EQ(memory.WhyNever(Tokens(9 * 16)), "");
  EXPECT_THAT(memory.WhyNever(Tokens(9 * 16 + 1)), HasSubstr("needs"));
}

TEST(PagedMemoryTest, WorkingSetsAreWholeContexts) {
  const PagedMemory memory(Geometry(), Bytes(4000 * 10));
  RequestState request = Request(33);
  EXPECT_EQ(memory.PrefillNeed({}, request), 3 * 4);
  request.generated = Tokens(16);
  EXPECT_EQ(memory.DecodeNeed(0, request), 4 * 4);
}

TEST(PagedMemoryDeathTest, AdmittingTwiceAborts) {
  PagedMemory memory(Geometry(), Bytes(40000));
  ASSERT_TRUE(memory.Admit(0, Request(16)));
  EXPECT_DEATH(memory.Admit(0, Request(16)), "admitted twice");
}

}  // namespace
}  // namespace sparseserve::scheduler
