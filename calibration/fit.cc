#include "calibration/fit.h"

#include <Eigen/Dense>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "sim/core/check.h"
#include "sim/core/quantiles.h"

namespace sparseserve::calibration {
namespace {

constexpr int kTermDigits = 5;
constexpr int kTimeDigits = 6;
// An error that two measurements of one machine differ by: no form can be better.
constexpr double kGoodEnough = 0.02;
// The grid must be this much better.
constexpr double kClearlyBetter = 0.8;
// An error that is no noise: the law is not linear. Then the grid is given credit for what it is
// without the gap: where a line is left out, the distance to interpolate across doubles, and at a
// kink the error grows with the distance (on a smooth law with its square).
constexpr double kWrongForm = 0.1;
constexpr double kErrorOfWholeGrid = 0.5;
// A term below this share of every point's time is none.
constexpr double kNegligible = 1e-6;

// Which terms the work of an operation can have (README.md); all have launch.
struct Terms {
  bool per_item = true;
  bool bandwidth = true;
  bool flop_rate = false;
};

Terms TermsOf(std::string_view operation) {
  if (operation == "gemm") return {.per_item = false, .flop_rate = true};
  if (operation.starts_with("attention.")) return {.flop_rate = true};
  if (operation.starts_with("host.")) return {.bandwidth = false};
  return {};
}

double Real(std::int64_t count) { return static_cast<double>(count); }
double ItemBytes(const Work& work) { return Real(work.item_bytes.value()); }

// Axis value -> number of cells that have it.
using Axis = std::map<double, std::size_t>;
using Cells = std::map<std::pair<double, double>, double>;  // (items, item bytes) -> time

Cells AverageCells(const Points& points) {
  std::map<std::pair<double, double>, std::pair<double, double>> sums;  // of times, and how many
  for (const Measurement& point : points) {
    auto& [sum, count] = sums[{Real(point.work.items), ItemBytes(point.work)}];
    sum += point.median.value();
    count += 1;
  }
  Cells cells;
  for (const auto& [place, sum] : sums) cells[place] = sum.first / sum.second;
  return cells;
}

void CountAxes(const Cells& cells, Axis& items, Axis& item_bytes) {
  items.clear();
  item_bytes.clear();
  for (const auto& [place, time] : cells) {
    ++items[place.first];
    ++item_bytes[place.second];
  }
}

// The entry with fewest cells; of equal ones the largest, where a call takes longest to measure.
Axis::const_iterator Emptiest(const Axis& axis) {
  auto emptiest = axis.begin();
  for (auto it = axis.begin(); it != axis.end(); ++it) {
    if (it->second <= emptiest->second) emptiest = it;
  }
  return emptiest;
}

// Leaves out rows and columns until every row has every column.
void CutToRectangle(Cells& cells, Axis& items, Axis& item_bytes) {
  CountAxes(cells, items, item_bytes);
  while (cells.size() != items.size() * item_bytes.size()) {
    const auto row = Emptiest(items);
    const auto column = Emptiest(item_bytes);
    const double row_fill = Real(row->second) / Real(item_bytes.size());
    const double column_fill = Real(column->second) / Real(items.size());
    const bool cut_row = row_fill < column_fill;
    std::erase_if(cells, [&](const auto& cell) {
      return cut_row ? cell.first.first == row->first : cell.first.second == column->first;
    });
    CountAxes(cells, items, item_bytes);
  }
}

// `grid` without one row, or without one column.
Grid WithoutRow(const Grid& grid, std::size_t row) {
  Grid rest = grid;
  const auto columns = static_cast<std::ptrdiff_t>(grid.item_bytes.size());
  const auto first = rest.times_s.begin() + static_cast<std::ptrdiff_t>(row) * columns;
  rest.times_s.erase(first, first + columns);
  rest.items.erase(rest.items.begin() + static_cast<std::ptrdiff_t>(row));
  return rest;
}

Grid WithoutColumn(const Grid& grid, std::size_t column) {
  Grid rest = grid;
  rest.item_bytes.erase(rest.item_bytes.begin() + static_cast<std::ptrdiff_t>(column));
  rest.times_s.clear();
  for (std::size_t i = 0; i < grid.times_s.size(); ++i) {
    if (i % grid.item_bytes.size() != column) rest.times_s.push_back(grid.times_s[i]);
  }
  return rest;
}

double RelativeError(Seconds predicted, Seconds measured) {
  return std::fabs(predicted.value() / measured.value() - 1);
}

// Adds to `result` the errors on the points at `left_out` (by row or by column), of a linear curve
// through the others and of `grid`, which was made without them.
void ValidateFold(const Points& points, const Grid& grid, double left_out, bool is_row,
                  CrossValidation& result) {
  Points rest, fold;
  for (const Measurement& point : points) {
    const double at = is_row ? Real(point.work.items) : ItemBytes(point.work);
    (at == left_out ? fold : rest).push_back(point);
  }
  const Curve linear = FitLinear(rest);
  for (const Measurement& point : fold) {
    const Seconds from_grid = grid.At(Real(point.work.items), ItemBytes(point.work));
    result.linear += RelativeError(linear.Evaluate(point.work).time, point.median);
    result.grid += RelativeError(from_grid, point.median);
    ++result.points;
  }
}

// Those of `points` that lie in the cells of `grid`.
Points InRectangle(const Points& points, const Grid& grid) {
  const auto has = [](const std::vector<double>& axis, double x) {
    return std::binary_search(axis.begin(), axis.end(), x);
  };
  Points inside;
  for (const Measurement& point : points) {
    if (has(grid.items, Real(point.work.items)) && has(grid.item_bytes, ItemBytes(point.work))) {
      inside.push_back(point);
    }
  }
  return inside;
}

// The grid on the points as measured, not made monotone.
Grid RawGrid(const Points& points) {
  Cells cells = AverageCells(points);
  const std::size_t measured = cells.size();
  Axis items, item_bytes;
  CutToRectangle(cells, items, item_bytes);
  Grid grid;
  if (cells.size() < 4 || 2 * cells.size() < measured) return grid;
  for (const auto& [value, count] : items) grid.items.push_back(value);
  for (const auto& [value, count] : item_bytes) grid.item_bytes.push_back(value);
  for (const auto& [place, time] : cells) grid.times_s.push_back(time);  // ordered row by row
  return grid;
}

bool IsGridBetter(std::string_view operation, const CrossValidation& validation) {
  // Waking a thread takes as long as it likes.
  const bool is_noise = operation.starts_with("host.");
  const double whole = validation.linear > kWrongForm && !is_noise ? kErrorOfWholeGrid : 1;
  return validation.linear > kGoodEnough &&
         whole * validation.grid < kClearlyBetter * validation.linear;
}

}  // namespace

double RoundUp(double value, int digits) {
  const double rounded = RoundTo(value, digits);
  return rounded >= value ? rounded : RoundTo(value * (1 + std::pow(10.0, 1 - digits)), digits);
}

double RoundTo(double value, int digits) {
  char text[64];
  const auto end =
      std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific, digits - 1);
  std::from_chars(text, end.ptr, value);
  return value;
}

