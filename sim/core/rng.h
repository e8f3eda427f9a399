// Random numbers that are the same with every compiler, standard library and thread count.
//
// RandomStream is for workloads: a std::mt19937_64 (specified bit for bit) named by (seed, purpose,
// index), with Boost.Random distributions, because those of the standard library differ between
// libstdc++ and libc++. One stream per purpose, never shared, so that drawing more numbers for one
// purpose changes nothing for another.
//
// CounterRng is for hot loops: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), eight bytes of
// state, seeded from a hash of what the numbers are for. The numbers are then a pure function of
// that key: two runs which visit the same keys in another order still draw the same numbers.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>

namespace sparseserve {

class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0);

  double Uniform();                                           // in [0, 1)
  std::int64_t UniformInt(std::int64_t lo, std::int64_t hi);  // in [lo, hi], both ends included
  double Exponential(double mean);
  double Gamma(double shape, double scale);  // mean is shape * scale
  double Normal(double mean, double standard_deviation);
  std::uint64_t Bits() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

class CounterRng {
 public:
  constexpr explicit CounterRng(std::uint64_t key) : state_(key) {}

  constexpr std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // In [0, bound) for 0 < bound <= 2^32, by multiplication instead of division; the bias is below
  // bound / 2^32.
  constexpr std::uint32_t Below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((Next() >> 32) * std::uint64_t{bound}) >> 32);
  }
  constexpr double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }  // [0, 1)

 private:
  std::uint64_t state_;
};

}  // namespace sparseserve
