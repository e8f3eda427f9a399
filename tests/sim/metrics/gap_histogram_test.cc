#include "sim/metrics/gap_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/core/rng.h"

namespace sparseserve::metrics {
namespace {

TimeParts Gap(std::int64_t host_ns, std::int64_t held_ns = 0) {
  TimeParts parts;
  parts[Part::kHost] = host_ns;
  parts[Part::kHeld] = held_ns;
  return parts;
}

double PartMs(const Breakdown& b, Part part) { return b.parts_ms[static_cast<std::size_t>(part)]; }

TEST(GapHistogramTest, AnEmptyOneHasNoSlowest) {
  const Breakdown slowest = GapHistogram().Slowest(0.01);
  EXPECT_EQ(slowest.samples, 0);
  EXPECT_EQ(slowest.mean_ms, 0);
}

// 990 gaps of 1 ms, 10 of 5 ms (4 of them held): the slowest 1 % are the ten.
TEST(GapHistogramTest, TheSlowestShareIsExactWhereItEndsBetweenBins) {
  GapHistogram gaps;
  gaps.Add(Gap(1'000'000), 990);
  gaps.Add(Gap(1'000'000, 4'000'000), 10);
  const Breakdown slowest = gaps.Slowest(0.01);
  EXPECT_EQ(slowest.samples, 10);
  EXPECT_DOUBLE_EQ(slowest.mean_ms, 5);
  EXPECT_DOUBLE_EQ(PartMs(slowest, Part::kHeld), 4);
  EXPECT_NEAR(slowest.from_ms, 5, 5.0 / 128);
  EXPECT_LE(slowest.from_ms, 5);
  const Breakdown all = gaps.Slowest(1);
  EXPECT_EQ(all.samples, 1000);
  EXPECT_DOUBLE_EQ(all.mean_ms, 1.04);
  EXPECT_DOUBLE_EQ(PartMs(all, Part::kHost), 1);
}

TEST(GapHistogramTest, OfTheBinInWhichTheShareEndsTheMeanIsTaken) {
  GapHistogram gaps;
  gaps.Add(Gap(1'000'000), 50);
  gaps.Add(Gap(0, 1'000'000), 50);  // of the same length
  const Breakdown slowest = gaps.Slowest(0.015);
  EXPECT_EQ(slowest.samples, 2);
  EXPECT_DOUBLE_EQ(slowest.mean_ms, 1);
  EXPECT_DOUBLE_EQ(PartMs(slowest, Part::kHost), 0.5);
}

// Two million gaps of 10,000 s: 2e19 ns, beyond 64 bits.
TEST(GapHistogramTest, SumsOfAnOverloadedRunDoNotOverflow) {
  constexpr std::int64_t kGap = 10'000'000'000'000;
  GapHistogram gaps;
  gaps.Add(Gap(kGap), 1'500'000);
  gaps.Add(Gap(kGap), 500'000);
  EXPECT_TRUE(gaps.Total().sum() == WideNs{kGap} * 2'000'000);
  EXPECT_DOUBLE_EQ(gaps.Slowest(1).mean_ms, 1e7);
}

TEST(GapHistogramTest, IsAsFineAsItSaysOverAllLengths) {
  RandomStream random(5, "gaps");
  GapHistogram gaps;
  std::vector<std::int64_t> lengths;
  std::int64_t total = 0;
  for (int i = 0; i < 5000; ++i) {
    const auto ns =
        static_cast<std::int64_t>(std::exp(random.Uniform() * 36));  // to 4e15: sums fit
    lengths.push_back(i % 100 == 0 ? i / 100 : ns);                  // some tiny ones
    total += lengths.back();
    gaps.Add(Gap(lengths.back()), 1);
  }
  EXPECT_EQ(gaps.num_gaps(), 5000);
  EXPECT_EQ(gaps.Total().sum(), total);
  std::sort(lengths.rbegin(), lengths.rend());
  for (const double share : {0.0002, 0.01, 0.1, 0.5, 0.9, 0.999}) {
    const Breakdown slowest = gaps.Slowest(share);
    const auto count = static_cast<std::size_t>(std::ceil(share * 5000));
    ASSERT_EQ(slowest.samples, static_cast<std::int64_t>(count));
    const double shortest_ms = static_cast<double>(lengths[count - 1]) * 1e-6;
    EXPECT_LE(slowest.from_ms, shortest_ms * (1 + 1e-12));
    EXPECT_GE(slowest.from_ms, shortest_ms * (1 - 1.0 / 128));
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(lengths[i]) * 1e-6;
    EXPECT_NEAR(slowest.mean_ms, sum / static_cast<double>(count), slowest.mean_ms / 128);
  }
}

}  // namespace
}  // namespace sparseserve::metrics
