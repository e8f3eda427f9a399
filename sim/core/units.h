// Quantities with a type: a number of bytes cannot be added to a number of tokens.
//
// Each quantity is one number in SI base units, constructed explicitly and read with .value(). Sums
// and plain scaling keep the type; the only products are those that mean something (Bytes /
// BytesPerSecond is Seconds, Flops / FlopsPerSecond is Seconds). SimTime is a *point* on the clock
// in integer nanoseconds; Seconds is a *length* of time in double and is rounded once, when it
// meets the clock. No run-time cost: every operation is one on the underlying number.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

namespace sparseserve {

template <typename Tag, typename Rep>
class Quantity {
 public:
  using rep = Rep;

  constexpr Quantity() = default;
  constexpr explicit Quantity(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity other) { return value_ += other.value_, *this; }
  constexpr Quantity& operator-=(Quantity other) { return value_ -= other.value_, *this; }

  friend constexpr Quantity operator+(Quantity a, Quantity b) { return a += b; }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return a -= b; }
  // How many times b fits into a, as a real number.
  friend constexpr double operator/(Quantity a, Quantity b) {
    return static_cast<double>(a.value_) / static_cast<double>(b.value_);
  }

 private:
  Rep value_{};
};

// Scaling by a plain number. An integer quantity scales by integers only, so nothing is lost.
template <typename Tag, typename Rep, typename S>
requires(std::is_arithmetic_v<S> &&
         (std::is_floating_point_v<Rep> || std::is_integral_v<S>)) constexpr Quantity<Tag, Rep>
operator*(Quantity<Tag, Rep> q, S factor) {
  return Quantity<Tag, Rep>(q.value() * static_cast<Rep>(factor));
}
template <typename Tag, typename Rep, typename S>
requires(std::is_arithmetic_v<S> &&
         (std::is_floating_point_v<Rep> || std::is_integral_v<S>)) constexpr Quantity<Tag, Rep>
operator*(S factor, Quantity<Tag, Rep> q) {
  return q * factor;
}
template <typename Tag, typename S>
requires std::is_arithmetic_v<S>
constexpr Quantity<Tag, double> operator/(Quantity<Tag, double> q, S divisor) {
  return Quantity<Tag, double>(q.value() / static_cast<double>(divisor));
}

using Bytes = Quantity<struct BytesTag, std::int64_t>;
using Tokens = Quantity<struct TokensTag, std::int64_t>;
using Blocks = Quantity<struct BlocksTag, std::int64_t>;
using Seconds = Quantity<struct SecondsTag, double>;
using Flops = Quantity<struct FlopsTag, double>;
using BytesPerSecond = Quantity<struct BytesPerSecondTag, double>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag, double>;

constexpr Seconds operator/(Bytes amount, BytesPerSecond rate) {
  return Seconds(static_cast<double>(amount.value()) / rate.value());
}
constexpr Seconds operator/(Flops amount, FlopsPerSecond rate) {
  return Seconds(amount.value() / rate.value());
}

// ceil(a / b) for b > 0 and a >= 0.
constexpr std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr Blocks BlocksFor(Tokens tokens, Tokens block_tokens) {
  return Blocks(CeilDiv(tokens.value(), block_tokens.value()));
}

// A point on the event clock, in integer nanoseconds since the start of the run (292 years).
class SimTime {
 public:
  constexpr SimTime() = default;
  constexpr explicit SimTime(std::int64_t ns) : ns_(ns) {}
  static constexpr SimTime Max() { return SimTime(std::numeric_limits<std::int64_t>::max()); }

  constexpr std::int64_t ns() const { return ns_; }
  constexpr double seconds() const { return static_cast<double>(ns_) * 1e-9; }
  constexpr auto operator<=>(const SimTime&) const = default;

  // The one place where a length of time is rounded: to the nearest nanosecond.
  friend SimTime operator+(SimTime t, Seconds d) {
    return SimTime(t.ns_ + std::llround(d.value() * 1e9));
  }
  friend constexpr Seconds operator-(SimTime a, SimTime b) {
    return Seconds(static_cast<double>(a.ns_ - b.ns_) * 1e-9);
  }

 private:
  std::int64_t ns_ = 0;
};

// Human-readable text for messages and tables: "16.0 KiB", "1.56 TB/s", "312 TFLOP/s", "5.30 us".
std::string ToString(Bytes bytes);
std::string ToString(Seconds seconds);
std::string ToString(BytesPerSecond rate);
std::string ToString(FlopsPerSecond rate);

}  // namespace sparseserve
