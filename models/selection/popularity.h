// Which blocks are popular among those that come up anew: a power law over the context.
//
// The density of the relative distance x from the newest candidate (0 = newest, 1 = oldest) is
// proportional to x^-skew; skew 0 is uniform. Drawn by a table of the inverse distribution
// function, x = u^(1 / (1 - skew)), in 32-bit fixed point with linear interpolation. The table is
// built with products and square roots only, which IEEE 754 rounds alike everywhere, and drawing is
// integer arithmetic: the same blocks with every compiler and libm.
#pragma once

#include <array>
#include <cstdint>

namespace sparseserve::selection {

class Popularity {
 public:
  // Throws InputError (key selection.locality.skew) unless 0 <= skew <= 0.9.
  explicit Popularity(double skew);

  // Maps uniform `bits` to an index in [0, range); index 0 is the newest. REQUIRES: range > 0.
  std::uint32_t Draw(std::uint32_t bits, std::uint32_t range) const {
    const std::uint32_t cell = bits >> kFractionBits;
    const std::uint64_t low = table_[cell];
    const std::uint64_t x =
        low + (((table_[cell + 1] - low) * (bits & kFractionMask)) >> kFractionBits);
    return static_cast<std::uint32_t>((x * range) >> 32);
  }

 private:
  static constexpr int kCellBits = 10;
  static constexpr int kFractionBits = 32 - kCellBits;
  static constexpr std::uint32_t kFractionMask = (1U << kFractionBits) - 1;

  std::array<std::uint64_t, (1 << kCellBits) + 1> table_;  // in units of 2^-32
};

}  // namespace sparseserve::selection
