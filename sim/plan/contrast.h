// What a sweep says: effects along one axis, with intervals over the seeds.
//
// Two points that differ in the contrast axis only are compared seed by seed (common random
// numbers), so the interval is that of paired differences. Effects are relative to the baseline's
// mean: +25 % output, -60 % TTFT. Where the baseline's mean is zero, and for shares and rates in
// [0, 1], the absolute difference is what can be read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/plan/statistics.h"
#include "sim/plan/sweep.h"

namespace sparseserve::plan {

// What is compared with what.
struct ContrastRequest {
  std::string axis;                  // name
  std::string baseline;              // label; empty: the first one
  bool against_previous = false;     // each label against the one before it, not the baseline
  std::vector<std::string> metrics;  // names of metrics::Figures()
};

struct Effect {
  std::size_t figure = 0;  // in metrics::Figures()
  Interval value;          // of this label
  std::vector<double> samples;
  // Against the baseline, over the seeds that both have; nothing for the baseline itself, and where
  // one of the two has no result.
  std::optional<Interval> difference;
  std::optional<Interval> relative;  // difference / mean of the baseline
};

// One label of the contrast axis within one combination of the others.
struct ContrastRow {
  std::string label;
  bool is_baseline = false;
  std::int64_t num_done = 0;       // replications with a result
  std::int64_t num_saturated = 0;  // of them
  bool extrapolated = false;
  std::string infeasible;  // why it cannot run; empty: it can
  std::vector<Effect> effects;
};

struct ContrastGroup {
  std::vector<std::string> labels;  // of the other axes, in their order
  std::vector<ContrastRow> rows;
};

struct Contrast {
  ContrastRequest request;
  std::vector<std::string> other_axes;
  std::vector<ContrastGroup> groups;  // in the order of the sweep
  std::int64_t num_missing = 0;       // points without a result yet
};

// The places of the labels of an axis, in the order in which the sweep names them.
std::vector<std::string> LabelsOf(const Sweep& sweep, std::size_t axis);

// `outcomes` by ordinal; nothing: not run yet. Throws InputError for an axis, label or metric that
// the sweep does not have. O(points x metrics).
Contrast MakeContrast(const Sweep& sweep, const std::vector<std::optional<Outcome>>& outcomes,
                      const ContrastRequest& request);

}  // namespace sparseserve::plan
