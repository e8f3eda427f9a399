// How one value is written in our files: the text of a scalar to a typed value and back.
//
// Quantities carry their unit ("80GB", "3.35TB/s", "5 us", "0.25/s"); zero needs none. GB is 10^9
// bytes and GiB 2^30, never guessed. Counts and fractions are plain numbers. Integers are decimal
// without leading zeros (YAML readers take 010 for 8), truth values are true and false only.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.h"

namespace sparseserve::config {

// What a plain double stands for in the file.
enum class RealKind : std::uint8_t {
  kPlain,
  kFraction,   // in [0, 1], no unit
  kPerSecond,  // events per second: "0.25/s", "15/min", "900/h"
};

// What a value has to satisfy besides its type, in SI base units, and what it means.
struct Field {
  std::string doc = {};  // one line for configs/README.md
  double min = 0;
  double max = std::numeric_limits<double>::infinity();
  bool positive = false;  // zero is refused as well
  RealKind real = RealKind::kPlain;
  std::vector<std::string> one_of = {};  // strings: the accepted words; empty: any
};

struct Complaint {
  std::string what;
  std::string expected;
  std::string hint;
};

// Types T below: std::string, bool, int, std::int64_t, std::uint64_t, double, Bytes, Tokens,
// Blocks, Seconds, Flops, BytesPerSecond, FlopsPerSecond.

// Parses `text` into `value`; on failure returns why and leaves `value` alone.
template <typename T>
std::optional<Complaint> ParseText(const std::string& text, T& value, const Field& field = {});

// A short text that ParseText reads back as exactly `value`.
template <typename T>
std::string FormatText(const T& value, const Field& field = {});

// "bytes", "integer", ...: the type column of configs/README.md.
template <typename T>
std::string TypeName(const Field& field = {});

// What is accepted, for messages: "a number with a unit: s, ms, us, ns, min or h".
template <typename T>
std::string Accepted(const Field& field = {});

// "a, b or c".
std::string JoinWords(const std::vector<std::string>& words);
// "did you mean 'x'?", or nothing when no word is close. Case counts less than letters.
std::string DidYouMean(const std::string& word, const std::vector<std::string>& known);

}  // namespace sparseserve::config
