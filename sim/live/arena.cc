#include "sim/live/arena.h"

#include <algorithm>

namespace sparseserve::live {

std::byte* Arena::TakeBytes(std::int64_t size) {
  constexpr std::int64_t kChunkBytes = std::int64_t{4} << 20;
  constexpr std::int64_t kAlignment = 256;
  size = (std::max<std::int64_t>(size, 1) + kAlignment - 1) / kAlignment * kAlignment;
  while (chunk_ < chunks_.size() && used_ + size > chunks_[chunk_].size().value()) {
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const Bytes chunk(std::max(size, kChunkBytes));
    chunks_.push_back(place_ == Place::kHost ? backend_.AllocateHost(chunk)
                                             : backend_.AllocateDevice(chunk));
  }
  std::byte* taken = chunks_[chunk_].data() + used_;
  used_ += size;
  return taken;
}

void Arena::Reset() {
  chunk_ = 0;
  used_ = 0;
}

}  // namespace sparseserve::live