std::vector<double> SolveNonNegative(const std::vector<std::vector<double>>& rows,
                                     const std::vector<double>& b) {
  SPARSESERVE_CHECK(!rows.empty() && rows.size() == b.size(), "one right-hand side for each row");
  const auto m = static_cast<Eigen::Index>(rows.size());
  const auto n = static_cast<Eigen::Index>(rows.front().size());
  Eigen::MatrixXd a(m, n);
  for (Eigen::Index i = 0; i < m; ++i) {
    for (Eigen::Index j = 0; j < n; ++j) a(i, j) = rows[i][j];
  }
  // Columns of length one: items and bytes differ by many powers of ten.
  Eigen::VectorXd length = a.colwise().norm();
  for (Eigen::Index j = 0; j < n; ++j) {
    if (length(j) == 0) length(j) = 1;
    a.col(j) /= length(j);
  }
  const Eigen::Map<const Eigen::VectorXd> target(b.data(), m);
  const double tolerance = 1e-12 * (1 + target.norm());

  Eigen::VectorXd x = Eigen::VectorXd::Zero(n);
  std::vector<Eigen::Index> passive;  // the columns that may be above zero
  // Each pass ends with a smaller residual, so that no set of columns comes twice: it terminates.
  // The bound is for rounding.
  for (Eigen::Index pass = 0; pass < 10 * n; ++pass) {
    const Eigen::VectorXd gradient = a.transpose() * (target - a * x);
    Eigen::Index best = -1;
    for (Eigen::Index j = 0; j < n; ++j) {
      const bool free = std::find(passive.begin(), passive.end(), j) == passive.end();
      if (free && gradient(j) > tolerance && (best < 0 || gradient(j) > gradient(best))) best = j;
    }
    if (best < 0) break;
    passive.push_back(best);
    while (!passive.empty()) {
      Eigen::MatrixXd columns(m, static_cast<Eigen::Index>(passive.size()));
      for (std::size_t k = 0; k < passive.size(); ++k)
        columns.col(static_cast<Eigen::Index>(k)) = a.col(passive[k]);
      const Eigen::VectorXd z = columns.colPivHouseholderQr().solve(target);
      // How far towards z everything stays above zero.
      double step = 1;
      for (std::size_t k = 0; k < passive.size(); ++k) {
        const double from = x(passive[k]);
        const double to = z(static_cast<Eigen::Index>(k));
        if (to <= 0) step = std::min(step, from / (from - to + 1e-300));
      }
      for (std::size_t k = 0; k < passive.size(); ++k)
        x(passive[k]) += step * (z(static_cast<Eigen::Index>(k)) - x(passive[k]));
      if (step >= 1) break;
      std::erase_if(passive, [&](Eigen::Index j) {
        const bool leaves = x(j) <= 1e-14 * (1 + x.maxCoeff());
        if (leaves) x(j) = 0;
        return leaves;
      });
    }
  }
  std::vector<double> result(static_cast<std::size_t>(n));
  for (Eigen::Index j = 0; j < n; ++j) result[j] = x(j) / length(j);
  return result;
}

