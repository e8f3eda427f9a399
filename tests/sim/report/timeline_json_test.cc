#include "sim/report/timeline_json.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace sparseserve::report {
namespace {

using nlohmann::json;
using serving::Lane;
using serving::Timeline;
using ::testing::ElementsAre;

Timeline Open() { return {SimTime(0), SimTime::Max(), 1000}; }

json ParsedTimeline(const std::vector<TimelineProcess>& processes) {
  return json::parse(TimelineJson(processes));
}

std::vector<json> Slices(const json& trace) {
  std::vector<json> slices;
  for (const json& event : trace["traceEvents"])
    if (event["ph"] == "X") slices.push_back(event);
  return slices;
}

TEST(TimelineJsonTest, SliceHasMicrosecondsWithNanosecondsBehindThePoint) {
  Timeline timeline = Open();
  timeline.Add(Lane::kCompute, "projection", SimTime(1'234'005), SimTime(1'234'505), 3);
  const std::string text = TimelineJson(std::vector<TimelineProcess>{{"replica 0", &timeline}});
  EXPECT_THAT(text,
              ::testing::HasSubstr(R"({"name":"projection","cat":"compute","ph":"X","ts":1234.005,)"
                                   R"("dur":0.500,"pid":0,"tid":1,"args":{"layer":3}})"));
}

TEST(TimelineJsonTest, SliceWithoutLayerHasNoArguments) {
  Timeline timeline = Open();
  timeline.Add(Lane::kH2d, "load", SimTime(0), SimTime(5));
  EXPECT_FALSE(Slices(ParsedTimeline({{"r", &timeline}}))[0].contains("args"));
}

TEST(TimelineJsonTest, LanesAreNamedThreadsInTheirOrder) {
  const Timeline timeline = Open();
  std::map<int, std::string> names;
  std::map<int, int> order;
  std::string process;
  const json trace = ParsedTimeline({{"replica \"0\"", &timeline}});
  for (const json& event : trace["traceEvents"]) {
    ASSERT_EQ(event["ph"], "M");
    if (event["name"] == "process_name") process = event["args"]["name"];
    if (event["name"] == "thread_name") names[event["tid"]] = event["args"]["name"];
    if (event["name"] == "thread_sort_index") order[event["tid"]] = event["args"]["sort_index"];
  }
  EXPECT_EQ(process, "replica \"0\"");
  using ::testing::Pair;
  EXPECT_THAT(names, ElementsAre(Pair(0, "scheduler"), Pair(1, "compute stream"),
                                 Pair(2, "H2D copy"), Pair(3, "D2H copy"), Pair(4, "CPU scatter")));
  EXPECT_THAT(order, ElementsAre(Pair(0, 0), Pair(1, 1), Pair(2, 2), Pair(3, 3), Pair(4, 4)));
}

TEST(TimelineJsonTest, ProcessesKeepApart) {
  Timeline predicted = Open();
  Timeline measured = Open();
  predicted.Add(Lane::kD2h, "save", SimTime(0), SimTime(5));
  measured.Add(Lane::kD2h, "save", SimTime(1), SimTime(6));
  const auto slices = Slices(ParsedTimeline({{"predicted", &predicted}, {"measured", &measured}}));
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_EQ(slices[0]["pid"], 0);
  EXPECT_EQ(slices[1]["pid"], 1);
}

// Slices come in any order and their ends are rounded apart from the next begin.
TEST(TimelineJsonTest, SlicesOfALaneDoNotOverlapAndAddUpToItsBusyTime) {
  Timeline timeline = Open();
  timeline.Add(Lane::kCompute, "c", SimTime(2500), SimTime(4000));
  timeline.Add(Lane::kCompute, "a", SimTime(1000), SimTime(2001));
  timeline.Add(Lane::kCompute, "b", SimTime(2000), SimTime(2500));
  timeline.Add(Lane::kH2d, "load", SimTime(500), SimTime(3000));
  std::map<int, double> free_at, busy;
  for (const json& slice : Slices(ParsedTimeline({{"r", &timeline}}))) {
    const int tid = slice["tid"];
    const double begin = slice["ts"];
    const double duration = slice["dur"];
    EXPECT_GE(begin, free_at[tid]);
    free_at[tid] = begin + duration;
    busy[tid] += duration;
  }
  EXPECT_DOUBLE_EQ(busy[1], 3.0);
  EXPECT_DOUBLE_EQ(busy[2], 2.5);
}

TEST(TimelineJsonDeathTest, LaneThatDoesTwoThingsAtOnceIsOurFault) {
  Timeline timeline = Open();
  timeline.Add(Lane::kCompute, "a", SimTime(1000), SimTime(2002));
  timeline.Add(Lane::kCompute, "b", SimTime(2000), SimTime(2500));
  EXPECT_DEATH(ParsedTimeline({{"r", &timeline}}), "two things at once");
}

TEST(TimelineJsonTest, SaysHowManySlicesWereDropped) {
  Timeline timeline(SimTime(0), SimTime::Max(), 1);
  for (int i = 0; i < 4; ++i)
    timeline.Add(Lane::kH2d, "load", SimTime(10 * i), SimTime(10 * i + 5));
  const json trace = ParsedTimeline({{"r", &timeline}});
  EXPECT_EQ(Slices(trace).size(), 1u);
  EXPECT_EQ(trace["otherData"]["dropped_slices"], 3);
  EXPECT_EQ(trace["displayTimeUnit"], "ms");
}

TEST(TimelineJsonTest, NoProcessIsStillATrace) {
  EXPECT_TRUE(ParsedTimeline({})["traceEvents"].empty());
}

}  // namespace
}  // namespace sparseserve::report
