// Which blocks each request's decode step attends to, as sets that are kept from step to step, so
// that the cache can be told what changes.
#pragma once

#include <cstdint>
#include <vector>

#include "models/selection/selection_model.h"
#include "models/selection/unit_set.h"

namespace sparseserve::live {

// The selected blocks of one (request, layer). The unit of a block and a KV head is
// block * heads + head.
class BlockChoice {
 public:
  explicit BlockChoice(std::int64_t heads = 0)
      : heads_(heads), counts_(static_cast<std::size_t>(heads)) {}

  std::int64_t count(std::int64_t head) const { return counts_[static_cast<std::size_t>(head)]; }
  // Calls visit(block, head) for each selected block, block by block.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    std::int64_t block = 0;
    units_.ForEach([&](selection::Unit unit) {
      while (unit >= (block + 1) * heads_) ++block;
      visit(block, unit - block * heads_);
    });
  }
  // Appends to `delta`, by rising unit, what would change if `wanted` were selected.
  void Compare(const selection::UnitSet& wanted, selection::SelectionDelta& delta) const;
  void Apply(const selection::SelectionDelta& delta);

 private:
  std::int64_t heads_;
  selection::UnitSet units_;
  std::vector<std::int64_t> counts_;  // by head
};

}  // namespace sparseserve::live
