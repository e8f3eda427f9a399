#include "sim/metrics/packed_parts.h"

#include <gtest/gtest.h>

#include <vector>

#include "sim/core/rng.h"

namespace sparseserve::metrics {
namespace {

// Values of up to `bits` bits in a random half of the parts.
TimeParts RandomParts(CounterRng& rng, std::uint32_t bits) {
  TimeParts parts;
  for (std::int64_t& ns : parts.ns) {
    if (rng.Below(2) == 0) ns = static_cast<std::int64_t>(rng.Next() >> (64 - 1 - rng.Below(bits)));
  }
  return parts;
}

TEST(PackedPartsTest, ComeOutAsTheyWentInHoweverLong) {
  CounterRng rng(1);
  PackedParts reused;
  EXPECT_EQ(reused.Unpack().ns, TimeParts{}.ns);
  std::vector<PackedParts> kept;
  std::vector<TimeParts> expected;
  for (int i = 0; i < 20'000; ++i) {
    const TimeParts parts = RandomParts(rng, i % 2 == 0 ? 30 : 63);
    reused.Pack(parts);
    ASSERT_EQ(reused.Unpack().ns, parts.ns) << i;
    kept.push_back(reused);  // moves when it grows
    expected.push_back(parts);
  }
  kept[1] = kept[2];
  expected[1] = expected[2];
  std::swap(kept[3], kept[4]);
  std::swap(expected[3], expected[4]);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    ASSERT_EQ(kept[i].Unpack().ns, expected[i].ns) << i;
  }
}

TEST(PackedPartsTest, TheLongestThatFitAndOneMoreByte) {
  TimeParts parts;
  for (std::size_t i = 0; i < 5; ++i) parts.ns[i] = (std::int64_t{1} << 42) - 1;  // six bytes each
  PackedParts packed;
  packed.Pack(parts);
  EXPECT_EQ(packed.Unpack().ns, parts.ns);
  parts[Part::kRecompute] = 1;
  packed.Pack(parts);
  EXPECT_EQ(packed.Unpack().ns, parts.ns);
}

}  // namespace
}  // namespace sparseserve::metrics
