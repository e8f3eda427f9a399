#include "sim/live/block_choice.h"

#include "sim/core/check.h"

namespace sparseserve::live {

void BlockChoice::Compare(const selection::UnitSet& wanted,
                          selection::SelectionDelta& delta) const {
  wanted.ForEachBeyond(units_, [&](selection::Unit unit) { delta.added.push_back(unit); });
  units_.ForEachBeyond(wanted, [&](selection::Unit unit) { delta.removed.push_back(unit); });
}

void BlockChoice::Apply(const selection::SelectionDelta& delta) {
  const auto heads = static_cast<selection::Unit>(heads_);
  for (const selection::Unit unit : delta.removed) {
    const bool selected = units_.Erase(unit);
    SPARSESERVE_CHECK(selected, "a block leaves that was not selected");
    --counts_[unit % heads];
  }
  for (const selection::Unit unit : delta.added) {
    const bool comes = units_.Insert(unit);
    SPARSESERVE_CHECK(comes, "a block comes that was selected");
    ++counts_[unit % heads];
  }
}

}  // namespace sparseserve::live
