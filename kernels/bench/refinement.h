// Where a grid of times should get its next line. The times lie on a rectangle of two axes; users
// interpolate bilinearly between them (calibration/record.h). A line that its two neighbours
// predict badly says that the law bends there, and the wider of the intervals beside it gets a new
// line. A machine that is linear in its inputs is never refined, however coarse the rectangle.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace sparseserve::bench {

// The values that one input of an operation may take.
struct Axis {
  std::int64_t least = 1;
  std::int64_t most = 1;
  std::int64_t step = 1;                // values are multiples of it
  std::vector<std::int64_t> choices{};  // if not empty: these and no others
  // Rising: where a law is known to bend, or what runs will ask for. Of y, they are measured
  // however long they take.
  std::vector<std::int64_t> lines{};

  bool is_refinable() const { return choices.empty(); }
  // The multiple of step in [least, most] nearest to `value`.
  std::int64_t Snap(double value) const;
  // `count` values from least to most, evenly spaced in the logarithm; fewer where they coincide.
  // The choices where there are some; where there are lines, the ends and those between if `count`
  // is more than two.
  std::vector<std::int64_t> Spread(int count) const;
  // Log-uniform for `uniform` in [0, 1].
  std::int64_t Draw(double uniform) const;
};

struct Rectangle {
  std::vector<std::int64_t> x;  // rising
  std::vector<std::int64_t> y;  // rising
};
using TimeAt = std::function<double(std::int64_t x, std::int64_t y)>;

struct Split {
  bool in_x = true;
  std::int64_t value = 0;  // of the new line
  double error = 0;        // relative misprediction that asks for it
};

// Nothing where no line is mispredicted by more than `tolerance`, or no value lies between. Values
// within a tenth of each other are split at a cliff only. An axis
// with two lines has none to predict: it is split once, with an error of `tolerance`.
std::optional<Split> ChooseSplit(const Rectangle& rectangle, const Axis& x_axis, const Axis& y_axis,
                                 const TimeAt& time, double tolerance);

}  // namespace sparseserve::bench
