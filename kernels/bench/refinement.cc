#include "kernels/bench/refinement.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sparseserve::bench {
namespace {

// Between values whose ratio is less only a cliff is looked for, over which times differ by the
// second factor or more: where times jitter, splits would pile up.
constexpr double kNarrow = 1.1;
constexpr double kCliff = 1.5;

double Real(std::int64_t value) { return static_cast<double>(value); }

// A value that may be zero, as a logarithm that is finite.
double LogOf(std::int64_t value) { return std::log(Real(std::max<std::int64_t>(value, 1))); }

// The largest relative error of predicting line i of `lines` from its neighbours.
double Misprediction(const std::vector<std::int64_t>& lines, std::size_t i,
                     const std::vector<std::int64_t>& across, const TimeAt& time) {
  double worst = 0;
  const double fraction = Real(lines[i] - lines[i - 1]) / Real(lines[i + 1] - lines[i - 1]);
  for (const std::int64_t other : across) {
    const double near = time(lines[i - 1], other);
    const double predicted = near + (time(lines[i + 1], other) - near) * fraction;
    const double measured = time(lines[i], other);
    worst = std::max(worst, std::abs(predicted - measured) / measured);
  }
  return worst;
}

bool IsCliff(std::int64_t line, std::int64_t next, const std::vector<std::int64_t>& across,
             const TimeAt& time) {
  return std::any_of(across.begin(), across.end(), [&](std::int64_t other) {
    const double ratio = time(line, other) / time(next, other);
    return std::max(ratio, 1 / ratio) >= kCliff;
  });
}

// The best split of one axis; `time` takes (this axis, the other one).
std::optional<Split> SplitAxis(const std::vector<std::int64_t>& lines, const Axis& axis,
                               const std::vector<std::int64_t>& across, const TimeAt& time,
                               double tolerance) {
  if (!axis.is_refinable() || lines.size() < 2) return std::nullopt;
  std::vector<double> error(lines.size(), lines.size() == 2 ? tolerance : 0.0);
  for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
    error[i] = Misprediction(lines, i, across, time);
  }
  std::optional<Split> best;
  double best_width = 0;
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    const double worst = std::max(error[i], error[i + 1]);
    if (worst < tolerance) continue;
    const double width = LogOf(lines[i + 1]) - LogOf(lines[i]);
    if (width < std::log(kNarrow) && !IsCliff(lines[i], lines[i + 1], across, time)) continue;
    const std::int64_t middle = axis.Snap(std::exp((LogOf(lines[i]) + LogOf(lines[i + 1])) / 2));
    if (middle <= lines[i] || middle >= lines[i + 1]) continue;
    if (!best || worst > best->error || (worst == best->error && width > best_width)) {
      best = Split{true, middle, worst};
      best_width = width;
    }
  }
  return best;
}

}  // namespace

std::int64_t Axis::Snap(double value) const {
  const std::int64_t multiple = std::llround(value / Real(step)) * step;
  return std::clamp(multiple, least, most);
}

std::vector<std::int64_t> Axis::Spread(int count) const {
  if (!choices.empty()) return choices;
  std::vector<std::int64_t> values;
  if (count > 2 && !lines.empty()) {
    values.push_back(least);
    for (const std::int64_t line : lines) {
      if (line > least && line < most) values.push_back(line);
    }
    if (most > least) values.push_back(most);
    return values;
  }
  for (int i = 0; i < count; ++i) {
    const double fraction = count == 1 ? 0 : static_cast<double>(i) / (count - 1);
    const std::int64_t value =
        i == 0 ? least : Snap(std::exp(LogOf(least) + (LogOf(most) - LogOf(least)) * fraction));
    if (values.empty() || value > values.back()) values.push_back(value);
  }
  return values;
}

std::int64_t Axis::Draw(double uniform) const {
  if (!choices.empty()) {
    const auto index = static_cast<std::size_t>(uniform * static_cast<double>(choices.size()));
    return choices[std::min(index, choices.size() - 1)];  // uniform may be 1
  }
  return Snap(std::exp(LogOf(least) + (LogOf(most) - LogOf(least)) * uniform));
}

std::optional<Split> ChooseSplit(const Rectangle& rectangle, const Axis& x_axis, const Axis& y_axis,
                                 const TimeAt& time, double tolerance) {
  std::optional<Split> in_x = SplitAxis(rectangle.x, x_axis, rectangle.y, time, tolerance);
  std::optional<Split> in_y = SplitAxis(
      rectangle.y, y_axis, rectangle.x,
      [&time](std::int64_t y, std::int64_t x) { return time(x, y); }, tolerance);
  if (in_y) in_y->in_x = false;
  if (!in_x || (in_y && in_y->error > in_x->error)) return in_y;
  return in_x;
}

}  // namespace sparseserve::bench
