// From raw points of one operation to its curve.
//
// A record knows two forms of curve:
// - linear: launch + items * per_item + bytes / bandwidth + flops / flop_rate, the terms that the
//   operation has (README.md), none negative, by least squares of *relative* errors: a microsecond
//   counts as much in a call of 10 us as a millisecond in one of 10 ms;
// - grid: the points themselves, made monotone, where they fill a rectangle of (items, item bytes).
// The linear form has few numbers, extrapolates, and cannot follow a plateau or a cliff; the grid
// can. Cross-validation decides: each inner row and column of the rectangle is left out in turn and
// predicted from the rest by both. The linear form wins where it is good, and unless the grid is
// clearly better.
//
// Points that are held out take part in none of this. They judge the curve afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "calibration/record.h"

namespace sparseserve::calibration {

using Points = std::vector<Measurement>;  // of one operation

// Mean relative error of points left out, of both forms on the same points.
struct CrossValidation {
  double linear = 0;
  double grid = 0;
  std::int64_t points = 0;
};

struct FittedCurve {
  Curve curve;                                // without a source
  std::optional<CrossValidation> validation;  // nothing: there was no choice of forms
};

// Fits the points that are not held out, and judges the curve by those that are. Terms have five
// digits, times six: more than any clock gives. REQUIRES: at least one point to fit, all of
// one operation, times above zero.
FittedCurve FitCurve(const Points& points);

// --- its parts -----------------------------------------------------------------------------------

// The x >= 0 that minimises |A x - b|, by the active set of Lawson and Hanson (Solving Least
// Squares Problems, 1974, chapter 23). `rows` of A, all of one length.
std::vector<double> SolveNonNegative(const std::vector<std::vector<double>>& rows,
                                     const std::vector<double>& b);

// The linear curve through all of `points`; its range is theirs.
Curve FitLinear(const Points& points);

// The grid on all of `points`, those of equal (items, item bytes) averaged. Where the rectangle has
// gaps, its emptiest rows and columns are left out until it is complete. Empty if that leaves less
// than four cells or less than half of the cells that were measured.
Grid FitGrid(const Points& points);

// Makes `times`, row by row of a table with `columns`, rise in both directions: the mean of the
// least monotone table above and the greatest below, which of all monotone tables has the smallest
// largest change (isotonic regression in the maximum norm). A monotone table stays as it is. O(n).
void MakeMonotone(std::size_t columns, std::vector<double>& times);

// Nothing if there is no grid, or it has no inner row or column to leave out.
std::optional<CrossValidation> CrossValidate(const Points& points);

// Relative errors of `curve` on all of `points`; nothing if there are none.
std::optional<HoldoutError> Judge(const Curve& curve, const Points& points);

// `value` with that many significant digits.
double RoundTo(double value, int digits);
double RoundUp(double value, int digits);  // not below `value`, which is above zero

}  // namespace sparseserve::calibration
