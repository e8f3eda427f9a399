// How much of what is selected now was selected in the last w steps, as a function of w.
//
// o(w) is the share of the blocks selected at a step that were selected in at least one of the w
// steps before it. Equally, it is the distribution of the *gap*, the number of steps back to the
// previous selection of the same block: o(w) = P(gap <= w), so o(w) - o(w-1) is the share that
// returns after exactly w steps, and 1 - o(w) what is new to the window.
//
// Form: o(w) = o(1) + rise * (1 - decay^(w-1)), that is, geometric gaps beyond the first. Exact
// through three points (1, a, b) whenever a curve of this form passes through them. More points,
// which somebody measured, are each met, with 1 - o falling geometrically between two of them. It
// says nothing about gaps beyond kMaxWindow.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/units.h"

namespace sparseserve::selection {

constexpr std::int64_t kMaxWindow = 16;  // steps; the longest gap that is published or modelled

struct OverlapPoint {
  std::int64_t window = 1;  // steps, 1 .. kMaxWindow
  double overlap = 0;       // share of the selected blocks, sinks and recent blocks included
  Tokens context{0};        // where it was measured; 0: the same at every context
};

class OverlapCurve {
 public:
  // Throws InputError (key locality.overlap) unless the windows increase from 1 and the
  // overlaps are in (0, 1] and do not fall. One point: flat. Two points: decay 0.75, the shape of
  // the "flat-tail" preset.
  explicit OverlapCurve(std::span<const OverlapPoint> points);

  // o(window), of kMaxWindow beyond it; 0 at window 0. REQUIRES: 0 <= window.
  double At(std::int64_t window) const;

 private:
  friend class OverlapCurves;

  OverlapCurve() = default;
  void PassThrough(std::span<const OverlapPoint> points);

  std::array<double, kMaxWindow + 1> overlap_{};  // by window
};

// One curve for every context, or one for each of several: the fewer blocks there are to choose
// from, the more a selection repeats itself, on purpose or not.
class OverlapCurves {
 public:
  // Points that name a context make up the curve of that context. Throws InputError (key
  // locality.overlap) unless the contexts increase and each curve is one, or when only some points
  // name a context.
  explicit OverlapCurves(std::span<const OverlapPoint> points);

  bool depends_on_context() const { return contexts_.size() > 1; }
  // Between two contexts 1 - o is linear in 1 / context, as 1 - o(1) is where each step draws anew
  // from all blocks. Beyond the shortest and the longest it is theirs. REQUIRES: 0 < context.
  OverlapCurve At(double context_tokens) const;
  // The least o(1) of all contexts.
  double LeastAdjacent() const;

 private:
  std::vector<double> contexts_;      // tokens, increasing
  std::vector<OverlapCurve> curves_;  // of these
};

}  // namespace sparseserve::selection
