#include "kernels/bench/rounds.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/rng.h"

namespace sparseserve::bench {
namespace {

using calibration::Work;

// A machine without a device: a call takes a microsecond an item, with noise, and for a while
// everything takes twice as long. Its clock moves with the calls.
class SyntheticMachine {
 public:
  explicit SyntheticMachine(double noise) : noise_(noise) {}

  Sampler MakeSampler() {
    return {[](const Call&) { return std::int64_t{1}; },
            [this](const Call& call, std::int64_t) { return Run(call); }, [this] { return now_; },
            [this] { return cancelled_; }};
  }
  void SlowDown(Seconds begin, Seconds end) {
    slow_begin_ = begin;
    slow_end_ = end;
  }
  void Cancel() { cancelled_ = true; }
  Seconds now() const { return now_; }

 private:
  Seconds Run(const Call& call) {
    double time = 1e-6 * static_cast<double>(call.work.items);
    time *= 1 + noise_ * std::abs(random_.Normal(0, 1));
    if (slow_begin_ <= now_ && now_ < slow_end_) time *= 2;
    now_ += Seconds(time);
    return Seconds(time);
  }

  const double noise_;
  bool cancelled_ = false;
  Seconds now_;
  Seconds slow_begin_;
  Seconds slow_end_;
  RandomStream random_{5, "machine"};
};

Point MakePoint(std::int64_t items, bool required = false) {
  Point point;
  point.call.operation = "gemm";
  point.call.work = Work::Fragments(items, Bytes(64));
  point.required = required;
  return point;
}

constexpr StoppingRule kRule{7, 200, 0.02};
constexpr Seconds kForever{1e9};

TEST(RoundsTest, SamplesUntilEveryMedianIsPrecise) {
  SyntheticMachine machine(0.02);
  Rounds rounds(machine.MakeSampler(), kRule);
  for (const std::int64_t items : {10, 100, 1000}) rounds.Add(MakePoint(items));
  while (!rounds.AllDone()) ASSERT_TRUE(rounds.Run(kForever));
  for (const auto& point : rounds.points()) {
    const auto measurement = ToMeasurement(*point, kRule);
    EXPECT_FALSE(measurement.noisy);
    EXPECT_GE(measurement.num_samples, kRule.min_samples);
    EXPECT_NEAR(measurement.median.value() / (1e-6 * static_cast<double>(point->call.work.items)),
                1.0, 0.05);
    EXPECT_LE(measurement.lower_quartile, measurement.median);
    EXPECT_GE(measurement.upper_quartile, measurement.median);
  }
}

// The slow phase lasts for two of the rounds. Every point has some slow samples, none has only slow
// ones, so no median moves; the drift tells.
TEST(RoundsTest, SlowPhaseOfTheMachineMovesNoMedian) {
  SyntheticMachine machine(0.001);
  Rounds rounds(machine.MakeSampler(), {16, 16, 0});
  constexpr int kPoints = 10;
  for (int i = 0; i < kPoints; ++i) rounds.Add(MakePoint(100));
  const Seconds round(2 * kPoints * 100e-6);  // two samples each
  machine.SlowDown(round * 2.0, round * 4.0);
  while (!rounds.AllDone()) rounds.Run(kForever);
  for (const auto& point : rounds.points()) {
    EXPECT_NEAR(point->median().value(), 100e-6, 2e-6);
  }
  EXPECT_GT(rounds.Drift(), 0.5);
}

// Precise within the first minute, when the machine was slow: revisits bring the other minutes in.
TEST(RoundsTest, RevisitsSeeWhatThePreciseDidNot) {
  SyntheticMachine machine(0.001);
  Rounds rounds(machine.MakeSampler(), kRule);
  constexpr int kPoints = 10;
  for (int i = 0; i < kPoints; ++i) rounds.Add(MakePoint(100));
  machine.SlowDown(Seconds(0), Seconds(2 * kPoints * 4 * 200e-6));  // four rounds
  while (!rounds.AllDone()) ASSERT_TRUE(rounds.Run(kForever));
  EXPECT_FALSE(rounds.Run(kForever));  // nothing to do
  for (const auto& point : rounds.points()) EXPECT_NEAR(point->median().value(), 200e-6, 4e-6);
  EXPECT_LT(rounds.Drift(), 0.01);  // none that it could see
  const std::size_t before = rounds.points().front()->samples.size();

  for (int i = 0; i < 8; ++i) ASSERT_TRUE(rounds.Revisit(kForever));
  for (const auto& point : rounds.points()) {
    EXPECT_EQ(point->samples.size(), before + 16);
    EXPECT_NEAR(point->median().value(), 100e-6, 2e-6);
  }
  EXPECT_GT(rounds.Drift(), 0.5);
  EXPECT_FALSE(rounds.Revisit(machine.now()));  // time is out
}

TEST(RoundsTest, NoDriftOnASteadyMachine) {
  SyntheticMachine machine(0.001);
  Rounds rounds(machine.MakeSampler(), kRule);
  for (int i = 0; i < 10; ++i) rounds.Add(MakePoint(100));
  while (!rounds.AllDone()) rounds.Run(kForever);
  EXPECT_LT(rounds.Drift(), 0.01);
}

TEST(RoundsTest, HonoursTheDeadlineAndMarksWhatIsNoisy) {
  SyntheticMachine machine(0.5);
  Rounds rounds(machine.MakeSampler(), {7, 100000, 1e-4});
  for (int i = 0; i < 5; ++i) rounds.Add(MakePoint(1000));
  const Seconds deadline(0.2);
  while (rounds.Run(deadline)) {
  }
  EXPECT_GE(machine.now(), deadline);
  EXPECT_LT(machine.now(), deadline + Seconds(0.01));
  for (const auto& point : rounds.points()) EXPECT_TRUE(ToMeasurement(*point, kRule).noisy);
}

TEST(RoundsTest, RequiredPointsAreSampledEvenWithoutTime) {
  SyntheticMachine machine(0);
  Rounds rounds(machine.MakeSampler(), kRule);
  rounds.Add(MakePoint(100));
  rounds.Add(MakePoint(100, true));
  EXPECT_FALSE(rounds.Run(Seconds(0)));
  EXPECT_TRUE(rounds.points()[0]->samples.empty());
  EXPECT_EQ(rounds.points()[1]->samples.size(), 1u);
}

TEST(RoundsTest, CancellingStopsAtOnce) {
  SyntheticMachine machine(0);
  Rounds rounds(machine.MakeSampler(), kRule);
  rounds.Add(MakePoint(100, true));
  machine.Cancel();
  EXPECT_FALSE(rounds.Run(kForever));
  EXPECT_TRUE(rounds.points()[0]->samples.empty());
}

}  // namespace
}  // namespace sparseserve::bench
