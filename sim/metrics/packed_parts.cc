#include "sim/metrics/packed_parts.h"

#include <bit>

namespace sparseserve::metrics {
namespace {

// 0 for 0, which is not written.
std::size_t NumBytes(std::uint64_t value) {
  return (static_cast<std::size_t>(std::bit_width(value)) + 6) / 7;
}

}  // namespace

void PackedParts::Pack(const TimeParts& parts) {
  Clear();
  std::size_t size = 0;
  for (const std::int64_t ns : parts.ns) size += NumBytes(static_cast<std::uint64_t>(ns));
  if (size > bytes_.size()) {
    const TimeParts* const copy = new TimeParts(parts);
    std::memcpy(bytes_.data(), &copy, sizeof copy);
    present_ = kOnHeap;
    return;
  }
  std::uint8_t* next = bytes_.data();
  for (std::size_t i = 0; i < kNumParts; ++i) {
    auto rest = static_cast<std::uint64_t>(parts.ns[i]);
    if (rest == 0) continue;
    present_ |= static_cast<std::uint16_t>(1U << i);
    for (; rest >= 0x80; rest >>= 7) *next++ = static_cast<std::uint8_t>(rest | 0x80);
    *next++ = static_cast<std::uint8_t>(rest);
  }
}

TimeParts PackedParts::Unpack() const {
  if (present_ == kOnHeap) return *heap();
  TimeParts parts;
  const std::uint8_t* next = bytes_.data();
  for (std::size_t i = 0; i < kNumParts; ++i) {
    if ((present_ >> i & 1) == 0) continue;
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const std::uint64_t byte = *next++;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    parts.ns[i] = static_cast<std::int64_t>(value);
  }
  return parts;
}

}  // namespace sparseserve::metrics
