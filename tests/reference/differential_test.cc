// The engine and the slow reference give the same log: every request's times, every iteration's
// batch, loads, bytes and times, on random small systems.
//
// SPARSESERVE_REFERENCE_CASES and SPARSESERVE_REFERENCE_SEED choose how many and which; the default
// is a sample, scripts/trust runs more. A difference is shrunk and printed with its seed.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tests/reference/random_case.h"
#include "tests/reference/simulate.h"

namespace sparseserve::reference {
namespace {

std::uint64_t current_seed = 0;

// A broken invariant of the engine aborts; say where.
void TellSeed(int) {
  std::fprintf(stderr, "the engine aborted; seed %llu\n",
               static_cast<unsigned long long>(current_seed));
  std::signal(SIGABRT, SIG_DFL);
}

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string Difference(const Case& c) {
  const SystemConfig config = ConfigOf(c);
  return Compare(Simulate(config, c.requests), RunEngine(config, c.requests));
}

// What the cases were made to provoke, so that a harmless generator is noticed.
struct Coverage {
  std::int64_t iterations = 0, loads = 0, evictions = 0, preemptions = 0, failed = 0;
  std::int64_t save_stalls = 0, load_stalls = 0, waits = 0;

  void Add(const Log& log) {
    evictions += log.evictions;
    for (const IterationLog& i : log.iterations) {
      ++iterations;
      loads += i.loads;
      save_stalls += i.save_stall > 0 ? 1 : 0;
      load_stalls += i.load_stall > 0 ? 1 : 0;
      waits += i.waiting > 0 ? 1 : 0;
    }
    for (const RequestLog& r : log.requests) {
      preemptions += r.preemptions;
      failed += r.failed ? 1 : 0;
    }
  }
};

TEST(ReferenceTest, TheEngineAndTheReferenceWriteTheSameLog) {
  const std::uint64_t cases = FromEnvironment("SPARSESERVE_REFERENCE_CASES", 1500);
  const std::uint64_t first = FromEnvironment("SPARSESERVE_REFERENCE_SEED", 1);
  std::signal(SIGABRT, TellSeed);
  Coverage seen;
  for (std::uint64_t seed = first; seed < first + cases; ++seed) {
    current_seed = seed;
    const Case c = RandomCase(seed);
    const SystemConfig config = ConfigOf(c);
    const Log expected = Simulate(config, c.requests);
    seen.Add(expected);
    if (Compare(expected, RunEngine(config, c.requests)).empty()) continue;
    const Case least = Shrink(c, [](const Case& other) { return !Difference(other).empty(); });
    FAIL() << "seed " << seed << ": " << Difference(least)
           << "\nin the smallest case found: " << Describe(least);
  }
  std::signal(SIGABRT, SIG_DFL);
  RecordProperty("cases", std::to_string(cases));
  std::printf(
      "%llu cases equal: %lld iterations, %lld loads, %lld evictions, %lld preemptions, "
      "%lld failed requests, %lld load stalls, %lld save stalls, %lld with a queue\n",
      static_cast<unsigned long long>(cases), static_cast<long long>(seen.iterations),
      static_cast<long long>(seen.loads), static_cast<long long>(seen.evictions),
      static_cast<long long>(seen.preemptions), static_cast<long long>(seen.failed),
      static_cast<long long>(seen.load_stalls), static_cast<long long>(seen.save_stalls),
      static_cast<long long>(seen.waits));
  if (cases < 100) return;
  EXPECT_GT(seen.loads, 0);
  EXPECT_GT(seen.evictions, 0);
  EXPECT_GT(seen.preemptions, 0);
  EXPECT_GT(seen.failed, 0);
  EXPECT_GT(seen.save_stalls, 0);
  EXPECT_GT(seen.load_stalls, 0);
}

}  // namespace
}  // namespace sparseserve::reference
