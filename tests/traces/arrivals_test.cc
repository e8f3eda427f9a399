#include "traces/arrivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/traces/test_traces.h"

namespace sparseserve::traces {
namespace {

using ::testing::HasSubstr;

struct GapMoments {
  double mean = 0;
  double cv = 0;
};

GapMoments MeasureGaps(const ArrivalOptions& options, int num_gaps) {
  ArrivalClock clock(options, 42);
  double sum = 0;
  double squares = 0;
  SimTime last;
  for (int i = 0; i < num_gaps; ++i) {
    const SimTime now = clock.Next();
    const double gap = (now - last).value();
    sum += gap;
    squares += gap * gap;
    last = now;
  }
  const double mean = sum / num_gaps;
  return {mean, std::sqrt(squares / num_gaps - mean * mean) / mean};
}

TEST(ArrivalClockTest, ConstantGapsAreEqual) {
  ArrivalClock clock({ArrivalKind::kConstant, 4.0, 1.0}, 1);
  EXPECT_EQ(clock.Next(), SimTime(250'000'000));
  EXPECT_EQ(clock.Next(), SimTime(500'000'000));
}

// Standard errors over n gaps: mean cv / sqrt(n); the bounds are five of them. The cv of a Poisson
// process has a standard error of about 1 / sqrt(n).
TEST(ArrivalClockTest, PoissonGapsHaveTheirMeanAndCv) {
  constexpr int kNumGaps = 100'000;
  const auto gaps = MeasureGaps({ArrivalKind::kPoisson, 5.0, 1.0}, kNumGaps);
  EXPECT_NEAR(gaps.mean * 5.0, 1.0, 5 / std::sqrt(kNumGaps));
  EXPECT_NEAR(gaps.cv, 1.0, 5 / std::sqrt(kNumGaps));
}

TEST(ArrivalClockTest, GammaGapsHaveTheirMeanAndCv) {
  constexpr int kNumGaps = 200'000;
  for (const double cv : {0.25, 1.0, 3.0}) {
    const auto gaps = MeasureGaps({ArrivalKind::kGamma, 2.0, cv}, kNumGaps);
    EXPECT_NEAR(gaps.mean * 2.0, 1.0, 5 * cv / std::sqrt(kNumGaps)) << cv;
    EXPECT_NEAR(gaps.cv / cv, 1.0, 0.05) << cv;
  }
}

// P(gap > mean) = 1/e tells an exponential from other laws with cv 1.
TEST(ArrivalClockTest, PoissonGapsAreExponential) {
  ArrivalClock clock({ArrivalKind::kPoisson, 1.0, 1.0}, 3);
  int longer = 0;
  SimTime last;
  for (int i = 0; i < 100'000; ++i) {
    const SimTime now = clock.Next();
    longer += (now - last).value() > 1.0 ? 1 : 0;
    last = now;
  }
  EXPECT_NEAR(longer / 1e5, std::exp(-1.0), 5 * std::sqrt(0.368 * 0.632 / 1e5));
}

TEST(ArrivalClockTest, AnotherRateStretchesTheSameTimes) {
  for (const auto kind : {ArrivalKind::kPoisson, ArrivalKind::kGamma}) {
    ArrivalClock slow({kind, 1.0, 2.0}, 6);
    ArrivalClock fast({kind, 4.0, 2.0}, 6);
    for (int i = 1; i <= 1000; ++i) {  // each gap is rounded by 0.5 ns at most
      EXPECT_NEAR(slow.Next().seconds(), 4.0 * fast.Next().seconds(), i * 2.5e-9);
    }
  }
}

TEST(ArrivalClockTest, SeedsDiffer) {
  ArrivalClock a({ArrivalKind::kPoisson, 1.0, 1.0}, 1);
  ArrivalClock again({ArrivalKind::kPoisson, 1.0, 1.0}, 1);
  ArrivalClock b({ArrivalKind::kPoisson, 1.0, 1.0}, 2);
  const SimTime first = a.Next();
  EXPECT_EQ(first, again.Next());
  EXPECT_NE(first, b.Next());
}

TEST(ArrivalClockTest, RejectsOptionsOutOfRange) {
  const auto error = [](ArrivalKind kind, double rate, double cv) {
    return ErrorOf([&] { ArrivalClock({kind, rate, cv}, 1); });
  };
  EXPECT_THAT(error(ArrivalKind::kAsRecorded, 1, 1), HasSubstr("arrivals: there are no recorded"));
  EXPECT_THAT(error(ArrivalKind::kPoisson, 0, 1), HasSubstr("workload.rate: "));
  EXPECT_THAT(error(ArrivalKind::kPoisson, -3, 1), HasSubstr("workload.rate: "));
  EXPECT_THAT(error(ArrivalKind::kPoisson, std::nan(""), 1), HasSubstr("workload.rate: "));
  EXPECT_THAT(error(ArrivalKind::kGamma, 1, 0), HasSubstr("workload.cv: "));
  ArrivalClock slow({ArrivalKind::kConstant, 1e-6, 1}, 1);
  EXPECT_THAT(ErrorOf([&] {
                while (true) slow.Next();
              }),
              HasSubstr("more than 1e9 s"));
}

}  // namespace
}  // namespace sparseserve::traces
