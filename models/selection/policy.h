// A selection policy as data: which blocks of the KV cache a query may attend to, and what choosing
// them costs. The presets and their sources stand in policy.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"

namespace sparseserve::selection {

enum class Granularity : std::uint8_t {
  kKvHead,
  kLayer
};  // one choice per KV head, or one for all heads of a layer

struct SelectionPolicy {
  std::string name = "arkvale";
  Tokens block_tokens{32};
  Tokens budget_tokens{2048};  // selected per query, sinks and recent blocks included
  Granularity granularity = Granularity::kKvHead;
  std::int64_t metadata_vectors = 2;  // per full block, of head_dim elements each
  std::int64_t sink_blocks = 2;       // the first blocks are always selected
  std::int64_t recent_blocks = 2;     // and so are the last, the partly filled one included
  std::int64_t dense_layers = 0;      // the first layers attend to everything
  std::int64_t reuse_interval = 1;    // steps for which one choice is kept
};

// The budget in whole blocks. REQUIRES: a valid policy, as everything below does.
std::int64_t BudgetBlocks(const SelectionPolicy& policy);
// Blocks that one query selects in a sparse layer: min(context, budget), both in blocks.
std::int64_t SelectedBlocks(const SelectionPolicy& policy, std::int64_t context_blocks);
// Of one KV head, with elements of `element_bytes`.
Bytes MetadataBytesPerBlock(const SelectionPolicy& policy, std::int64_t head_dim,
                            std::int64_t element_bytes = 2);

// Throws InputError naming the key ("selection.recent_blocks") of the first value that makes no
// sense.
void Validate(const SelectionPolicy& policy);

// "arkvale" (default), "quest", "infllm"; throws InputError naming the known ones.
SelectionPolicy SelectionPreset(std::string_view name);
std::vector<std::string> SelectionPresetNames();

}  // namespace sparseserve::selection
