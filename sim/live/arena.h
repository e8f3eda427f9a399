// Many arrays in few buffers: the weights of a model, or the index tables of one iteration. Memory
// is handed out front to back and taken back all at once by Reset. Buffers are large, so that a CPU
// maps them in huge pages: the weights of a decode are read once each, page by page.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace sparseserve::live {

enum class Place : std::uint8_t { kHost, kDevice };

class Arena {
 public:
  Arena(kernels::Backend& backend, Place place) : backend_(backend), place_(place) {}

  // `count` objects, aligned to 256 bytes, uninitialised; valid until Reset.
  template <typename T>
  T* Take(std::int64_t count) {
    return reinterpret_cast<T*>(TakeBytes(count * static_cast<std::int64_t>(sizeof(T))));
  }
  // REQUIRES: no lane still uses what was taken.
  void Reset();

 private:
  std::byte* TakeBytes(std::int64_t size);

  kernels::Backend& backend_;
  Place place_;
  std::vector<kernels::Buffer> chunks_;
  std::size_t chunk_ = 0;  // in use
  std::int64_t used_ = 0;  // of it
};

}  // namespace sparseserve::live
