#include "models/selection/policy.h"

#include <algorithm>

#include "sim/core/error.h"

namespace sparseserve::selection {
namespace {

// ArkVale (Chen et al., NeurIPS 2024) as SparseServe uses it (arXiv 2509.24626): 32-token blocks,
// budget 2,048 tokens, cuboid-mean metadata (c + r and c - r), scored like Quest. ArkVale's code
// makes one choice for all KV heads by default; SparseServe manages blocks per head, hence kKvHead.
SelectionPolicy MakeArkVale() { return SelectionPolicy{}; }

// Quest (Tang et al., ICML 2024, arXiv 2406.10774): 16-token pages with the minimum and maximum of
// the keys, score sum_i max(q_i min_i, q_i max_i): two products, a maximum and a sum per pair of
// elements. The first two layers are dense and the last page is always read. Quest chooses per
// query head; under GQA the choice is reduced to the KV head, or loads would grow with the group.
SelectionPolicy MakeQuest() {
  SelectionPolicy policy;
  policy.name = "quest";
  policy.block_tokens = Tokens(16);
  policy.sink_blocks = 0;
  policy.recent_blocks = 1;
  policy.dense_layers = 2;
  return policy;
}

// InfLLM (Xiao et al., NeurIPS 2024, arXiv 2402.04617): 16 retrieved blocks of 128 tokens beside
// 128 initial and 4,096 local tokens, one choice per layer. The budget counts all three parts.
// Simplified: the metadata is the plain mean of the keys (one vector, not four representative
// tokens); the local window is counted in whole blocks, so it is up to 127 tokens shorter;
// prefill is dense here; its own 32-block GPU cache is left to the simulated cache.
SelectionPolicy MakeInfLlm() {
  SelectionPolicy policy;
  policy.name = "infllm";
  policy.block_tokens = Tokens(128);
  policy.budget_tokens = Tokens(128 + 16 * 128 + 4096);
  policy.granularity = Granularity::kLayer;
  policy.metadata_vectors = 1;
  policy.sink_blocks = 1;
  policy.recent_blocks = 4096 / 128;
  return policy;
}

struct Preset {
  std::string_view name;
  SelectionPolicy (*make)();
};
constexpr Preset kPresets[] = {
    {"arkvale", MakeArkVale}, {"quest", MakeQuest}, {"infllm", MakeInfLlm}};

std::string JoinedNames() {
  std::string names;
  for (const Preset& preset : kPresets) {
    if (!names.empty()) names += ", ";
    names += preset.name;
  }
  return names;
}

void Require(bool condition, const std::string& key, std::int64_t found,
             const std::string& expected, const std::string& hint = "") {
  if (condition) return;
  throw InputError({{}, "selection." + key, "found " + std::to_string(found), expected, hint});
}

}  // namespace

std::int64_t BudgetBlocks(const SelectionPolicy& policy) {
  return policy.budget_tokens.value() / policy.block_tokens.value();
}

std::int64_t SelectedBlocks(const SelectionPolicy& policy, std::int64_t context_blocks) {
  return std::min(context_blocks, BudgetBlocks(policy));
}

Bytes MetadataBytesPerBlock(const SelectionPolicy& policy, std::int64_t head_dim,
                            std::int64_t element_bytes) {
  return Bytes(policy.metadata_vectors * head_dim * element_bytes);
}

void Validate(const SelectionPolicy& policy) {
  const std::int64_t block = policy.block_tokens.value();
  Require(block >= 1, "block_tokens", block, "1 token or more");
  Require(policy.budget_tokens.value() >= block, "budget_tokens", policy.budget_tokens.value(),
          "at least one block of " + std::to_string(block) + " tokens");
  Require(policy.budget_tokens.value() % block == 0, "budget_tokens", policy.budget_tokens.value(),
          "a multiple of block_tokens, " + std::to_string(block));
  Require(policy.metadata_vectors >= 0, "metadata_vectors", policy.metadata_vectors, "0 or more");
  const std::int64_t budget = BudgetBlocks(policy);
  Require(policy.sink_blocks >= 0 && policy.sink_blocks <= budget, "sink_blocks",
          policy.sink_blocks, "0 to the budget of " + std::to_string(budget) + " blocks");
  Require(policy.recent_blocks >= 1 && policy.recent_blocks <= budget, "recent_blocks",
          policy.recent_blocks, "1 to the budget of " + std::to_string(budget) + " blocks",
          "the last, partly filled block has no metadata and is always selected");
  Require(policy.sink_blocks + policy.recent_blocks <= budget, "sink_blocks", policy.sink_blocks,
          "sink and recent blocks within the budget of " + std::to_string(budget) + " blocks",
          "raise budget_tokens or lower recent_blocks");
  Require(policy.dense_layers >= 0, "dense_layers", policy.dense_layers, "0 or more");
  Require(policy.reuse_interval >= 1, "reuse_interval", policy.reuse_interval, "1 step or more");
}

SelectionPolicy SelectionPreset(std::string_view name) {
  for (const Preset& preset : kPresets)
    if (preset.name == name) return preset.make();
  const std::string close = ClosestMatch(std::string(name), SelectionPresetNames());
  throw InputError({{},
                    "selection.policy",
                    "unknown policy '" + std::string(name) + "'",
                    "one of " + JoinedNames(),
                    close.empty() ? "" : "did you mean '" + close + "'?"});
}

std::vector<std::string> SelectionPresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace sparseserve::selection
