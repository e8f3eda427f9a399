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

std::vector<json> EventsOf(const json& trace, const std::string& phases) {
  std::vector<json> events;
  for (const json& event : trace["traceEvents"])
    if (phases.find(event["ph"].get<std::string>()) != std::string::npos) events.push_back(event);
  return events;
}

TEST(TimelineJsonTest, ARequestHoldsItsPhasesClippedToTheWindow) {
  using serving::RequestPhase;
  Timeline timeline(SimTime(1000), SimTime(9000), 100);
  timeline.BeginRequest(7, Tokens(12), SimTime(0));
  timeline.BeginRequest(8, Tokens(5), SimTime(9500));  // after the window
  timeline.BeginPhase(7, RequestPhase::kPrefill, SimTime(2000));
  timeline.BeginPhase(7, RequestPhase::kPrefill, SimTime(3000));  // the same phase goes on
  timeline.BeginPhase(7, RequestPhase::kDecode, SimTime(4000));
  timeline.EndRequest(7, SimTime(12000));
  timeline.EndRequest(8, SimTime(13000));
  const auto events = EventsOf(ParsedTimeline({{"r", &timeline}}), "be");
  std::vector<std::string> seen;
  std::vector<std::string> open;  // events of one id nest
  for (const json& event : events) {
    EXPECT_EQ(event["cat"], "request");
    EXPECT_EQ(event["id2"]["local"], "7");
    const std::string name = event["name"];
    if (event["ph"] == "b") {
      open.push_back(name);
    } else {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open.back(), name);
      open.pop_back();
    }
    seen.push_back(event["ph"].get<std::string>() + " " + name + " " + event["ts"].dump());
  }
  EXPECT_THAT(open, ::testing::IsEmpty());
  EXPECT_THAT(seen,
              ElementsAre("b request 7 1.0", "b queue 1.0", "e queue 2.0", "b prefill 2.0",
                          "e prefill 4.0", "b decode 4.0", "e decode 9.0", "e request 7 9.0"));
  EXPECT_EQ(events[0]["args"]["prompt_tokens"], 12);
  EXPECT_EQ(events[0]["args"]["first_phase_begin_s"], 0);
  EXPECT_EQ(events[0]["args"]["last_phase_end_s"], 0.000012);
}

TEST(TimelineJsonTest, AnArrowLeadsFromALoadToTheAttentionOfItsLayer) {
  Timeline timeline = Open();
  timeline.Add(Lane::kH2d, serving::kLoadSlice, SimTime(1000), SimTime(3000), 0);
  timeline.Add(Lane::kH2d, serving::kLoadSlice, SimTime(3000), SimTime(6000), 1);
  timeline.Add(Lane::kH2d, serving::kLoadSlice, SimTime(8000), SimTime(9000), 0);  // never used
  timeline.Add(Lane::kCompute, serving::kDecodeAttentionSlice, SimTime(500), SimTime(900), 0);
  timeline.Add(Lane::kCompute, "prefill attention", SimTime(3000), SimTime(3500), 0);
  timeline.Add(Lane::kCompute, serving::kDecodeAttentionSlice, SimTime(3500), SimTime(4000), 0);
  timeline.Add(Lane::kCompute, serving::kDecodeAttentionSlice, SimTime(6000), SimTime(7000), 1);
  std::vector<std::string> seen;
  for (const json& event : EventsOf(ParsedTimeline({{"r", &timeline}}), "sf")) {
    seen.push_back(event["ph"].get<std::string>() + event["id"].dump() + " " + event["ts"].dump() +
                   " tid " + event["tid"].dump());
    EXPECT_EQ(event.value("bp", ""), event["ph"] == "f" ? "e" : "");
  }
  EXPECT_THAT(seen,
              ElementsAre("s0 2.999 tid 2", "f0 3.5 tid 1", "s1 5.999 tid 2", "f1 6.0 tid 1"));
}

TEST(TimelineJsonTest, CountersFollowTheIterations) {
  Timeline timeline = Open();
  metrics::IterationRecord it;
  it.begin = SimTime(1000);
  it.end = SimTime(2000);
  it.num_decodes = 3;
  it.num_prefills = 1;
  it.num_waiting = 5;
  it.hbm_used = Bytes(100);
  it.dram_used = Bytes(200);
  it.block_loads = 1;
  it.block_touches = 4;
  timeline.AddIteration(it);
  it.begin = SimTime(4000);  // nothing runs in between
  it.end = SimTime(5000);
  it.block_touches = it.block_loads = 0;
  timeline.AddIteration(it);
  std::map<std::string, std::vector<std::string>> seen;
  for (const json& event : EventsOf(ParsedTimeline({{"r", &timeline}}), "C"))
    seen[event["name"]].push_back(event["ts"].dump() + event["args"].dump());
  EXPECT_THAT(seen["batch"],
              ElementsAre(R"(1.0{"decodes":3,"prefills":1})", R"(2.0{"decodes":0,"prefills":0})",
                          R"(4.0{"decodes":3,"prefills":1})", R"(5.0{"decodes":0,"prefills":0})"));
  EXPECT_THAT(seen["queue"], ElementsAre(R"(1.0{"requests":5})", R"(4.0{"requests":5})"));
  EXPECT_THAT(seen["HBM used"], ElementsAre(R"(2.0{"bytes":100})", R"(5.0{"bytes":100})"));
  EXPECT_THAT(seen["DRAM used"], ElementsAre(R"(2.0{"bytes":200})", R"(5.0{"bytes":200})"));
  EXPECT_THAT(seen["hit rate"], ElementsAre(R"(2.0{"%":75})"));
}

TEST(TimelineTest, ASliceThatTakesLongerEndsLater) {
  Timeline timeline(SimTime(0), SimTime(100), 10);
  timeline.Add(Lane::kD2h, "save", SimTime(0), SimTime(10));
  timeline.Add(Lane::kH2d, "load", SimTime(0), SimTime(10));
  timeline.ExtendLast(Lane::kD2h, SimTime(15));
  timeline.Add(Lane::kD2h, "save", SimTime(200), SimTime(210));  // outside, and so is its end
  timeline.ExtendLast(Lane::kD2h, SimTime(220));
  ASSERT_EQ(timeline.slices().size(), 2u);
  EXPECT_EQ(timeline.slices()[0].end, SimTime(15));
  EXPECT_EQ(timeline.slices()[1].end, SimTime(10));
}

TEST(TimelinesTest, ReplicasShareTheBound) {
  serving::Timelines timelines(SimTime(0), SimTime::Max(), 10);
  timelines.Begin(2);
  for (int i = 0; i < 20; ++i)
    timelines.of(1).Add(Lane::kH2d, "load", SimTime(10 * i), SimTime(10 * i + 5));
  EXPECT_EQ(timelines.of(1).slices().size(), 5u);
  EXPECT_EQ(timelines.of(1).dropped(), 15);
  EXPECT_EQ(timelines.of(0).dropped(), 0);
}

TEST(TimelineJsonTest, NoProcessIsStillATrace) {
  EXPECT_TRUE(ParsedTimeline({})["traceEvents"].empty());
}

}  // namespace
}  // namespace sparseserve::report
