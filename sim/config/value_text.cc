#include "sim/config/value_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <span>
#include <type_traits>

#include "sim/core/error.h"

namespace sparseserve::config {
namespace {

// factor = multiplier x 10^exponent; the exponent is joined to the text of the number, so that
// "3.35TB/s" is the double nearest to 3.35e12 and not a rounded product.
struct Unit {
  const char* name;
  int exponent;
  double multiplier = 1;
};

constexpr double kKi = 1024;
constexpr auto kByteUnits = std::to_array<Unit>({{"B", 0},
                                                 {"kB", 3},
                                                 {"MB", 6},
                                                 {"GB", 9},
                                                 {"TB", 12},
                                                 {"KiB", 0, kKi},
                                                 {"MiB", 0, kKi* kKi},
                                                 {"GiB", 0, kKi* kKi* kKi},
                                                 {"TiB", 0, kKi* kKi* kKi* kKi}});
constexpr auto kByteRateUnits = std::to_array<Unit>({{"B/s", 0},
                                                     {"kB/s", 3},
                                                     {"MB/s", 6},
                                                     {"GB/s", 9},
                                                     {"TB/s", 12},
                                                     {"KiB/s", 0, kKi},
                                                     {"MiB/s", 0, kKi* kKi},
                                                     {"GiB/s", 0, kKi* kKi* kKi},
                                                     {"TiB/s", 0, kKi* kKi* kKi* kKi}});
constexpr auto kTimeUnits = std::to_array<Unit>(
    {{"s", 0}, {"ms", -3}, {"us", -6}, {"ns", -9}, {"min", 0, 60}, {"h", 0, 3600}});
constexpr auto kFlopUnits = std::to_array<Unit>(
    {{"FLOP", 0}, {"kFLOP", 3}, {"MFLOP", 6}, {"GFLOP", 9}, {"TFLOP", 12}, {"PFLOP", 15}});
constexpr auto kFlopRateUnits = std::to_array<Unit>({{"FLOP/s", 0},
                                                     {"kFLOP/s", 3},
                                                     {"MFLOP/s", 6},
                                                     {"GFLOP/s", 9},
                                                     {"TFLOP/s", 12},
                                                     {"PFLOP/s", 15}});
constexpr auto kFrequencyUnits =
    std::to_array<Unit>({{"/s", 0}, {"/min", 0, 1.0 / 60}, {"/h", 0, 1.0 / 3600}});

template <typename T>
constexpr bool kIsInteger = std::integral<T> && !std::same_as<T, bool>;
template <typename T>
constexpr bool kIsCount = std::same_as<T, Tokens> || std::same_as<T, Blocks>;

// The units of T; empty for plain numbers.
template <typename T>
std::span<const Unit> UnitsOf(const Field& field) {
  if constexpr (std::same_as<T, Bytes>) return kByteUnits;
  if constexpr (std::same_as<T, BytesPerSecond>) return kByteRateUnits;
  if constexpr (std::same_as<T, Seconds>) return kTimeUnits;
  if constexpr (std::same_as<T, Flops>) return kFlopUnits;
  if constexpr (std::same_as<T, FlopsPerSecond>) return kFlopRateUnits;
  if constexpr (std::same_as<T, double>) {
    if (field.real == RealKind::kPerSecond) return kFrequencyUnits;
  }
  return {};
}

std::vector<std::string> Names(std::span<const Unit> units) {
  std::vector<std::string> names;
  for (const Unit& unit : units) names.emplace_back(unit.name);
  return names;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Lowered(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// A scalar split as "-12.5e3" and "GB", one blank between them allowed.
struct SplitText {
  std::string mantissa;  // "-12.5"; empty: no number
  int exponent = 0;      // 3
  std::string unit;
  bool leading_zero = false;
};

SplitText Split(const std::string& text) {
  SplitText split;
  std::size_t i = text.starts_with('-') ? 1 : 0;
  const std::size_t first_digit = i;
  std::size_t digits = 0;
  while (i < text.size() && IsDigit(text[i])) ++i, ++digits;
  split.leading_zero = digits > 1 && text[first_digit] == '0';
  if (i < text.size() && text[i] == '.') {
    ++i;
    while (i < text.size() && IsDigit(text[i])) ++i, ++digits;
  }
  if (digits == 0) return split;
  split.mantissa = text.substr(0, i);
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    std::size_t j = i + 1;
    if (j < text.size() && text[j] == '+') ++j;
    const auto [end, error] =
        std::from_chars(text.data() + j, text.data() + text.size(), split.exponent);
    if (error == std::errc()) i = static_cast<std::size_t>(end - text.data());
    split.exponent = std::clamp(split.exponent, -100'000, 100'000);
  }
  if (i < text.size() && text[i] == ' ') ++i;
  split.unit = text.substr(i);
  return split;
}

// mantissa x 10^exponent, correctly rounded; infinite or zero when out of range.
double ToDouble(const SplitText& split, int more_exponent) {
  const std::string text = fmt::format("{}e{}", split.mantissa, split.exponent + more_exponent);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range && split.exponent > 0) {
    return std::numeric_limits<double>::infinity();
  }
  return value;
}

double MaxOf(const Field& field) {
  return field.real == RealKind::kFraction ? std::min(field.max, 1.0) : field.max;
}

// " >= 1", " between 0 and 1", or nothing.
template <typename T>
std::string RangeText(const Field& field) {
  const double max = MaxOf(field);
  Field plain;
  plain.min = -std::numeric_limits<double>::infinity();
  plain.real = field.real;
  const auto text = [&](double bound) {
    if constexpr (std::same_as<T, Bytes>) {
      return FormatText(Bytes(static_cast<std::int64_t>(bound)), plain);
    } else if constexpr (kIsInteger<T> || kIsCount<T>) {
      return fmt::format("{}", bound);
    } else {
      return FormatText(T(bound), plain);
    }
  };
  const bool bounded = std::isfinite(max);
  if (field.positive && field.min <= 0)
    return bounded ? " above 0, up to " + text(max) : " above 0";
  if (std::isfinite(field.min) && bounded) {
    return " between " + text(field.min) + " and " + text(max);
  }
  if (std::isfinite(field.min)) return " >= " + text(field.min);
  return bounded ? " <= " + text(max) : "";
}

template <typename T>
std::string AcceptedNumber(const Field& field, const std::string& range) {
  if constexpr (kIsInteger<T> || kIsCount<T>) return "an integer" + range;
  const std::vector<std::string> units = Names(UnitsOf<T>(field));
  if (units.empty()) return "a number" + range;
  return "a number" + range + " with a unit: " + JoinWords(units);
}

template <typename T>
std::optional<Complaint> CheckRange(const std::string& text, double value, const Field& field) {
  if (value >= field.min && value <= MaxOf(field) && !(field.positive && value <= 0)) {
    return std::nullopt;
  }
  return Complaint{"'" + text + "' is out of range", AcceptedNumber<T>(field, RangeText<T>(field)),
                   ""};
}

// Reads a number with a unit of `units`, or a plain number if there are none, in base units.
template <typename T>
std::optional<Complaint> ParseReal(const std::string& text, double& value, const Field& field) {
  const std::span<const Unit> units = UnitsOf<T>(field);
  const SplitText split = Split(text);
  if (split.mantissa.empty())
    return Complaint{"'" + text + "' is not a number", Accepted<T>(field), ""};
  if (split.leading_zero) {
    return Complaint{"'" + text + "' has a leading zero", Accepted<T>(field), "leave the zero out"};
  }
  Unit unit{"", 0};
  if (split.unit.empty() && !units.empty()) {
    if (ToDouble(split, 0) != 0) {
      return Complaint{"'" + text + "' has no unit", Accepted<T>(field), ""};
    }
  } else if (!split.unit.empty()) {
    bool found = false;
    for (const Unit& candidate : units) {
      if (split.unit == candidate.name) unit = candidate, found = true;
    }
    if (!found && units.empty()) {
      return Complaint{"'" + text + "' is not a plain number", Accepted<T>(field),
                       split.unit == "%" ? fmt::format("write {}", ToDouble(split, -2)) : ""};
    }
    if (!found) {
      return Complaint{fmt::format("'{}' has the unknown unit '{}'", text, split.unit),
                       Accepted<T>(field), DidYouMean(split.unit, Names(units))};
    }
  }
  const double parsed = ToDouble(split, unit.exponent) * unit.multiplier;
  if (!std::isfinite(parsed)) {
    return Complaint{"'" + text + "' is too large", Accepted<T>(field), ""};
  }
  if (auto complaint = CheckRange<T>(text, parsed, field)) return complaint;
  value = parsed;
  return std::nullopt;
}

template <typename T>
std::optional<Complaint> ParseBytes(const std::string& text, T& value, const Field& field) {
  double parsed = 0;
  if (auto complaint = ParseReal<T>(text, parsed, field)) return complaint;
  const double whole = std::round(parsed);
  if (parsed >= 0x1p63) return Complaint{"'" + text + "' is too large", Accepted<T>(field), ""};
  if (std::fabs(parsed - whole) > 1e-6 * std::max(1.0, parsed * 1e-9)) {
    return Complaint{"'" + text + "' is not a whole number of bytes", Accepted<T>(field), ""};
  }
  value = T(static_cast<std::int64_t>(whole));
  return std::nullopt;
}

template <std::integral T>
std::optional<Complaint> ParseInteger(const std::string& text, T& value, const Field& field) {
  T parsed = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, parsed);
  const SplitText split = Split(text);
  Complaint complaint{"'" + text + "' is not an integer", Accepted<T>(field), ""};
  if (split.leading_zero) {
    complaint.hint = "leave out the leading zero: octal and hexadecimal are not read";
    return complaint;
  }
  if (stop != end || error == std::errc::invalid_argument) {
    const double real = split.unit.empty() && !split.mantissa.empty() ? ToDouble(split, 0) : 0.5;
    if (std::is_unsigned_v<T> && real < 0) return CheckRange<T>(text, real, field);
    if (real == std::round(real) && std::fabs(real) < 1e15) {
      complaint.hint = fmt::format("write {}", static_cast<std::int64_t>(real));
    }
    return complaint;
  }
  if (error != std::errc()) return Complaint{"'" + text + "' is too large", Accepted<T>(field), ""};
  if (auto range = CheckRange<T>(text, static_cast<double>(parsed), field)) return range;
  value = parsed;
  return std::nullopt;
}

std::optional<Complaint> ParseWord(const std::string& text, std::string& value,
                                   const Field& field) {
  bool accepted = field.one_of.empty();
  for (const std::string& word : field.one_of) accepted = accepted || word == text;
  if (!accepted) {
    return Complaint{"'" + text + "' is not known here", Accepted<std::string>(field),
                     DidYouMean(text, field.one_of)};
  }
  value = text;
  return std::nullopt;
}

// How hard a text is to read: short ones are better, with a number from 1 to 999 best.
double WritingCost(const std::string& text, double number) {
  const double size = std::fabs(number);
  double cost = static_cast<double>(text.size());
  if (text.find("e+") != std::string::npos || text.find("e-") != std::string::npos) cost += 10;
  if (size < 1) cost += 2;
  if (size >= 1000) cost += 1;
  return cost;
}

}  // namespace

