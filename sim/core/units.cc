#include "sim/core/units.h"

#include <cstdio>

namespace sparseserve {
namespace {

std::string Format(double value, const char* unit) {
  char text[64];
  const double magnitude = std::fabs(value);
  const int decimals = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f %s", decimals, value, unit);
  return text;
}

struct Scale {
  double factor;
  const char* unit;
};

// The largest scale that keeps the number at or above one.
template <std::size_t N>
std::string Scaled(double value, const Scale (&scales)[N]) {
  for (const Scale& scale : scales) {
    if (std::fabs(value) >= scale.factor) return Format(value / scale.factor, scale.unit);
  }
  return Format(value / scales[N - 1].factor, scales[N - 1].unit);
}

}  // namespace

std::string ToString(Bytes bytes) {
  static constexpr Scale kScales[] = {{1099511627776.0, "TiB"},
                                      {1073741824.0, "GiB"},
                                      {1048576.0, "MiB"},
                                      {1024.0, "KiB"},
                                      {1, "B"}};
  return Scaled(static_cast<double>(bytes.value()), kScales);
}

std::string ToString(Seconds seconds) {
  static constexpr Scale kScales[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
  return seconds.value() == 0 ? "0 s" : Scaled(seconds.value(), kScales);
}

std::string ToString(BytesPerSecond rate) {
  static constexpr Scale kScales[] = {{1e12, "TB/s"}, {1e9, "GB/s"}, {1e6, "MB/s"}, {1, "B/s"}};
  return Scaled(rate.value(), kScales);
}

std::string ToString(FlopsPerSecond rate) {
  static constexpr Scale kScales[] = {
      {1e15, "PFLOP/s"}, {1e12, "TFLOP/s"}, {1e9, "GFLOP/s"}, {1, "FLOP/s"}};
  return Scaled(rate.value(), kScales);
}

}  // namespace sparseserve
