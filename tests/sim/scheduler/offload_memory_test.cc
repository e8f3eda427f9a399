#include "sim/scheduler/offload_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace sparseserve::scheduler {
namespace {

using ::testing::HasSubstr;

// 2 layers x 2 heads, blocks of 16 tokens, units of 1024 B with 64 B of metadata each: metadata of
// four rows fills one slot. Four blocks are selected; activations take 2 x 32 B a token.
KvGeometry Geometry() {
  KvGeometry g;
  g.num_layers = 2;
  g.heads = 2;
  g.block_tokens = Tokens(16);
  g.unit_bytes = Bytes(1024);
  g.metadata_bytes = Bytes(64);
  g.budget_blocks = 4;
  g.hidden_bytes = Bytes(32);
  return g;
}

OffloadMemory Make(std::int64_t slots, PrefillMode prefill = PrefillMode::kChunked,
                   std::int64_t dram_rows = 1000, const KvGeometry& geometry = Geometry()) {
  return OffloadMemory(geometry, {.prefill = prefill,
                                  .hbm_for_kv = Bytes(1024 * slots),
                                  .dram_for_kv = Bytes(4096 * dram_rows)});
}

RequestState Request(std::int64_t prompt, std::int64_t generated = 0) {
  RequestState request;
  request.prompt = request.prefill_target = Tokens(prompt);
  request.generated = Tokens(generated);
  return request;
}

PrefillPiece Chunk(RequestIndex index, std::int64_t begin, std::int64_t end) {
  return {.request = index,
          .begin = Tokens(begin),
          .end = Tokens(end),
          .layer_begin = 0,
          .layer_end = 2};
}

std::int64_t Slots(const OffloadMemory& memory) { return memory.hbm_used().value() / 1024; }

// Prefills `prompt` tokens in one chunk; its saves are complete at once.
void Prefill(OffloadMemory& memory, RequestIndex index, std::int64_t prompt, SaveTicket ticket) {
  ASSERT_TRUE(memory.Admit(index, Request(prompt)));
  ASSERT_EQ(memory.GrowPrefill(Chunk(index, 0, prompt), Request(prompt)), Grow::kDone);
  memory.FinishPrefill(index, Request(prompt), ticket);
  memory.cache().CompleteSaves(ticket);
}

TEST(OffloadMemoryTest, ChunkedPrefillTakesAllLayersChunkByChunkAndLeavesThemCached) {
  OffloadMemory memory = Make(100);
  ASSERT_TRUE(memory.Admit(0, Request(64)));
  EXPECT_EQ(Slots(memory), 1);  // metadata of four rows
  EXPECT_EQ(memory.dram_used(), Bytes(4 * 4096));
  ASSERT_EQ(memory.GrowPrefill(Chunk(0, 0, 24), Request(64)), Grow::kDone);
  EXPECT_EQ(memory.HeldUnits(), 2 * 4);  // 24 tokens touch two blocks
  ASSERT_EQ(memory.GrowPrefill(Chunk(0, 24, 64), Request(64)), Grow::kDone);
  EXPECT_EQ(memory.HeldUnits(), 4 * 4);
  memory.FinishPrefill(0, Request(64), 2);
  EXPECT_EQ(memory.HeldUnits(), 0);
  EXPECT_EQ(memory.cache().resident_slots(), 4 * 4);
  EXPECT_EQ(Slots(memory), 1 + 16);
}

TEST(OffloadMemoryTest, SegmentedPrefillTakesOneLayerAndActivationsAndLeavesNothingCached) {
  OffloadMemory memory = Make(100, PrefillMode::kLayerSegmented);
  ASSERT_TRUE(memory.Admit(0, Request(64)));
  EXPECT_EQ(memory.HeldUnits(), 4 * 2 + 4);  // 64 tokens x 2 x 32 B are four slots
  EXPECT_EQ(Slots(memory), 1 + 12);
  memory.FinishPrefill(0, Request(64), 2);
  EXPECT_EQ(memory.HeldUnits(), 0);
  EXPECT_EQ(memory.cache().resident_slots(), 0);
  EXPECT_EQ(memory.cache().num_blocks(0), 4);
  EXPECT_EQ(Slots(memory), 1);
}

// Each prompt may come to hold 16 slots and holds 1 of metadata; the widest decode needs 2 x 4
// selected units and 4 new ones.
TEST(OffloadMemoryTest, AdmissionPromisesWholePromptsBesideMetadataAndOneDecode) {
  OffloadMemory small = Make(16 + 16 + 2 + 12 - 1);
  ASSERT_TRUE(small.Admit(0, Request(64)));
  EXPECT_FALSE(small.Admit(1, Request(64)));
  OffloadMemory enough = Make(16 + 16 + 2 + 12);
  ASSERT_TRUE(enough.Admit(0, Request(64)));
  EXPECT_TRUE(enough.Admit(1, Request(64)));
}

TEST(OffloadMemoryTest, APromiseEndsWithThePrefill) {
  OffloadMemory memory = Make(16 + 16 + 2 + 12 - 1);
  Prefill(memory, 0, 64, 1);
  EXPECT_TRUE(memory.Admit(1, Request(64)));
}

TEST(OffloadMemoryTest, AChunkEvictsCachedBlocksButNotThoseThatWaitForTheirSave) {
  OffloadMemory memory = Make(16 + 16 + 2 + 12 - 1);  // 45: 16 cached + 2 leave 27
  ASSERT_TRUE(memory.Admit(0, Request(64)));
  ASSERT_EQ(memory.GrowPrefill(Chunk(0, 0, 64), Request(64)), Grow::kDone);
  memory.FinishPrefill(0, Request(64), 1);
  ASSERT_TRUE(memory.Admit(1, Request(112)));  // 28 promised + 3 + 12
  EXPECT_EQ(memory.GrowPrefill(Chunk(1, 0, 112), Request(112)), Grow::kDefer);
  memory.cache().CompleteSaves(1);
  EXPECT_EQ(memory.GrowPrefill(Chunk(1, 0, 112), Request(112)), Grow::kDone);
  EXPECT_GT(memory.cache().stats().evictions, 0);
}

TEST(OffloadMemoryTest, OnlyTheLastTwoChunksAreStillUnsaved) {
  OffloadMemory memory = Make(200);
  ASSERT_TRUE(memory.Admit(0, Request(160)));  // 10 blocks in five chunks
  for (std::int64_t begin = 0; begin < 160; begin += 32)
    ASSERT_EQ(memory.GrowPrefill(Chunk(0, begin, begin + 32), Request(160)), Grow::kDone);
  memory.FinishPrefill(0, Request(160), 5);
  kvcache::Reservation all;  // of 40 cached, the 24 of blocks 0 .. 5 can go; 3 hold metadata
  EXPECT_FALSE(memory.cache().Reserve(200 - 3 - 16 + 1, all));
  EXPECT_TRUE(memory.cache().Reserve(200 - 3 - 16, all));
  memory.cache().Release(all, all.size());
}

TEST(OffloadMemoryTest, MetadataIsNotAvailableToWorkingSets) {
  OffloadMemory memory = Make(100);
  EXPECT_EQ(memory.AvailableUnits(), 100);
  Prefill(memory, 0, 160, 1);
  EXPECT_EQ(memory.AvailableUnits(), 100 - 3);  // 10 rows x 256 B
  memory.Release(0);
  EXPECT_EQ(memory.AvailableUnits(), 100);
}

TEST(OffloadMemoryTest, ADecodeAppendsABlockWithItsMetadataWhenTheLastIsFull) {
  OffloadMemory memory = Make(100);
  Prefill(memory, 0, 64, 1);
  memory.BeginPlan();
  EXPECT_EQ(memory.GrowDecode(0, Request(64, 1), 2), Grow::kDone);
  EXPECT_EQ(memory.cache().num_blocks(0), 5);
  EXPECT_EQ(memory.dram_used(), Bytes(5 * 4096));
  EXPECT_EQ(Slots(memory), 2 + 16 + 4);
  memory.BeginPlan();
  EXPECT_EQ(memory.GrowDecode(0, Request(64, 2), 3), Grow::kDone);
  EXPECT_EQ(memory.cache().num_blocks(0), 5);
}

// Three decodes need 12 slots each beside 6 of metadata.
TEST(OffloadMemoryTest, ABatchIsNoWiderThanOneLayersSelectionBesideWhatIsReserved) {
  for (const std::int64_t slots : {42, 41}) {
    OffloadMemory memory = Make(slots);
    for (const RequestIndex index : {0, 1, 2})
      Prefill(memory, index, 64, static_cast<SaveTicket>(index + 1));
    memory.BeginPlan();
    EXPECT_EQ(memory.GrowDecode(0, Request(64, 1), 4), Grow::kDone);
    EXPECT_EQ(memory.GrowDecode(1, Request(64, 1), 4), Grow::kDone);
    memory.cache().CompleteSaves(4);
    EXPECT_EQ(memory.GrowDecode(2, Request(64, 1), 4), slots == 42 ? Grow::kDone : Grow::kDefer);
    memory.BeginPlan();  // alone it runs
    EXPECT_EQ(memory.GrowDecode(2, Request(64, 1), 5), Grow::kDone);
  }
}

// Three planned decodes use 36 of 60 slots beside 6 of metadata. A prompt of 32 would fit beside
// one decode and is admitted, but its KV has to wait until they have run.
TEST(OffloadMemoryTest, APrefillDoesNotTakeTheRoomOfDecodesPlannedBeforeIt) {
  OffloadMemory memory = Make(60);
  for (const RequestIndex index : {0, 1, 2})
    Prefill(memory, index, 64, static_cast<SaveTicket>(index + 1));
  memory.BeginPlan();
  for (const RequestIndex index : {0, 1, 2})
    ASSERT_EQ(memory.GrowDecode(index, Request(64, 1), 4), Grow::kDone);
  memory.cache().CompleteSaves(4);
  ASSERT_TRUE(memory.Admit(3, Request(128)));
  EXPECT_EQ(memory.GrowPrefill(Chunk(3, 0, 128), Request(128)), Grow::kDefer);
  memory.BeginPlan();
  EXPECT_EQ(memory.GrowPrefill(Chunk(3, 0, 128), Request(128)), Grow::kDone);
}

TEST(OffloadMemoryTest, FullDramRefusesAPromptAndStopsADecode) {
  OffloadMemory memory = Make(200, PrefillMode::kChunked, 5);
  Prefill(memory, 0, 64, 1);
  EXPECT_FALSE(memory.Admit(1, Request(32)));
  EXPECT_EQ(memory.dram_used(), Bytes(4 * 4096));  // the refusal left nothing behind
  EXPECT_EQ(memory.AvailableUnits(), 200 - 1);
  ASSERT_TRUE(memory.Admit(1, Request(16)));
  memory.BeginPlan();
  EXPECT_EQ(memory.GrowDecode(0, Request(64, 1), 2), Grow::kFull);
  memory.Release(1);
  memory.BeginPlan();
  EXPECT_EQ(memory.GrowDecode(0, Request(64, 1), 3), Grow::kDone);
}

TEST(OffloadMemoryTest, TheWorkingSetOfANewDecodeIsOneStepsSelection) {
  OffloadMemory memory = Make(200);
  Prefill(memory, 0, 160, 1);
  EXPECT_EQ(memory.DecodeNeed(0, Request(160, 1)), 4 * 4);  // four of eleven blocks, all lanes
  memory.BeginPlan();
  ASSERT_EQ(memory.GrowDecode(0, Request(160, 1), 2), Grow::kDone);
  for (const std::int64_t layer : {0, 1}) {  // all 22 units, then the last eight only
    std::vector<kvcache::Unit> all(22);
    std::iota(all.begin(), all.end(), 0u);
    memory.cache().BeginLayer();
    memory.cache().Select(0, layer, all, {});
    memory.cache().BeginLayer();
    memory.cache().Select(0, layer, {}, std::span(all).first(14));
  }
  EXPECT_EQ(memory.DecodeNeed(0, Request(160, 2)), 2 * 22);
}

TEST(OffloadMemoryTest, APrefillNeedsWhatItDoesNotHoldYet) {
  OffloadMemory memory = Make(200);
  EXPECT_EQ(memory.PrefillNeed(Chunk(7, 0, 32), Request(64)), 2 * 4);  // never seen
  ASSERT_TRUE(memory.Admit(0, Request(64)));
  ASSERT_EQ(memory.GrowPrefill(Chunk(0, 0, 32), Request(64)), Grow::kDone);
  EXPECT_EQ(memory.PrefillNeed(Chunk(0, 32, 64), Request(64)), 2 * 4);
  OffloadMemory segmented = Make(200, PrefillMode::kLayerSegmented);
  EXPECT_EQ(segmented.PrefillNeed(Chunk(0, 0, 64), Request(64)), 12);
  ASSERT_TRUE(segmented.Admit(0, Request(64)));
  EXPECT_EQ(segmented.PrefillNeed(Chunk(0, 0, 64), Request(64)), 0);
}

TEST(OffloadMemoryTest, ReleaseGivesEverythingBackInEveryStage) {
  for (const PrefillMode mode : {PrefillMode::kChunked, PrefillMode::kLayerSegmented}) {
    for (const int stages : {1, 2, 3, 4}) {
      OffloadMemory memory = Make(100, mode);
      ASSERT_TRUE(memory.Admit(0, Request(64)));
      if (stages > 1) memory.GrowPrefill(Chunk(0, 0, 64), Request(64));
      if (stages > 2) memory.FinishPrefill(0, Request(64), 1);
      memory.BeginPlan();
      if (stages > 3) {
        EXPECT_EQ(memory.GrowDecode(0, Request(64, 1), 2), Grow::kDone);
      }
      memory.Release(0);
      EXPECT_EQ(memory.hbm_used(), Bytes(0));
      EXPECT_EQ(memory.dram_used(), Bytes(0));
      EXPECT_EQ(memory.HeldUnits(), 0);
      EXPECT_EQ(memory.AvailableUnits(), 100);
      memory.cache().Audit();
      EXPECT_TRUE(memory.Admit(0, Request(64)));  // nor does a promise remain
    }
  }
}

TEST(OffloadMemoryTest, WhyNeverNamesTheMemoryThatIsTooSmall) {
  EXPECT_EQ(Make(100).WhyNever(Tokens(64)), "");
  EXPECT_THAT(Make(17).WhyNever(Tokens(64)), HasSubstr("HBM"));
  EXPECT_EQ(Make(18).WhyNever(Tokens(64)), "");  // 16 + metadata of five rows
  EXPECT_THAT(Make(100, PrefillMode::kChunked, 4).WhyNever(Tokens(64)), HasSubstr("DRAM"));
  EXPECT_EQ(Make(100, PrefillMode::kChunked, 5).WhyNever(Tokens(64)), "");
}

TEST(OffloadMemoryTest, SegmentedPrefillServesPromptsThatChunkedPrefillCannot) {
  EXPECT_NE(Make(300).WhyNever(Tokens(16 * 80)), "");  // 320 slots of KV
  EXPECT_EQ(Make(300, PrefillMode::kLayerSegmented).WhyNever(Tokens(16 * 80)), "");
}

TEST(KvGeometryTest, DenseLayersSelectEverything) {
  KvGeometry g = Geometry();
  EXPECT_EQ(g.SelectedUnits(3), 3 * 4);
  EXPECT_EQ(g.SelectedUnits(10), 4 * 4);
  EXPECT_EQ(g.LayerBlocks(10), 4);
  g.dense_layers = 1;
  EXPECT_EQ(g.SelectedUnits(10), 2 * (10 + 4));
  EXPECT_EQ(g.LayerBlocks(10), 10);
  g.budget_blocks = 0;
  EXPECT_EQ(g.SelectedUnits(10), 10 * 4);
}

}  // namespace
}  // namespace sparseserve::scheduler
