#include "models/selection/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/error.h"

namespace sparseserve::selection {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string KeyOfError(const SelectionPolicy& policy) {
  try {
    Validate(policy);
  } catch (const InputError& error) {
    return error.problem().key;
  }
  return "";
}

TEST(SelectionPolicyTest, EveryPresetIsValidAndCarriesItsName) {
  EXPECT_THAT(SelectionPresetNames(), ElementsAre("arkvale", "quest", "infllm"));
  for (const std::string& name : SelectionPresetNames()) {
    EXPECT_EQ(SelectionPreset(name).name, name);
    EXPECT_NO_THROW(Validate(SelectionPreset(name))) << name;
  }
}

TEST(SelectionPolicyTest, DefaultIsArkVale) {
  EXPECT_EQ(SelectionPolicy{}.name, "arkvale");
  EXPECT_EQ(BudgetBlocks(SelectionPolicy{}), 64);
}

TEST(SelectionPolicyTest, SelectsTheContextUpToTheBudget) {
  const SelectionPolicy policy;
  EXPECT_EQ(SelectedBlocks(policy, 1), 1);
  EXPECT_EQ(SelectedBlocks(policy, 64), 64);
  EXPECT_EQ(SelectedBlocks(policy, 65), 64);
}

// Sizes from the papers: ArkVale and Quest 512 B, InfLLM's mean 256 B at head dimension 128.
TEST(SelectionPolicyTest, MetadataOfTheLiterature) {
  EXPECT_EQ(MetadataBytesPerBlock(SelectionPreset("arkvale"), 128), Bytes(512));
  EXPECT_EQ(MetadataBytesPerBlock(SelectionPreset("quest"), 128), Bytes(512));
  EXPECT_EQ(MetadataBytesPerBlock(SelectionPreset("infllm"), 128), Bytes(256));
}

TEST(SelectionPolicyTest, InfLlmRetrievesSixteenBlocksBesideItsWindows) {
  const SelectionPolicy policy = SelectionPreset("infllm");
  EXPECT_EQ(BudgetBlocks(policy) - policy.sink_blocks - policy.recent_blocks, 16);
  EXPECT_EQ(policy.granularity, Granularity::kLayer);
}

TEST(SelectionPolicyTest, UnknownPresetNamesTheKnownOnesAndTheClosest) {
  try {
    SelectionPreset("arkvael");
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("arkvale, quest, infllm"));
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'arkvale'"));
  }
}

TEST(SelectionPolicyTest, EachWrongValueIsReportedUnderItsKey) {
  const auto key = [](auto change) {
    SelectionPolicy policy;
    change(policy);
    return KeyOfError(policy);
  };
  EXPECT_EQ(key([](auto& p) { p.block_tokens = Tokens(0); }), "selection.block_tokens");
  EXPECT_EQ(key([](auto& p) { p.budget_tokens = Tokens(31); }), "selection.budget_tokens");
  EXPECT_EQ(key([](auto& p) { p.budget_tokens = Tokens(2049); }), "selection.budget_tokens");
  EXPECT_EQ(key([](auto& p) { p.metadata_vectors = -1; }), "selection.metadata_vectors");
  EXPECT_EQ(key([](auto& p) { p.sink_blocks = -1; }), "selection.sink_blocks");
  EXPECT_EQ(key([](auto& p) { p.sink_blocks = 63; }), "selection.sink_blocks");
  EXPECT_EQ(key([](auto& p) { p.recent_blocks = 0; }), "selection.recent_blocks");
  EXPECT_EQ(key([](auto& p) { p.dense_layers = -1; }), "selection.dense_layers");
  EXPECT_EQ(key([](auto& p) { p.reuse_interval = 0; }), "selection.reuse_interval");
}

}  // namespace
}  // namespace sparseserve::selection
