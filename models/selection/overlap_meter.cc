#include "models/selection/overlap_meter.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "sim/core/check.h"

namespace sparseserve::selection {
namespace {

// The windows that a fit asks for; between them 1 - o falls geometrically (OverlapCurve).
constexpr std::int64_t kFittedWindows[] = {1, 2, 3, 4, 6, 8, 12, 16};

// 64 cells for each power of two, one for each number below 128.
std::size_t CellOf(std::int64_t context_blocks) {
  const auto blocks = static_cast<std::uint64_t>(context_blocks);
  const int octaves = std::max(static_cast<int>(std::bit_width(blocks)) - 7, 0);
  return static_cast<std::size_t>(octaves) * 64 + static_cast<std::size_t>(blocks >> octaves);
}

}  // namespace

void OverlapMeter::Cell::Add(const Cell& other) {
  context_sum += other.context_sum;
  for (std::size_t window = 1; window < steps.size(); ++window) {
    overlap_sums[window] += other.overlap_sums[window];
    steps[window] += other.steps[window];
  }
}

OverlapMeter::OverlapMeter(std::int64_t heads) : heads_(heads) {
  SPARSESERVE_CHECK(heads >= 1, "a block has units");
}

void OverlapMeter::BeginGroup(std::size_t group) {
  if (group >= groups_.size()) groups_.resize(group + 1);
  groups_[group] = Group{};
}

void OverlapMeter::Observe(std::size_t group_index, std::int64_t context_blocks,
                           const SelectionDelta& delta) {
  SPARSESERVE_CHECK(group_index < groups_.size(), "the group has not begun");
  SPARSESERVE_CHECK(context_blocks >= 1, "a context has blocks");
  Group& group = groups_[group_index];
  const std::uint32_t step = ++group.steps;
  for (const Unit unit : delta.removed) {
    SPARSESERVE_CHECK(unit < group.last_selected.size(), "a unit leaves that never joined");
    group.last_selected[unit] = step - 1;
  }
  const auto stayed = group.selected - static_cast<std::int64_t>(delta.removed.size());
  std::array<std::int64_t, kMaxWindow + 1> gaps{};
  gaps[1] = stayed;
  std::int64_t num_new = 0;
  for (const Unit unit : delta.added) {
    num_new += unit / heads_ >= group.context;
    if (unit >= group.last_selected.size())
      group.last_selected.resize(std::max<std::size_t>(unit + 1, group.last_selected.size() * 2));
    const std::uint32_t last = group.last_selected[unit];
    if (last > 0 && step - last <= kMaxWindow) ++gaps[step - last];
  }
  group.context = context_blocks;
  group.selected = stayed + static_cast<std::int64_t>(delta.added.size());
  const std::int64_t comparable = group.selected - num_new;
  if (step < 2 || comparable == 0) return;

  const std::size_t index = CellOf(context_blocks);
  if (index >= cells_.size()) cells_.resize(index + 1);
  Cell& cell = cells_[index];
  cell.context_sum += static_cast<double>(context_blocks);
  std::int64_t seen = 0;
  for (std::size_t window = 1; window < std::min<std::size_t>(step, gaps.size()); ++window) {
    seen += gaps[window];
    cell.overlap_sums[window] += static_cast<double>(seen) / static_cast<double>(comparable);
    ++cell.steps[window];
  }
}

double OverlapMeter::Overlap(std::int64_t window) const {
  SPARSESERVE_CHECK(window >= 1 && window <= kMaxWindow, "no such window");
  double sum = 0;
  for (const Cell& cell : cells_) sum += cell.overlap_sums[static_cast<std::size_t>(window)];
  const std::int64_t steps = MeasuredSteps(window);
  return steps > 0 ? sum / static_cast<double>(steps) : 0;
}

double OverlapMeter::Asked(const OverlapCurves& curves, Tokens block_tokens,
                           std::int64_t window) const {
  if (!curves.depends_on_context()) return curves.At(1).At(window);
  double sum = 0;
  for (const Cell& cell : cells_) {
    if (cell.steps[1] == 0) continue;
    const double blocks = cell.context_sum / static_cast<double>(cell.steps[1]);
    sum += curves.At(blocks * static_cast<double>(block_tokens.value())).At(window) *
           static_cast<double>(cell.steps[static_cast<std::size_t>(window)]);
  }
  const std::int64_t steps = MeasuredSteps(window);
  return steps > 0 ? sum / static_cast<double>(steps) : 0;
}

std::int64_t OverlapMeter::MeasuredSteps(std::int64_t window) const {
  std::int64_t steps = 0;
  for (const Cell& cell : cells_) steps += cell.steps[static_cast<std::size_t>(window)];
  return steps;
}

std::vector<OverlapPoint> OverlapMeter::Fit(std::int64_t most, Tokens block_tokens) const {
  SPARSESERVE_CHECK(most >= 1, "a fit has contexts");
  std::vector<Cell> fitted(static_cast<std::size_t>(most));
  const std::int64_t all = MeasuredSteps(1);
  std::int64_t before = 0;
  for (const Cell& cell : cells_) {
    if (cell.steps[1] == 0) continue;
    // By where the middle of the cell lies.
    fitted[static_cast<std::size_t>((before + cell.steps[1] / 2) * most / all)].Add(cell);
    before += cell.steps[1];
  }
  std::vector<OverlapPoint> points;
  for (const Cell& cell : fitted) {
    if (cell.steps[1] == 0) continue;
    const double blocks = cell.context_sum / static_cast<double>(cell.steps[1]);
    const Tokens context(std::llround(blocks * static_cast<double>(block_tokens.value())));
    double overlap = 0;
    for (const std::int64_t window : kFittedWindows) {
      const auto w = static_cast<std::size_t>(window);
      if (cell.steps[w] == 0) break;
      // Longer windows are measured at fewer steps, so that noise could let the curve fall.
      overlap = std::max(overlap, cell.overlap_sums[w] / static_cast<double>(cell.steps[w]));
      points.push_back({window, std::min(overlap, 1.0), context});
    }
  }
  return points;
}

}  // namespace sparseserve::selection
