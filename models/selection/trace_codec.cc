#include "models/selection/trace_codec.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/hash.h"

namespace sparseserve::selection::codec {

void AppendFixed(std::string& out, std::uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void AppendVarint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void AppendUnits(std::string& out, std::vector<Unit>& units) {
  std::sort(units.begin(), units.end());
  AppendVarint(out, units.size());
  std::uint64_t next = 0;  // the smallest unit that may follow
  for (const Unit unit : units) {
    AppendVarint(out, unit - next);
    next = std::uint64_t{unit} + 1;
  }
}

std::uint64_t ChunkChecksum(std::uint32_t kind, std::string_view payload) {
  return HashCombine((std::uint64_t{kind} << 32) | payload.size(), HashBytes(payload));
}

std::uint64_t Reader::Fixed(int num_bytes) {
  if (remaining() < static_cast<std::size_t>(num_bytes))
    Fail("the data ends here", std::to_string(num_bytes) + " more bytes");
  std::uint64_t value = 0;
  for (int i = 0; i < num_bytes; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(bytes_[position_++])} << (8 * i);
  return value;
}

std::uint64_t Reader::Varint(std::uint64_t max, const char* what) {
  const std::size_t start = position_;
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const std::uint64_t byte = Fixed(1);
    const bool overflows = shift >= 64 || (shift == 63 && (byte & 0x7e) != 0);
    if (!overflows) value |= (byte & 0x7f) << shift;
    if (overflows || value > max) {
      position_ = start;
      Fail(std::string(what) + " is too large", "at most " + std::to_string(max));
    }
    if (byte < 0x80) return value;
  }
}

void Reader::Units(std::uint64_t end, std::vector<Unit>& units) {
  // Each unit takes a byte or more, so a count beyond the remaining bytes is wrong.
  const std::uint64_t count = Varint(std::min<std::uint64_t>(end, remaining()), "number of units");
  units.clear();
  units.reserve(count);
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (next >= end) Fail("unit beyond the context", "units below " + std::to_string(end));
    next += Varint(end - next - 1, "unit");
    units.push_back(static_cast<Unit>(next++));
  }
}

void Reader::Fail(const std::string& what, const std::string& expected) const {
  throw InputError(
      {{*path_}, "byte " + std::to_string(file_offset_ + position_), what, expected, ""});
}

}  // namespace sparseserve::selection::codec