Curve FitLinear(const Points& points) {
  SPARSESERVE_CHECK(!points.empty(), "a curve through no point");
  const Terms terms = TermsOf(points.front().operation);
  std::vector<std::vector<double>> rows;
  Curve curve;
  curve.valid_items = curve.valid_item_bytes = {std::numeric_limits<double>::infinity(), 0};
  for (const Measurement& point : points) {
    const Work& work = point.work;
    const double weight = 1 / point.median.value();  // relative errors
    rows.push_back({weight, terms.per_item ? weight * Real(work.items) : 0,
                    terms.bandwidth ? weight * Real(work.bytes.value()) : 0,
                    terms.flop_rate ? weight * work.flops.value() : 0});
    const auto widen = [](Range& range, double x) {
      range = {std::min(range.min, x), std::max(range.max, x)};
    };
    widen(curve.valid_items, Real(work.items));
    widen(curve.valid_item_bytes, ItemBytes(work));
  }
  std::vector<double> x = SolveNonNegative(rows, std::vector<double>(rows.size(), 1));
  for (std::size_t j = 0; j < x.size(); ++j) {
    double share = 0;
    for (const auto& row : rows) share = std::max(share, x[j] * row[j]);
    if (share < kNegligible) x[j] = 0;
  }
  curve.launch = Seconds(RoundTo(x[0], kTermDigits));
  curve.per_item = Seconds(RoundTo(x[1], kTermDigits));
  if (x[2] > 0) curve.bandwidth = BytesPerSecond(RoundTo(1 / x[2], kTermDigits));
  if (x[3] > 0) curve.flop_rate = FlopsPerSecond(RoundTo(1 / x[3], kTermDigits));
  return curve;
}

void MakeMonotone(std::size_t columns, std::vector<double>& times) {
  std::vector<double> above = times;  // the largest of all that have less work
  std::vector<double> below = times;  // the smallest of all that have more
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (i % columns > 0) above[i] = std::max(above[i], above[i - 1]);
    if (i >= columns) above[i] = std::max(above[i], above[i - columns]);
  }
  for (std::size_t i = times.size(); i-- > 0;) {
    if (i % columns + 1 < columns) below[i] = std::min(below[i], below[i + 1]);
    if (i + columns < times.size()) below[i] = std::min(below[i], below[i + columns]);
  }
  for (std::size_t i = 0; i < times.size(); ++i) times[i] = (above[i] + below[i]) / 2;
}

Grid FitGrid(const Points& points) {
  Grid grid = RawGrid(points);
  if (grid.empty()) return grid;
  MakeMonotone(grid.item_bytes.size(), grid.times_s);
  for (double& time : grid.times_s) time = RoundTo(time, kTimeDigits);
  return grid;
}

std::optional<CrossValidation> CrossValidate(const Points& points) {
  // As measured: made monotone, one call of a microsecond that took two would move all cells around
  // it, and the grid would be judged by that.
  const Grid grid = RawGrid(points);
  if (grid.empty()) return std::nullopt;
  const Points inside = InRectangle(points, grid);
  CrossValidation result;
  for (std::size_t i = 1; i + 1 < grid.items.size(); ++i) {
    ValidateFold(inside, WithoutRow(grid, i), grid.items[i], true, result);
  }
  for (std::size_t j = 1; j + 1 < grid.item_bytes.size(); ++j) {
    ValidateFold(inside, WithoutColumn(grid, j), grid.item_bytes[j], false, result);
  }
  if (result.points == 0) return std::nullopt;
  result.linear /= Real(result.points);
  result.grid /= Real(result.points);
  return result;
}

std::optional<HoldoutError> Judge(const Curve& curve, const Points& points) {
  if (points.empty()) return std::nullopt;
  std::vector<float> errors;
  for (const Measurement& point : points) {
    const Seconds predicted = curve.Evaluate(point.work).time;
    errors.push_back(static_cast<float>(RelativeError(predicted, point.median)));
  }
  const auto quantile = [&](double q) {
    return std::round(double{Quantile(errors, q)} * 1e4) / 1e4;  // to 0.01 %
  };
  return HoldoutError{quantile(0.5), quantile(0.95), static_cast<std::int64_t>(points.size())};
}

FittedCurve FitCurve(const Points& points) {
  Points seen, held_out;
  for (const Measurement& point : points) (point.held_out ? held_out : seen).push_back(point);
  SPARSESERVE_CHECK(!seen.empty(), "every point is held out");
  FittedCurve fitted{{}, CrossValidate(seen)};
  if (fitted.validation && IsGridBetter(seen.front().operation, *fitted.validation)) {
    Curve& curve = fitted.curve;
    curve.grid = FitGrid(seen);
    curve.valid_items = {curve.grid.items.front(), curve.grid.items.back()};
    curve.valid_item_bytes = {curve.grid.item_bytes.front(), curve.grid.item_bytes.back()};
  } else {
    fitted.curve = FitLinear(seen);
  }
  fitted.curve.holdout_error = Judge(fitted.curve, held_out);
  return fitted;
}

}  // namespace sparseserve::calibration
