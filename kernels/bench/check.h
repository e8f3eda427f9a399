// Comparing results before they are timed.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/operations.h"

namespace sparseserve::bench {

// Throws WrongResult unless |got - want| <= tolerance |want| in the Euclidean norm, where the
// tolerance follows from the element type; a NaN never passes.
void ExpectClose(std::string_view operation, kernels::ElementType type, std::span<const float> got,
                 std::span<const double> want);
// Throws WrongResult unless the bytes are equal; `index` says which piece of the result it is.
void ExpectSameBytes(std::string_view operation, std::int64_t index, std::span<const std::byte> got,
                     std::span<const std::byte> want);

// Attention of one query in double. `keys` and `values`: [tokens, head_dim].
std::vector<double> AttendInDouble(std::span<const float> query, std::span<const float> keys,
                                   std::span<const float> values, double scale);

}  // namespace sparseserve::bench
