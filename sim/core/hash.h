// 64-bit hashes for seeds and fingerprints: portable, not for security.
#pragma once

#include <cstdint>
#include <string_view>

namespace sparseserve {

// The finaliser of SplitMix64: every input bit changes about half of the output bits.
constexpr std::uint64_t HashMix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

constexpr std::uint64_t HashCombine(std::uint64_t a, std::uint64_t b) {
  return HashMix(a + 0x9e3779b97f4a7c15ULL + HashMix(b));
}

// FNV-1a over the bytes, mixed.
constexpr std::uint64_t HashBytes(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return HashMix(h);
}

}  // namespace sparseserve
