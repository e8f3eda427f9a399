#include "models/selection/overlap_meter.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::selection {

void OverlapMeter::BeginGroup(std::size_t group) {
  if (group >= groups_.size()) groups_.resize(group + 1);
  groups_[group] = Group{};
}

void OverlapMeter::Observe(std::size_t group_index, const SelectionDelta& delta) {
  SPARSESERVE_CHECK(group_index < groups_.size(), "the group has not begun");
  Group& group = groups_[group_index];
  const std::uint32_t step = ++group.steps;
  for (const Unit unit : delta.removed) {
    SPARSESERVE_CHECK(unit < group.last_selected.size(), "a unit leaves that never joined");
    group.last_selected[unit] = step - 1;
  }
  const auto stayed = group.selected - static_cast<std::int64_t>(delta.removed.size());
  std::array<std::int64_t, kMaxWindow + 1> gaps{};
  gaps[1] = stayed;
  for (const Unit unit : delta.added) {
    if (unit >= group.last_selected.size())
      group.last_selected.resize(std::max<std::size_t>(unit + 1, group.last_selected.size() * 2));
    const std::uint32_t last = group.last_selected[unit];
    if (last > 0 && step - last <= kMaxWindow) ++gaps[step - last];
  }
  group.selected = stayed + static_cast<std::int64_t>(delta.added.size());
  if (step <= kMaxWindow || group.selected == 0) return;
  ++measured_steps_;
  for (std::size_t gap = 1; gap < gaps.size(); ++gap)
    share_sums_[gap] += static_cast<double>(gaps[gap]) / static_cast<double>(group.selected);
}

double OverlapMeter::Overlap(std::int64_t window) const {
  SPARSESERVE_CHECK(window >= 1 && window <= kMaxWindow, "no such window");
  if (measured_steps_ == 0) return 0;
  double sum = 0;
  for (std::int64_t gap = 1; gap <= window; ++gap) sum += share_sums_[gap];
  return sum / static_cast<double>(measured_steps_);
}

}  // namespace sparseserve::selection
