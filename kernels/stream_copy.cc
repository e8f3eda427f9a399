#include "kernels/stream_copy.h"

#include <algorithm>
#include <cstring>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace sparseserve::kernels {

// SSE2 is part of every x86-64; 32-byte stores gain little, since what leaves the core is a whole
// line either way.
#ifdef __SSE2__
namespace {

template <int kBytes>
[[gnu::always_inline]] inline void StreamUnit(std::byte* destination, const std::byte* source) {
  __m128i values[kBytes / 16];
  for (int i = 0; i < kBytes / 16; ++i) {
    values[i] = _mm_load_si128(reinterpret_cast<const __m128i*>(source) + i);
  }
  for (int i = 0; i < kBytes / 16; ++i) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(destination) + i, values[i]);
  }
}

void Prefetch(const std::byte* address) {
  _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T0);
}

}  // namespace

void StreamCopy(std::byte* destination, const std::byte* source, std::int64_t size) {
  std::int64_t i = 0;
  for (; i + 64 <= size; i += 64) StreamUnit<64>(destination + i, source + i);
  for (; i < size; i += 16) StreamUnit<16>(destination + i, source + i);
}

void StreamCopyPair(const CopyPiece& a, const CopyPiece& b, const std::byte* next_a,
                    const std::byte* next_b) {
  const std::int64_t paired = std::min(a.size, b.size) / 128 * 128;
  for (std::int64_t i = 0; i < paired; i += 128) {
    Prefetch(next_a + i);
    Prefetch(next_a + i + 64);
    StreamUnit<128>(a.destination + i, a.source + i);
    Prefetch(next_b + i);
    Prefetch(next_b + i + 64);
    StreamUnit<128>(b.destination + i, b.source + i);
  }
  StreamCopy(a.destination + paired, a.source + paired, a.size - paired);
  StreamCopy(b.destination + paired, b.source + paired, b.size - paired);
}

void FenceStreamCopies() { _mm_sfence(); }

#else

void StreamCopy(std::byte* destination, const std::byte* source, std::int64_t size) {
  std::memcpy(destination, source, static_cast<std::size_t>(size));
}

void StreamCopyPair(const CopyPiece& a, const CopyPiece& b, const std::byte* /*next_a*/,
                    const std::byte* /*next_b*/) {
  StreamCopy(a.destination, a.source, a.size);
  StreamCopy(b.destination, b.source, b.size);
}

void FenceStreamCopies() {}

#endif

}  // namespace sparseserve::kernels
