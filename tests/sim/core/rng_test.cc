#include "sim/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "sim/core/hash.h"

namespace sparseserve {
namespace {

// Published outputs of SplitMix64 for seed 1234567 (Vigna's reference code; Rosetta Code).
TEST(CounterRngTest, IsSplitMix64) {
  CounterRng rng(1234567);
  EXPECT_EQ(rng.Next(), 6457827717110365317ULL);
  EXPECT_EQ(rng.Next(), 3203168211198807973ULL);
  EXPECT_EQ(rng.Next(), 9817491932198370423ULL);
  EXPECT_EQ(rng.Next(), 4593380528125082431ULL);
  EXPECT_EQ(rng.Next(), 16408922859458223821ULL);
}

TEST(CounterRngTest, DerivedNumbersAreTheUpperBitsOfTheNext) {
  CounterRng rng(1234567), same(1234567);
  const std::uint64_t first = same.Next();
  EXPECT_EQ(rng.Below(1000), (first >> 32) * 1000 >> 32);
  EXPECT_EQ(rng.Uniform(), std::ldexp(static_cast<double>(same.Next() >> 11), -53));
}

TEST(CounterRngTest, BelowReachesEveryValueAndNoOther) {
  CounterRng rng(5);
  std::vector<int> counts(7);
  for (int i = 0; i < 7000; ++i) ++counts.at(rng.Below(7));
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);  // five standard deviations
}

// Recorded once with g++ 12 and Boost 1.74 on x86-64; any other compiler or library must agree.
TEST(RandomStreamTest, NumbersAreTheSameEverywhere) {
  RandomStream random(42, "golden", 3);
  EXPECT_EQ(random.Bits(), 16075670345166455075ULL);
  EXPECT_EQ(random.UniformInt(-10, 1000), 419);
  EXPECT_EQ(random.UniformInt(-10, 1000), 612);
  EXPECT_DOUBLE_EQ(random.Uniform(), 0.45142872101992038);
  EXPECT_DOUBLE_EQ(random.Exponential(2.5), 0.2349628931282885);
  EXPECT_DOUBLE_EQ(random.Gamma(0.5, 3), 7.5326292368438583);
  EXPECT_DOUBLE_EQ(random.Normal(10, 2), 9.1850474093310552);
  EXPECT_EQ(random.Bits(), 17993881171887198667ULL);
}

TEST(HashTest, ValuesAreTheSameEverywhere) {
  static_assert(HashMix(0) == 0);
  EXPECT_EQ(HashMix(0x9e3779b97f4a7c15ULL), 0xe220a8397b1dcdafULL);  // SplitMix64 of seed 0
  EXPECT_EQ(HashBytes(""), HashMix(0xcbf29ce484222325ULL));          // the FNV-1a offset
  EXPECT_EQ(HashBytes("a"), HashMix(0xaf63dc4c8601ec8cULL));         // FNV-1a of "a"
  EXPECT_NE(HashCombine(1, 2), HashCombine(2, 1));
}

TEST(RandomStreamTest, SeedPurposeAndIndexEachNameAnotherStream) {
  std::set<std::uint64_t> first;
  for (const std::uint64_t seed : {1, 2})
    for (const char* purpose : {"arrivals", "lengths"})
      for (const std::uint64_t index : {0, 1})
        first.insert(RandomStream(seed, purpose, index).Bits());
  EXPECT_EQ(first.size(), 8u);
}

TEST(RandomStreamTest, DrawingForOnePurposeChangesNothingForAnother) {
  RandomStream alone(9, "lengths");
  RandomStream arrivals(9, "arrivals"), lengths(9, "lengths");
  for (int i = 0; i < 50; ++i) {
    for (int k = 0; k < i; ++k) arrivals.Exponential(1);
    EXPECT_EQ(lengths.Bits(), alone.Bits());
  }
}

// Bits of streams that differ in purpose only agree in half of their positions: 64,000 fair coins,
// standard deviation 126.5.
TEST(RandomStreamTest, StreamsOfTwoPurposesAreUncorrelated) {
  RandomStream a(9, "arrivals"), b(9, "lengths");
  std::int64_t equal_bits = 0;
  for (int i = 0; i < 1000; ++i) equal_bits += __builtin_popcountll(~(a.Bits() ^ b.Bits()));
  EXPECT_NEAR(static_cast<double>(equal_bits), 32000, 5 * 126.5);
}

TEST(RandomStreamTest, DistributionsHaveTheirMeans) {
  RandomStream random(11, "means");
  constexpr int kCount = 20000;
  double exponential = 0, gamma = 0, normal = 0, squares = 0, integers = 0;
  for (int i = 0; i < kCount; ++i) {
    exponential += random.Exponential(4);
    gamma += random.Gamma(2, 3);
    const double x = random.Normal(5, 2);
    normal += x;
    squares += (x - 5) * (x - 5);
    integers += static_cast<double>(random.UniformInt(1, 6));
  }
  const double root = std::sqrt(kCount);  // five standard errors each
  EXPECT_NEAR(exponential / kCount, 4, 5 * 4 / root);
  EXPECT_NEAR(gamma / kCount, 6, 5 * 3 * std::sqrt(2.0) / root);
  EXPECT_NEAR(normal / kCount, 5, 5 * 2 / root);
  EXPECT_NEAR(squares / kCount, 4, 5 * 4 * std::sqrt(2.0) / root);
  EXPECT_NEAR(integers / kCount, 3.5, 5 * 1.708 / root);
}

}  // namespace
}  // namespace sparseserve