std::string JoinWords(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& known) {
  std::string match;
  for (const std::string& candidate : known) {
    if (match.empty() && Lowered(candidate) == Lowered(word)) match = candidate;
  }
  if (match.empty()) match = ClosestMatch(word, known);
  return match.empty() ? "" : "did you mean '" + match + "'?";
}

template <typename T>
std::optional<Complaint> ParseText(const std::string& text, T& value, const Field& field) {
  if constexpr (std::same_as<T, std::string>) {
    return ParseWord(text, value, field);
  } else if constexpr (std::same_as<T, bool>) {
    if (text == "true" || text == "false") return value = text == "true", std::nullopt;
    return Complaint{"'" + text + "' is not a truth value", Accepted<bool>(field), ""};
  } else if constexpr (kIsInteger<T>) {
    return ParseInteger(text, value, field);
  } else if constexpr (kIsCount<T>) {
    std::int64_t parsed = 0;
    auto complaint = ParseInteger(text, parsed, field);
    if (!complaint) value = T(parsed);
    return complaint;
  } else if constexpr (std::same_as<T, Bytes>) {
    return ParseBytes(text, value, field);
  } else {
    double parsed = 0;
    auto complaint = ParseReal<T>(text, parsed, field);
    if (!complaint) value = T(parsed);
    return complaint;
  }
}

