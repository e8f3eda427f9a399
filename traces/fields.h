// Numbers and times in the text of a trace: strict, exact to the nanosecond, blind to the locale.
// Each function takes the whole text of a field and returns nothing if that is not what it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sparseserve::traces {

// "374", "-5". No sign '+', no decimal point, no exponent.
std::optional<std::int64_t> ParseInteger(std::string_view text);

// A decimal number times 10^`decimals`, rounded to the nearest integer, half away from zero:
// ParseScaled("1.5", 9) is 1.5 s in nanoseconds. Exact for any number of digits; text with an
// exponent goes through double. Nothing for nan, inf and what does not fit 9.2e18.
std::optional<std::int64_t> ParseScaled(std::string_view text, int decimals);

// "2023-11-16 18:17:03.9799600", 'T' instead of the blank, an offset "Z", "+00:00", "+0000" or
// "+00"; without one UTC is assumed. Returns nanoseconds since 1970; years 1970 to 2261.
std::optional<std::int64_t> ParseTimestamp(std::string_view text);

// The text without blanks and tabs at both ends.
std::string_view Trim(std::string_view text);

// The text in single quotes for a message: at most 48 bytes, unprintable ones as \xNN.
std::string Quote(std::string_view text);

}  // namespace sparseserve::traces
