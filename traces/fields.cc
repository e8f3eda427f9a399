#include "traces/fields.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

namespace sparseserve::traces {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Appends one decimal digit; false on overflow.
bool AppendDigit(std::int64_t& value, int digit) {
  if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) return false;
  value = value * 10 + digit;
  return true;
}

std::optional<std::int64_t> ParseWithExponent(std::string_view text, int decimals) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  value *= std::pow(10.0, decimals);
  if (!(std::fabs(value) < 9.2e18)) return std::nullopt;
  return std::llround(value);
}

// Removes `width` digits from the front of `text`; -1 if they are not there.
int TakeDigits(std::string_view& text, std::size_t width) {
  if (text.size() < width) return -1;
  int value = 0;
  for (const char c : text.substr(0, width)) {
    if (!IsDigit(c)) return -1;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool Take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// "", "Z", "+HH", "+HHMM", "+HH:MM" -> seconds east of UTC.
std::optional<std::int64_t> ParseOffset(std::string_view text) {
  if (text.empty() || text == "Z") return 0;
  const int sign = text.front() == '+' ? 1 : text.front() == '-' ? -1 : 0;
  text.remove_prefix(1);
  const int hours = TakeDigits(text, 2);
  Take(text, ':');
  const int minutes = text.empty() ? 0 : TakeDigits(text, 2);
  if (sign == 0 || !text.empty() || hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
    return std::nullopt;
  }
  return std::int64_t{sign} * (hours * 3600 + minutes * 60);
}

}  // namespace

std::optional<std::int64_t> ParseInteger(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> ParseScaled(std::string_view text, int decimals) {
  std::string_view rest = text;
  const bool negative = Take(rest, '-');
  if (rest.find_first_of("eE") != rest.npos) return ParseWithExponent(text, decimals);
  std::int64_t value = 0;
  int num_fraction_digits = -1;  // -1 before the decimal point
  bool any_digit = false;
  bool round_up = false;
  for (const char c : rest) {
    if (c == '.' && num_fraction_digits < 0) {
      num_fraction_digits = 0;
    } else if (!IsDigit(c)) {
      return std::nullopt;
    } else {
      any_digit = true;
      if (num_fraction_digits == decimals) {  // the first digit that is cut decides the rounding
        round_up = c >= '5';
      } else if (num_fraction_digits < decimals && !AppendDigit(value, c - '0')) {
        return std::nullopt;
      }
      if (num_fraction_digits >= 0) ++num_fraction_digits;
    }
  }
  if (!any_digit) return std::nullopt;
  for (int i = std::max(num_fraction_digits, 0); i < decimals; ++i) {
    if (!AppendDigit(value, 0)) return std::nullopt;
  }
  if (round_up && value < std::numeric_limits<std::int64_t>::max()) ++value;
  return negative ? -value : value;
}

std::optional<std::int64_t> ParseTimestamp(std::string_view text) {
  const int year = TakeDigits(text, 4);
  if (!Take(text, '-')) return std::nullopt;
  const int month = TakeDigits(text, 2);
  if (!Take(text, '-')) return std::nullopt;
  const int day = TakeDigits(text, 2);
  if (!Take(text, ' ') && !Take(text, 'T')) return std::nullopt;
  const int hour = TakeDigits(text, 2);
  if (!Take(text, ':')) return std::nullopt;
  const int minute = TakeDigits(text, 2);
  const std::size_t second_width = text.find_first_of("Z+-");
  if (!Take(text, ':') || text.empty() || !IsDigit(text.front())) return std::nullopt;
  const std::string_view second_text =
      text.substr(0, second_width == text.npos ? text.npos : second_width - 1);
  const auto second_ns = ParseScaled(second_text, 9);
  const auto offset_s = ParseOffset(text.substr(second_text.size()));
  if (year < 1970 || year > 2261 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || !second_ns || *second_ns >= 61 * kNsPerSecond || !offset_s) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t whole_s =
      days * 86400 + std::int64_t{hour} * 3600 + std::int64_t{minute} * 60 - *offset_s;
  return whole_s * kNsPerSecond + *second_ns;
}

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string Quote(std::string_view text) {
  constexpr std::size_t kMaxBytes = 48;
  std::string quoted = "'";
  for (const char c : text.substr(0, kMaxBytes)) {
    if (c >= ' ' && c <= '~') {
      quoted += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
      quoted += escaped;
    }
  }
  return quoted + (text.size() > kMaxBytes ? "...'" : "'");
}

}  // namespace sparseserve::traces