template <typename T>
std::string FormatText(const T& value, const Field& field) {
  if constexpr (std::same_as<T, std::string>) {
    return value;
  } else if constexpr (std::same_as<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (kIsInteger<T>) {
    return fmt::format("{}", value);
  } else if constexpr (kIsCount<T>) {
    return fmt::format("{}", value.value());
  } else {
    double number;
    if constexpr (std::same_as<T, double>) {
      number = value;
    } else {
      number = static_cast<double>(value.value());
    }
    const std::span<const Unit> units = UnitsOf<T>(field);
    if (units.empty()) return fmt::format("{}", number);
    std::string best;
    if constexpr (std::same_as<T, Bytes>) {
      best = fmt::format("{}B", value.value());
    } else {
      best = fmt::format("{}{}", number, units[0].name);
    }
    if (field.real == RealKind::kPerSecond) return best;
    Field any;
    any.min = -std::numeric_limits<double>::infinity();
    double best_cost = WritingCost(best, number);
    for (const Unit& unit : units) {
      const double in_unit = number / unit.multiplier / std::pow(10.0, unit.exponent);
      const std::string text = fmt::format("{:.15g}{}", in_unit, unit.name);
      const double cost = WritingCost(text, in_unit);
      T back{};
      if (cost < best_cost && !ParseText(text, back, any) && back == value) {
        best = text;
        best_cost = cost;
      }
    }
    return best;
  }
}

template <typename T>
std::string TypeName(const Field& field) {
  if constexpr (std::same_as<T, std::string>) return field.one_of.empty() ? "string" : "choice";
  if constexpr (std::same_as<T, bool>) return "boolean";
  if constexpr (kIsInteger<T>) return "integer";
  if constexpr (std::same_as<T, Tokens>) return "tokens";
  if constexpr (std::same_as<T, Blocks>) return "blocks";
  if constexpr (std::same_as<T, Bytes>) return "bytes";
  if constexpr (std::same_as<T, BytesPerSecond>) return "bytes per second";
  if constexpr (std::same_as<T, Seconds>) return "time";
  if constexpr (std::same_as<T, Flops>) return "operations";
  if constexpr (std::same_as<T, FlopsPerSecond>) return "operations per second";
  if (field.real == RealKind::kFraction) return "fraction";
  return field.real == RealKind::kPerSecond ? "rate" : "number";
}

template <typename T>
std::string Accepted(const Field& field) {
  if constexpr (std::same_as<T, std::string>) {
    return field.one_of.empty() ? "a text" : JoinWords(field.one_of);
  } else if constexpr (std::same_as<T, bool>) {
    return "true or false";
  } else {
    // That a quantity is not negative goes without saying.
    const bool plain = field.min == 0 && !field.positive && !std::isfinite(MaxOf(field));
    return AcceptedNumber<T>(field, plain ? "" : RangeText<T>(field));
  }
}

#define SPARSESERVE_CONFIG_TYPE(T)                                                      \
  template std::optional<Complaint> ParseText<T>(const std::string&, T&, const Field&); \
  template std::string FormatText<T>(const T&, const Field&);                           \
  template std::string TypeName<T>(const Field&);                                       \
  template std::string Accepted<T>(const Field&)
SPARSESERVE_CONFIG_TYPE(std::string);
SPARSESERVE_CONFIG_TYPE(bool);
SPARSESERVE_CONFIG_TYPE(int);
SPARSESERVE_CONFIG_TYPE(std::int64_t);
SPARSESERVE_CONFIG_TYPE(std::uint64_t);
SPARSESERVE_CONFIG_TYPE(double);
SPARSESERVE_CONFIG_TYPE(Bytes);
SPARSESERVE_CONFIG_TYPE(Tokens);
SPARSESERVE_CONFIG_TYPE(Blocks);
SPARSESERVE_CONFIG_TYPE(Seconds);
SPARSESERVE_CONFIG_TYPE(Flops);
SPARSESERVE_CONFIG_TYPE(BytesPerSecond);
SPARSESERVE_CONFIG_TYPE(FlopsPerSecond);
#undef SPARSESERVE_CONFIG_TYPE

}  // namespace sparseserve::config
