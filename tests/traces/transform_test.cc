#include "traces/transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/core/rng.h"
#include "tests/traces/test_traces.h"

namespace sparseserve::traces {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Counts what is read, to see how far a transform looks ahead.
class CountingStream : public RequestStream {
 public:
  CountingStream(std::unique_ptr<RequestStream> source, std::int64_t& num_read)
      : source_(std::move(source)), num_read_(num_read) {}
  std::optional<Request> Next() override {
    ++num_read_;
    return source_->Next();
  }

 private:
  std::unique_ptr<RequestStream> source_;
  std::int64_t& num_read_;
};

std::unique_ptr<RequestStream> StreamOf(const std::vector<std::pair<int, int>>& lengths) {
  std::vector<Request> requests;
  for (const auto& [prompt, output] : lengths) {
    const auto id = static_cast<std::int64_t>(requests.size());
    requests.push_back({id, SimTime(id), Tokens(prompt), Tokens(output)});
  }
  return std::make_unique<VectorStream>(std::move(requests));
}

TEST(TakeTest, EndsAfterTheFirstRequests) {
  EXPECT_THAT(ArrivalsNs(ReadAll(Take(StreamAt({1, 2, 3}), 2))), ElementsAre(1, 2));
  EXPECT_THAT(ArrivalsNs(ReadAll(Take(StreamAt({1, 2, 3}), 9))), ElementsAre(1, 2, 3));
  EXPECT_TRUE(ReadAll(Take(StreamAt({1, 2, 3}), 0)).empty());
}

TEST(TakeTest, ReadsNoFurtherThanAsked) {
  std::int64_t num_read = 0;
  ReadAll(Take(std::make_unique<CountingStream>(StreamAt({1, 2, 3}), num_read), 2));
  EXPECT_EQ(num_read, 2);
}

TEST(ScaleRateTest, DividesTimesAndKeepsTies) {
  EXPECT_THAT(ArrivalsNs(ReadAll(ScaleRate(StreamAt({0, 10, 10, 30}), 2))),
              ElementsAre(0, 5, 5, 15));
  EXPECT_THAT(ArrivalsNs(ReadAll(ScaleRate(StreamAt({0, 10, 30}), 0.5))), ElementsAre(0, 20, 60));
  // 2^53 + 1 is no double: a speed of 1 must not touch it.
  EXPECT_THAT(ArrivalsNs(ReadAll(ScaleRate(StreamAt({9'007'199'254'740'993}), 1))),
              ElementsAre(9'007'199'254'740'993));
}

TEST(ScaleRateTest, RejectsSpeedsOutOfRange) {
  for (const double speed : {0.0, -1.0, 1e7, std::nan("")}) {
    EXPECT_THAT(ErrorOf([&] { ScaleRate(StreamAt({0}), speed); }), HasSubstr("speed: "));
  }
  EXPECT_THAT(ErrorOf([] { ReadAll(ScaleRate(StreamAt({std::int64_t{1} << 60}), 0.5)); }),
              HasSubstr("more than 1e9 s"));
}

TEST(RedrawArrivalsTest, ReplacesTimesAndNothingElse) {
  const ArrivalOptions poisson{ArrivalKind::kPoisson, 4.0, 1.0};
  const auto requests = ReadAll(RedrawArrivals(StreamOf({{1, 2}, {3, 4}, {5, 6}}), poisson, 9));
  ExpectValid(requests);
  EXPECT_EQ(requests[2].prompt, Tokens(5));
  EXPECT_EQ(requests[2].output, Tokens(6));
  ArrivalClock clock(poisson, 9);
  for (const Request& request : requests) EXPECT_EQ(request.arrival, clock.Next());
}

TEST(RedrawArrivalsTest, AsRecordedChangesNothing) {
  ArrivalOptions options;
  options.kind = ArrivalKind::kAsRecorded;
  EXPECT_THAT(ArrivalsNs(ReadAll(RedrawArrivals(StreamAt({5, 7}), options, 1))), ElementsAre(5, 7));
}

TEST(SpreadTiesTest, SpreadsEachTickUpToTheNext) {
  EXPECT_THAT(ArrivalsNs(ReadAll(SpreadTies(StreamAt({0, 0, 0, 30, 30, 40})))),
              ElementsAre(0, 10, 20, 30, 35, 40));
}

TEST(SpreadTiesTest, TheLastTickTakesTheGapBeforeIt) {
  EXPECT_THAT(ArrivalsNs(ReadAll(SpreadTies(StreamAt({0, 8, 8, 8, 8})))),
              ElementsAre(0, 8, 10, 12, 14));
}

TEST(SpreadTiesTest, ASingleTickAndAnEmptyStreamStayAsTheyAre) {
  EXPECT_THAT(ArrivalsNs(ReadAll(SpreadTies(StreamAt({5, 5, 5})))), ElementsAre(5, 5, 5));
  EXPECT_TRUE(ReadAll(SpreadTies(StreamAt({}))).empty());
}

TEST(SpreadTiesTest, LongGapsAndManyTiesDoNotOverflow) {
  constexpr std::int64_t kGap = 1'000'000'000'000'000'000;
  std::vector<std::int64_t> ticks(20, 0);
  ticks.push_back(kGap);
  EXPECT_EQ(ReadAll(SpreadTies(StreamAt(ticks)))[19].arrival, SimTime(kGap / 20 * 19));
}

TEST(SpreadTiesTest, LooksOneTickAhead) {
  std::int64_t num_read = 0;
  auto spread = SpreadTies(std::make_unique<CountingStream>(StreamAt({0, 0, 1, 1, 2}), num_read));
  spread->Next();
  EXPECT_EQ(num_read, 3);
}

TEST(SpreadTiesTest, KeepsEveryRequestInItsTick) {
  RandomStream random(21, "ties");
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<std::int64_t> ticks;
    std::int64_t now = random.UniformInt(0, 3);
    for (int i = 0; i < 50; ++i) {
      ticks.push_back(now);
      if (random.UniformInt(0, 2) == 0) now += random.UniformInt(1, std::int64_t{1} << 50);
    }
    const auto requests = ReadAll(SpreadTies(StreamAt(ticks)));
    ASSERT_EQ(requests.size(), ticks.size());
    ExpectValid(requests);
    for (std::size_t i = 0; i < ticks.size(); ++i) {
      EXPECT_GE(requests[i].arrival.ns(), ticks[i]) << "seed 21, trial " << trial;
      const auto next = std::upper_bound(ticks.begin(), ticks.end(), ticks[i]);
      if (next == ticks.end()) continue;
      EXPECT_LT(requests[i].arrival.ns(), *next) << "trial " << trial;
    }
  }
}

TEST(LengthCapTest, CutsAndCounts) {
  LengthCapStream capped(StreamOf({{10, 5}, {20, 5}, {10, 9}, {20, 9}}), {Tokens(15), Tokens(6)});
  const auto requests = ReadAll(capped);
  ExpectValid(requests);
  ASSERT_EQ(requests.size(), 4U);
  EXPECT_EQ(requests[3].prompt, Tokens(15));
  EXPECT_EQ(requests[3].output, Tokens(6));
  EXPECT_EQ(requests[0].prompt, Tokens(10));
  EXPECT_EQ(capped.num_cut(), 3);
  EXPECT_EQ(capped.num_dropped(), 0);
}

TEST(LengthCapTest, DropsAndKeepsIdsDense) {
  LengthCapStream capped(StreamOf({{20, 5}, {15, 6}, {10, 9}, {1, 1}}),
                         {Tokens(15), Tokens(6), true});
  const auto requests = ReadAll(capped);
  ExpectValid(requests);
  EXPECT_THAT(ArrivalsNs(requests), ElementsAre(1, 3)) << "a length equal to the cap stays";
  EXPECT_EQ(capped.num_dropped(), 2);
  EXPECT_EQ(capped.num_cut(), 0);
}

TEST(LengthCapTest, ZeroIsNoCapAndNegativeAnError) {
  LengthCapStream open(StreamOf({{1000, 1000}}), {});
  EXPECT_EQ(ReadAll(open)[0].prompt, Tokens(1000));
  EXPECT_THAT(ErrorOf([] {
                LengthCapStream(StreamOf({}), {Tokens(0), Tokens(-1)});
              }),
              HasSubstr("max_output: is negative"));
}

TEST(SkipTest, TheFirstThatIsLeftArrivesAtZero) {
  const std::vector<Request> left = ReadAll(Skip(StreamAt({1, 2, 5, 5, 9}), 2));
  EXPECT_THAT(ArrivalsNs(left), ElementsAre(0, 0, 4));
  EXPECT_EQ(left[0].id, 0);
  EXPECT_EQ(left[2].id, 2);
  EXPECT_TRUE(ReadAll(Skip(StreamAt({1, 2}), 2)).empty());
}

}  // namespace
}  // namespace sparseserve::traces
