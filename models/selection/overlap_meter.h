// The overlap that a selection really has, measured from its deltas: realised against asked.
//
// For each group (say, one request and layer, or a sample of them) the meter keeps when each unit
// left. A unit that stays has gap 1, one that joins the gap since its last selection; the shares of
// the gaps up to w are the overlap at window w. Each step counts equally, at each window whose w
// previous steps all exist. Blocks that a step has just added to the context are left out: they are
// selected as recent ones, and no step before could have. Cost per step follows the changes.
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
  // `heads`: units of a block.
  explicit OverlapMeter(std::int64_t heads);

  // Forgets what it knows of `group`, a dense index that the caller chooses, but not what it has
  // measured.
  void BeginGroup(std::size_t group);
  // Takes the changes of the group's next step, at a context of so many blocks. REQUIRES: a unit
  // joins only when it is out and leaves only when it is in; the group has begun.
  void Observe(std::size_t group, std::int64_t context_blocks, const SelectionDelta& delta);

  // Mean share of the units selected at a step that were selected in the `window` steps before; 0
  // before anything is measured. REQUIRES: 1 <= window <= kMaxWindow.
  double Overlap(std::int64_t window) const;
  // What `curves` ask for at this window where Overlap() measured.
  double Asked(const OverlapCurves& curves, Tokens block_tokens, std::int64_t window) const;
  std::int64_t MeasuredSteps(std::int64_t window) const;
  // The locality to ask for in order to get what was measured: a curve at each of up to `most`
  // contexts with about equally many steps. Empty before anything is measured.
  std::vector<OverlapPoint> Fit(std::int64_t most, Tokens block_tokens) const;

 private:
  // What was measured at contexts of nearly the same length: to the block below 128 blocks, to 0.8
  // to 1.6 % above. A request that grows by two blocks changes more, and 1 % of the working set can
  // decide whether another request is admitted.
  struct Cell {
    double context_sum = 0;                             // blocks, over the steps at window 1
    std::array<double, kMaxWindow + 1> overlap_sums{};  // by window
    std::array<std::int64_t, kMaxWindow + 1> steps{};   // by window

    void Add(const Cell& other);
  };
  struct Group {
    std::uint32_t steps = 0;
    std::int64_t context = 0;  // blocks
    std::int64_t selected = 0;
    std::vector<std::uint32_t> last_selected;  // by unit: step, from 1; 0 is never
  };

  std::int64_t heads_;
  std::vector<Group> groups_;
  std::vector<Cell> cells_;  // by length of the context
};

}  // namespace sparseserve::selection
