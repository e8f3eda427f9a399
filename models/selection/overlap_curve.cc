#include "models/selection/overlap_curve.h"

#include <algorithm>
#include <string>

#include "sim/core/check.h"
#include "sim/core/error.h"

namespace sparseserve::selection {
namespace {

constexpr double kDefaultDecay = 0.75;
constexpr std::size_t kMostFitted = 3;  // points; more speak for themselves

[[noreturn]] void Fail(const std::string& what, const std::string& expected) {
  throw InputError({{}, "locality.overlap", what, expected, ""});
}

void ValidatePoints(std::span<const OverlapPoint> points) {
  if (points.empty() || points.front().window != 1) Fail("no point for window 1", "window 1 first");
  const OverlapPoint* previous = nullptr;
  for (const OverlapPoint& point : points) {
    if (point.window > kMaxWindow || (previous && point.window <= previous->window))
      Fail("window " + std::to_string(point.window),
           "increasing windows up to " + std::to_string(kMaxWindow));
    if (!(point.overlap > 0 && point.overlap <= 1))
      Fail("overlap " + std::to_string(point.overlap), "a share in (0, 1]");
    if (previous && point.overlap < previous->overlap)
      Fail("overlap falls to " + std::to_string(point.overlap),
           "a curve that does not fall with the window");
    previous = &point;
  }
}

// Plain multiplication: the same bits everywhere, which pow() does not promise.
double Power(double base, std::int64_t exponent) {
  double result = 1;
  for (std::int64_t i = 0; i < exponent; ++i) result *= base;
  return result;
}

struct Fit {
  double rise = 0;
  double squared_error = 0;
};

// The best rise for a given decay, in closed form.
Fit FitRise(std::span<const OverlapPoint> points, double decay) {
  double xy = 0, xx = 0;
  for (const OverlapPoint& point : points) {
    const double x = 1 - Power(decay, point.window - 1);
    xy += x * (point.overlap - points.front().overlap);
    xx += x * x;
  }
  Fit fit{xx > 0 ? xy / xx : 0, 0};
  for (const OverlapPoint& point : points) {
    const double error =
        points.front().overlap + fit.rise * (1 - Power(decay, point.window - 1)) - point.overlap;
    fit.squared_error += error * error;
  }
  return fit;
}

// Grid search refined around its best cell, so that a local minimum elsewhere cannot win.
double FitDecay(std::span<const OverlapPoint> points) {
  constexpr int kCells = 200;
  double lo = 0.001, hi = 0.999, best = lo;
  for (int round = 0; round < 5; ++round) {
    const double cell = (hi - lo) / kCells;
    double best_error = 2.0 * kMaxWindow;
    for (int i = 0; i <= kCells; ++i) {
      const double error = FitRise(points, lo + i * cell).squared_error;
      if (error < best_error) best_error = error, best = lo + i * cell;
    }
    lo = std::max(0.001, best - cell);
    hi = std::min(0.999, best + cell);
  }
  return best;
}

// By which 1 - o falls per step between two points; by bisection, for the same bits everywhere.
double DecayBetween(const OverlapPoint& from, const OverlapPoint& to) {
  const double ratio = from.overlap < 1 ? (1 - to.overlap) / (1 - from.overlap) : 0;
  double low = 0, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double decay = (low + high) / 2;
    (Power(decay, to.window - from.window) < ratio ? low : high) = decay;
  }
  return high;
}

}  // namespace

OverlapCurve::OverlapCurve(std::span<const OverlapPoint> points) {
  ValidatePoints(points);
  if (points.size() > kMostFitted) {
    PassThrough(points);
    return;
  }
  const double adjacent = points.front().overlap;
  const double decay = points.size() >= 3 ? FitDecay(points) : kDefaultDecay;
  const double rise = std::min(FitRise(points, decay).rise, 1 - adjacent);
  for (std::int64_t window = 1; window <= kMaxWindow; ++window)
    overlap_[window] = adjacent + rise * (1 - Power(decay, window - 1));
}

void OverlapCurve::PassThrough(std::span<const OverlapPoint> points) {
  double decay = 1;
  std::size_t next = 0;
  for (std::int64_t window = 1; window <= kMaxWindow; ++window) {
    if (next < points.size() && window == points[next].window) {
      overlap_[window] = points[next].overlap;
      if (next + 1 < points.size()) decay = DecayBetween(points[next], points[next + 1]);
      ++next;
    } else {
      overlap_[window] = 1 - (1 - overlap_[window - 1]) * decay;
    }
    overlap_[window] = std::max(overlap_[window], overlap_[window - 1]);
  }
}

double OverlapCurve::At(std::int64_t window) const {
  SPARSESERVE_CHECK(window >= 0, "a window counts steps");
  return overlap_[std::min(window, kMaxWindow)];
}

OverlapCurves::OverlapCurves(std::span<const OverlapPoint> points) {
  std::size_t begin = 0;
  do {
    std::size_t end = begin;
    while (end < points.size() && points[end].context == points[begin].context) ++end;
    const Tokens context = points.empty() ? Tokens(0) : points[begin].context;
    if (end - begin < points.size() && context <= Tokens(0))
      Fail("some points have a context and some have none", "a context at all points or at none");
    const auto tokens = static_cast<double>(context.value());
    if (!contexts_.empty() && tokens <= contexts_.back())
      Fail("context " + std::to_string(context.value()) + " after a longer one",
           "all points of a context one after the other, the shortest context first");
    contexts_.push_back(tokens);
    curves_.emplace_back(points.subspan(begin, end - begin));
    begin = end;
  } while (begin < points.size());
}

OverlapCurve OverlapCurves::At(double context_tokens) const {
  SPARSESERVE_CHECK(context_tokens > 0, "a context has tokens");
  const auto above = std::upper_bound(contexts_.begin(), contexts_.end(), context_tokens);
  const auto next = static_cast<std::size_t>(above - contexts_.begin());
  if (next == 0) return curves_.front();
  if (next == curves_.size()) return curves_.back();
  const double low = 1 / contexts_[next - 1], high = 1 / contexts_[next];
  const double weight = (low - 1 / context_tokens) / (low - high);  // of the longer context
  OverlapCurve curve;
  for (std::size_t window = 1; window < curve.overlap_.size(); ++window) {
    const double from = curves_[next - 1].overlap_[window], to = curves_[next].overlap_[window];
    curve.overlap_[window] = from + weight * (to - from);
  }
  return curve;
}

double OverlapCurves::LeastAdjacent() const {
  double least = 1;
  for (const OverlapCurve& curve : curves_) least = std::min(least, curve.At(1));
  return least;
}

}  // namespace sparseserve::selection
