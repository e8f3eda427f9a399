#include "calibration/record.h"

#include <algorithm>
#include <cmath>

namespace sparseserve::calibration {
namespace {

// Where x lies on a rising axis: between `below` and the next entry, `fraction` of the way. Beyond
// the ends it sits on them, and `stretch` says how many times the last entry x is.
struct Place {
  std::size_t below = 0;
  double fraction = 0;
  double stretch = 1;
};

Place Locate(const std::vector<double>& axis, double x) {
  if (x <= axis.front()) return {};
  if (x >= axis.back()) {
    return {axis.size() - 1, 0, axis.back() > 0 ? x / axis.back() : 1.0};
  }
  const auto above = std::upper_bound(axis.begin(), axis.end(), x);
  const auto i = static_cast<std::size_t>(above - axis.begin());
  return {i - 1, (x - axis[i - 1]) / (axis[i] - axis[i - 1]), 1};
}

bool StrictlyRising(const std::vector<double>& axis) {
  return std::adjacent_find(axis.begin(), axis.end(),
                            [](double a, double b) { return !(a < b); }) == axis.end();
}

std::string ExplainGridFault(const Grid& grid) {
  const std::size_t rows = grid.items.size();
  const std::size_t columns = grid.item_bytes.size();
  if (rows == 0 || columns == 0) return "a grid needs items and item_bytes";
  if (grid.times_s.size() != rows * columns) {
    return "the grid has " + std::to_string(grid.times_s.size()) + " times for " +
           std::to_string(rows) + " items x " + std::to_string(columns) + " item_bytes";
  }
  if (!StrictlyRising(grid.items) || grid.items.front() <= 0) {
    return "the items of a grid must be above zero and rise";
  }
  if (!StrictlyRising(grid.item_bytes) || grid.item_bytes.front() < 0) {
    return "the item_bytes of a grid must rise";
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      const double time = grid.times_s[i * columns + j];
      if (!(time > 0) || !std::isfinite(time)) return "the times of a grid must be above zero";
      const bool falls = (i > 0 && time < grid.times_s[(i - 1) * columns + j]) ||
                         (j > 0 && time < grid.times_s[i * columns + j - 1]);
      if (falls) {
        return "the time falls at row " + std::to_string(i + 1) + ", column " +
               std::to_string(j + 1) + ": more work may not take less time";
      }
    }
  }
  return "";
}

}  // namespace

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kMeasured:
      return "measured";
    case Kind::kPublished:
      return "published";
    case Kind::kAssumed:
      return "assumed";
  }
  return "";
}

Seconds Grid::At(double num_items, double bytes_per_item) const {
  const std::size_t columns = item_bytes.size();
  const Place row = Locate(items, num_items);
  const Place column = Locate(item_bytes, bytes_per_item);
  // On the last entry the fraction is zero, and its neighbour is the entry itself.
  const std::size_t row_step = row.below + 1 < items.size() ? columns : 0;
  const std::size_t column_step = column.below + 1 < columns ? 1 : 0;
  const double* corner = times_s.data() + row.below * columns + column.below;
  const double near = corner[0] + (corner[column_step] - corner[0]) * column.fraction;
  const double far =
      corner[row_step] + (corner[row_step + column_step] - corner[row_step]) * column.fraction;
  return Seconds((near + (far - near) * row.fraction) * row.stretch * column.stretch);
}

Estimate Curve::Evaluate(const Work& work) const {
  if (work.items <= 0) return {};
  const auto items = static_cast<double>(work.items);
  const auto item_bytes = static_cast<double>(work.item_bytes.value());
  const bool extrapolated = !valid_items.Contains(items) || !valid_item_bytes.Contains(item_bytes);
  if (!grid.empty()) return {grid.At(items, item_bytes), extrapolated};
  Seconds time = launch + per_item * items;
  if (bandwidth.value() > 0) time += work.bytes / bandwidth;
  if (flop_rate.value() > 0) time += work.flops / flop_rate;
  return {time, extrapolated};
}

std::string ExplainFault(const Curve& curve) {
  const double terms[] = {curve.launch.value(), curve.per_item.value(), curve.bandwidth.value(),
                          curve.flop_rate.value()};
  const bool has_terms =
      std::any_of(std::begin(terms), std::end(terms), [](double t) { return t != 0; });
  for (const double term : terms) {
    if (!(term >= 0) || !std::isfinite(term)) return "a term is negative or not finite";
  }
  const bool has_grid =
      !curve.grid.empty() || !curve.grid.items.empty() || !curve.grid.item_bytes.empty();
  if (has_grid && has_terms) return "a curve is a grid or linear terms, not both";
  if (!has_grid && !has_terms) {
    return "a curve needs a grid or one of launch, per_item, bandwidth and flop_rate";
  }
  if (std::string fault = has_grid ? ExplainGridFault(curve.grid) : ""; !fault.empty()) {
    return fault;
  }
  for (const Range& range : {curve.valid_items, curve.valid_item_bytes}) {
    if (!(range.min <= range.max)) return "a range of validity ends before it begins";
  }
  return "";
}

}  // namespace sparseserve::calibration
