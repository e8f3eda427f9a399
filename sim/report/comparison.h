// Two results side by side, and which component explains the gap between them.
//
// A is the measured side, B the predicted one, or any two results. An error is B against A:
// relative to A in %, for figures that are percentages themselves in points.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/report/run_figures.h"

namespace sparseserve::report {

inline constexpr double kDefaultTolerance = 0.1;

struct MetricComparison {
  Metric metric{};
  std::optional<double> a, b;   // nothing: that side does not know
  std::optional<double> error;  // in % or points; nothing also where A is 0 and B is not
  bool is_equal = false;        // exactly
  bool is_judged = false;       // a key metric that both sides know
  bool is_exceeded = false;     // judged, and off by more than the tolerance
};

// One reason why B's iterations take another time than A's. a and b are ms per iteration, or
// iterations of a replica for kNumberOfIterations.
struct Contribution {
  std::string_view component;
  double a = 0;
  double b = 0;
  double points = 0;  // of the gap, in % of A's duration; positive: B takes longer
};
inline constexpr std::string_view kNumberOfIterations = "number of iterations";

// The gap in time between two runs, each the mean over its replicas, in % of A's duration:
//   duration = busy + idle,   busy = sum over contributions.
// A part costs p = P / N in each of N iterations. With both runs' means N' = (N_A + N_B) / 2 and
// p' = (p_A + p_B) / 2 its change splits without remainder,
//   P_B - P_A = N' (p_B - p_A) + p' (N_B - N_A);
// the first term is the part's, the second terms of all parts are the number of iterations'.
struct GapExplanation {
  std::vector<Contribution> contributions;  // the largest first
  double busy_points = 0;
  double idle_points = 0;
  double duration_points = 0;
};

struct Comparison {
  RunFigures a, b;
  std::vector<MetricComparison> metrics;  // all, in the order of Metrics()
  std::optional<GapExplanation> gap;      // if both sides know their iterations
  // What should be equal and is not: "seed (1, 2)".
  std::vector<std::string> differences;
  double tolerance = kDefaultTolerance;

  // No judged metric is off by more than the tolerance. True where none is judged.
  bool IsWithinTolerance() const;
  // At least one key metric is known to both sides.
  bool IsJudged() const;
};

// REQUIRES: tolerance >= 0.
Comparison Compare(const RunFigures& measured, const RunFigures& predicted,
                   double tolerance = kDefaultTolerance);

}  // namespace sparseserve::report
