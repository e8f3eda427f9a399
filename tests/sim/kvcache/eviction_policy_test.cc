// Every policy against the plain, slow form of it: the same loads and evictions at every step.
#include "sim/kvcache/eviction_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/error.h"
#include "tests/sim/kvcache/random_stream.h"

namespace sparseserve::kvcache {
namespace {

class EvictionPolicyTest : public testing::TestWithParam<std::string> {};

KvCacheConfig RandomConfig(CounterRng& rng, const std::string& eviction) {
  return {.num_layers = 1 + rng.Below(3),
          .heads = 1 + rng.Below(3),
          .hbm_slots = 10 + rng.Below(120),
          .dram_blocks = 100,
          .working_set_window = 1 + rng.Below(5),
          .eviction = eviction};
}

TEST_P(EvictionPolicyTest, LoadsAndEvictsAsItsPlainFormOnRandomStreams) {
  std::int64_t loads = 0, evictions = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CounterRng rng(seed);
    const KvCacheConfig config = RandomConfig(rng, GetParam());
    KvCache cache(config);
    ReferenceCache reference(config);
    RandomStream stream({.seed = seed, .max_selected = 1 + rng.Below(12)}, config, cache,
                        &reference);
    for (int step = 0; step < 80 && !HasFailure(); ++step) stream.Step();
    ASSERT_FALSE(HasFailure());
    loads += cache.stats().loads;
    evictions += cache.stats().evictions;
  }
  EXPECT_GT(loads, 5000) << "the streams exercise nothing";
  EXPECT_GT(evictions, 5000) << "the streams exercise nothing";
}

// Units of more than one word of bits, and no capacity to spare.
TEST_P(EvictionPolicyTest, LoadsAndEvictsAsItsPlainFormOnLongContexts) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const KvCacheConfig config{.num_layers = 2,
                               .heads = 5,
                               .hbm_slots = 230,
                               .dram_blocks = 300,
                               .working_set_window = 3,
                               .eviction = GetParam()};
    KvCache cache(config);
    ReferenceCache reference(config);
    RandomStream stream(
        {.seed = seed, .max_requests = 3, .max_prompt_blocks = 40, .max_selected = 60}, config,
        cache, &reference);
    for (int step = 0; step < 40 && !HasFailure(); ++step) stream.Step();
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(All, EvictionPolicyTest, testing::ValuesIn(EvictionPolicyNames()),
                         [](const auto& test_info) {
                           std::string name = test_info.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(EvictionPolicyRegistryTest, AnUnknownNameIsRefusedWithTheKnownOnesAndTheClosest) {
  try {
    KvCache cache({.num_layers = 1, .heads = 1, .hbm_slots = 1, .eviction = "seive"});
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_EQ(error.problem().key, "eviction");
    EXPECT_EQ(error.problem().expected, "lru, fifo, clock, sieve, s3-fifo, layer-cyclic");
    EXPECT_THAT(error.what(), testing::HasSubstr("did you mean sieve?"));
  }
}

}  // namespace
}  // namespace sparseserve::kvcache
