#include "sim/core/rng.h"

#include <boost/random/exponential_distribution.hpp>
#include <boost/random/gamma_distribution.hpp>
#include <boost/random/normal_distribution.hpp>
#include <boost/random/uniform_int_distribution.hpp>

#include "sim/core/hash.h"

namespace sparseserve {

RandomStream::RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t index)
    : engine_(HashCombine(HashCombine(seed, HashBytes(purpose)), index)) {}

double RandomStream::Uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

std::int64_t RandomStream::UniformInt(std::int64_t lo, std::int64_t hi) {
  return boost::random::uniform_int_distribution<std::int64_t>(lo, hi)(engine_);
}

double RandomStream::Exponential(double mean) {
  return boost::random::exponential_distribution<double>(1.0 / mean)(engine_);
}

double RandomStream::Gamma(double shape, double scale) {
  return boost::random::gamma_distribution<double>(shape, scale)(engine_);
}

double RandomStream::Normal(double mean, double standard_deviation) {
  return boost::random::normal_distribution<double>(mean, standard_deviation)(engine_);
}

}  // namespace sparseserve
