// Which blocks each request's decode step attends to, as sets that are kept from step to step, so
// that the cache can be told what changes.
#pragma once

#include <cstdint>
#include <vector>

#include "models/selection/selection_model.h"

namespace sparseserve::live {

// The selected blocks of one (request, layer), by KV head, in rising order.
class BlockChoice {
 public:
  explicit BlockChoice(std::int64_t heads = 0) : blocks_(static_cast<std::size_t>(heads)) {}

  const std::vector<std::int32_t>& blocks(std::int64_t head) const {
    return blocks_[static_cast<std::size_t>(head)];
  }
  // Appends to `delta` what would change if the head's blocks became `blocks` (rising).
  void Compare(std::int64_t head, const std::vector<std::int32_t>& blocks,
               selection::SelectionDelta& delta) const;
  void Apply(const selection::SelectionDelta& delta);

 private:
  std::vector<std::vector<std::int32_t>> blocks_;
};

}  // namespace sparseserve::live
