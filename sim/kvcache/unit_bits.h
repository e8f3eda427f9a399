// What is known of each unit by one bit: 64 units a word, and the words of the same units side by
// side, since whoever changes one looks at another.
#pragma once

#include <cstdint>

#include "sim/kvcache/types.h"

namespace sparseserve::kvcache {

struct UnitBits {
  std::uint64_t selected = 0;
  std::uint64_t resident = 0;
  std::uint64_t left_running = 0;  // ceased to be selected in the running period (window_union.h)
  std::uint64_t left_last = 0;     // or in the last one

  bool operator==(const UnitBits&) const = default;
};

inline std::uint64_t BitOf(Unit unit) { return std::uint64_t{1} << (unit & 63); }

}  // namespace sparseserve::kvcache
