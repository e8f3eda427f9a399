// The bytes of a selection trace, shared by its writer and its reader; the format is in README.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/selection/selection_model.h"

namespace sparseserve::selection::codec {

constexpr std::string_view kMagic = "SSELTRCE";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kChunkHeaderBytes = 16;
constexpr std::uint32_t kStepsChunk = 1;
constexpr std::uint32_t kEndChunk = 2;
// A chunk is closed at kChunkTarget bytes; one long step may exceed that, never kMaxChunkBytes.
constexpr std::size_t kChunkTarget = std::size_t{1} << 18;
constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 28;

// `num_bytes` of `value`, least significant first.
void AppendFixed(std::string& out, std::uint64_t value, int num_bytes);
void AppendVarint(std::string& out, std::uint64_t value);
// Count, then the first unit, then the distances less one. Sorts `units`.
void AppendUnits(std::string& out, std::vector<Unit>& units);
std::uint64_t ChunkChecksum(std::uint32_t kind, std::string_view payload);

// Reads from bytes that begin at `file_offset` of a file; throws InputError naming file and byte.
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& path, std::uint64_t file_offset)
      : bytes_(bytes), path_(&path), file_offset_(file_offset) {}

  std::uint64_t Fixed(int num_bytes);
  // A varint of at most `max`; `what` names it in the error.
  std::uint64_t Varint(std::uint64_t max, const char* what);
  // Replaces `units` by a sorted list of units below `end`.
  void Units(std::uint64_t end, std::vector<Unit>& units);
  void Skip(std::size_t num_bytes) { position_ += num_bytes; }
  // The next `num_bytes` as a reader of their own. REQUIRES: they exist.
  Reader Sub(std::size_t num_bytes) const {
    return Reader(bytes_.substr(position_, num_bytes), *path_, file_offset_ + position_);
  }
  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  [[noreturn]] void Fail(const std::string& what, const std::string& expected) const;

 private:
  std::string_view bytes_;
  const std::string* path_;
  std::uint64_t file_offset_;
  std::size_t position_ = 0;
};

}  // namespace sparseserve::selection::codec
