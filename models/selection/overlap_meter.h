// The overlap that a selection really has, measured from its deltas: realised against asked.
//
// For each group (say, one request and layer, or a sample of them) the meter keeps when each unit
// left. A unit that stays has gap 1, one that joins the gap since its last selection; the shares of
// the gaps up to w are the overlap at window w. Each step counts equally, and a group counts from
// the step at which all kMaxWindow previous ones exist. Cost per step follows the changes.
//
// A group whose context is within the budget, or of a dense layer, has an overlap near 1 by force:
// leave it out to compare with a curve.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "models/selection/overlap_curve.h"
#include "models/selection/selection_model.h"

namespace sparseserve::selection {

class OverlapMeter {
 public:
  // Forgets what it knows of `group`, a dense index that the caller chooses, but not what it has
  // measured.
  void BeginGroup(std::size_t group);
  // Takes the changes of the group's next step. REQUIRES: a unit joins only when it is out and
  // leaves only when it is in; the group has begun.
  void Observe(std::size_t group, const SelectionDelta& delta);

  // Mean share of the units selected at a step that were selected in the `window` steps before; 0
  // before anything is measured. REQUIRES: 1 <= window <= kMaxWindow.
  double Overlap(std::int64_t window) const;
  std::int64_t measured_steps() const { return measured_steps_; }

 private:
  struct Group {
    std::uint32_t steps = 0;
    std::int64_t selected = 0;
    std::vector<std::uint32_t> last_selected;  // by unit: step, from 1; 0 is never
  };

  std::vector<Group> groups_;
  std::array<double, kMaxWindow + 1> share_sums_{};  // by gap
  std::int64_t measured_steps_ = 0;
};

}  // namespace sparseserve::selection
