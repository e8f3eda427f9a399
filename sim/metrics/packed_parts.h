// TimeParts in 32 bytes, for what is kept of every request.
//
// Most parts are zero and the others milliseconds: one bit says whether a part is there, and those
// that are have seven bits a byte (LEB128). 30 bytes hold seven parts of a quarter of a second, or
// five of nine hours each. Parts that need more lie on the heap.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "sim/metrics/time_parts.h"

namespace sparseserve::metrics {

class PackedParts {
 public:
  PackedParts() = default;
  ~PackedParts() { Clear(); }
  PackedParts(const PackedParts& other) { *this = other; }
  PackedParts& operator=(const PackedParts& other) {
    if (this != &other) Pack(other.Unpack());
    return *this;
  }
  PackedParts(PackedParts&& other) noexcept : present_(other.present_), bytes_(other.bytes_) {
    other.present_ = 0;
  }
  PackedParts& operator=(PackedParts&& other) noexcept {
    std::swap(present_, other.present_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  void Pack(const TimeParts& parts);
  TimeParts Unpack() const;

 private:
  static constexpr std::uint16_t kOnHeap = 1U << 15;
  static_assert(kNumParts < 15);

  TimeParts* heap() const {
    TimeParts* parts = nullptr;
    std::memcpy(&parts, bytes_.data(), sizeof parts);
    return parts;
  }
  void Clear() {
    if (present_ == kOnHeap) delete heap();
    present_ = 0;
  }

  std::uint16_t present_ = 0;  // a bit for each part that is not zero, or kOnHeap alone
  std::array<std::uint8_t, 30> bytes_{};
};
static_assert(sizeof(PackedParts) == 32);

}  // namespace sparseserve::metrics
