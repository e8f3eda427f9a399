#include "models/selection/popularity.h"

#include <cmath>
#include <string>

#include "sim/core/error.h"

namespace sparseserve::selection {
namespace {

constexpr double kMaxSkew = 0.9;

// base^exponent for exponent >= 0 by the binary digits of the exponent: squares for the integer
// part, square roots for the fraction.
double PowerByRoots(double base, double exponent) {
  double result = 1;
  auto whole = static_cast<std::uint64_t>(exponent);
  double fraction = exponent - static_cast<double>(whole);
  for (double square = base; whole > 0; whole >>= 1, square *= square)
    if (whole & 1) result *= square;
  for (double root = std::sqrt(base); fraction > 0 && root < 1; root = std::sqrt(root)) {
    fraction *= 2;
    if (fraction >= 1) {
      result *= root;
      fraction -= 1;
    }
  }
  return result;
}

}  // namespace

Popularity::Popularity(double skew) {
  if (!(skew >= 0 && skew <= kMaxSkew))
    throw InputError(
        {{}, "selection.locality.skew", "found " + std::to_string(skew), "0 to 0.9", ""});
  const auto cells = static_cast<double>(table_.size() - 1);
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const double x = PowerByRoots(static_cast<double>(i) / cells, 1 / (1 - skew));
    table_[i] = static_cast<std::uint64_t>(x * 0x1.0p32);
  }
}

}  // namespace sparseserve::selection
