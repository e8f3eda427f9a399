#include "sim/live/block_choice.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::live {

void BlockChoice::Compare(std::int64_t head, const std::vector<std::int32_t>& blocks,
                          selection::SelectionDelta& delta) const {
  const std::vector<std::int32_t>& old = blocks_[static_cast<std::size_t>(head)];
  const auto heads = static_cast<std::int64_t>(blocks_.size());
  const auto unit = [&](std::int32_t block) {
    return static_cast<selection::Unit>(block * heads + head);
  };
  auto before = old.begin();
  auto after = blocks.begin();
  while (before != old.end() || after != blocks.end()) {
    if (after == blocks.end() || (before != old.end() && *before < *after)) {
      delta.removed.push_back(unit(*before++));
    } else if (before == old.end() || *after < *before) {
      delta.added.push_back(unit(*after++));
    } else {
      ++before;
      ++after;
    }
  }
}

void BlockChoice::Apply(const selection::SelectionDelta& delta) {
  const auto heads = static_cast<std::uint32_t>(blocks_.size());
  for (const selection::Unit unit : delta.removed) {
    std::vector<std::int32_t>& blocks = blocks_[unit % heads];
    const auto at =
        std::lower_bound(blocks.begin(), blocks.end(), static_cast<std::int32_t>(unit / heads));
    SPARSESERVE_CHECK(at != blocks.end() && *at == static_cast<std::int32_t>(unit / heads),
                      "a block leaves that was not selected");
    blocks.erase(at);
  }
  for (const selection::Unit unit : delta.added) {
    std::vector<std::int32_t>& blocks = blocks_[unit % heads];
    const auto block = static_cast<std::int32_t>(unit / heads);
    blocks.insert(std::lower_bound(blocks.begin(), blocks.end(), block), block);
  }
}

}  // namespace sparseserve::live
