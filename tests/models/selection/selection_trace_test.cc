#include "models/selection/selection_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>

#include "models/selection/locality_model.h"
#include "models/selection/recording_model.h"
#include "models/selection/replay_model.h"
#include "sim/core/error.h"

namespace sparseserve::selection {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr TraceGeometry kGeometry{3, 4, 32};

// A directory of this process, removed at its end.
struct Scratch {
  Scratch() { std::filesystem::create_directories(path); }
  ~Scratch() { std::filesystem::remove_all(path); }
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / ("selection_trace_" + std::to_string(::getpid()));
};

std::string PathFor(const std::string& name) {
  static const Scratch scratch;
  return (scratch.path / name).string();
}

SelectionDelta Sorted(SelectionDelta delta) {
  std::sort(delta.added.begin(), delta.added.end());
  std::sort(delta.removed.begin(), delta.removed.end());
  return delta;
}

SelectionDelta StepOf(SelectionModel& model, RequestIndex request, std::int64_t layer,
                      std::int64_t context) {
  SelectionDelta delta;
  model.Step(request, layer, context, delta);
  return Sorted(delta);
}

// A recording in one layer of one head, whose steps are given.
std::string Record(const std::string& name, std::int64_t prompt,
                   const std::vector<std::pair<std::int64_t, SelectionDelta>>& steps) {
  const std::string path = PathFor(name);
  SelectionTraceWriter writer(path, {1, 1, 32});
  const std::size_t recording = writer.Begin(42, prompt);
  for (const auto& [context, delta] : steps)
    writer.AppendStep(recording, context, std::vector<SelectionDelta>{delta});
  writer.Finish();
  return path;
}

TEST(SelectionTraceTest, ReplayRepeatsWhatALocalityModelDid) {
  const std::string path = PathFor("round_trip");
  constexpr int kRequests = 3, kSteps = 80;
  std::vector<SelectionDelta> deltas;
  const auto context = [](int request, int step) { return 60 + 40 * request + step / 3; };
  const auto run = [&](SelectionModel& model, bool reversed_layers, auto&& use) {
    for (int r = 0; r < kRequests; ++r) model.BeginRequest(r, 100 + r, 60 + 40 * r);
    for (int step = 0; step < kSteps; ++step)
      for (std::int64_t l = 0; l < kGeometry.num_layers; ++l)
        for (int r = 0; r < kRequests; ++r) {
          const std::int64_t layer = reversed_layers ? kGeometry.num_layers - 1 - l : l;
          use(StepOf(model, r, layer, context(r, step)), step, r, layer);
        }
    for (int r = 0; r < kRequests; ++r) model.EndRequest(r);
  };
  const auto place = [](int step, int request, std::int64_t layer) {
    return (step * kRequests + request) * kGeometry.num_layers + layer;
  };
  deltas.resize(place(kSteps, 0, 0));
  LocalityModel locality(SelectionPolicy{}, {}, kGeometry.num_layers, kGeometry.heads);
  SelectionTraceWriter writer(path, kGeometry);
  RecordingModel recorder(locality, writer, kGeometry.num_layers);
  run(recorder, false, [&](const SelectionDelta& delta, int step, int r, std::int64_t layer) {
    deltas[place(step, r, layer)] = delta;
  });
  writer.Finish();

  ReplayModel replay(path, kGeometry);
  EXPECT_EQ(replay.num_recordings(), kRequests);
  run(replay, true, [&](const SelectionDelta& delta, int step, int r, std::int64_t layer) {
    ASSERT_EQ(delta.added, deltas[place(step, r, layer)].added) << step << " " << r;
    ASSERT_EQ(delta.removed, deltas[place(step, r, layer)].removed) << step << " " << r;
  });
  EXPECT_EQ(replay.extrapolated_steps(), 0);
}

TEST(SelectionTraceTest, StepsThatAreWrittenWhenToldGiveTheSameFile) {
  const auto record = [](const std::string& path, RecordingModel::Writes writes) {
    LocalityModel locality(SelectionPolicy{}, {}, kGeometry.num_layers, kGeometry.heads);
    SelectionTraceWriter writer(path, kGeometry);
    RecordingModel recorder(locality, writer, kGeometry.num_layers, writes);
    for (const RequestIndex request : {0, 1}) recorder.BeginRequest(request, 5 + request, 30);
    for (int step = 0; step < 20; ++step) {
      for (const RequestIndex request : {0, 1})
        for (std::int64_t layer = 0; layer < kGeometry.num_layers; ++layer)
          StepOf(recorder, request, layer, 30 + step / 8);
      if (writes == RecordingModel::Writes::kWhenTold) recorder.WriteSteps();
    }
    for (const RequestIndex request : {0, 1}) recorder.EndRequest(request);
    writer.Finish();
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string at_once = record(PathFor("at-once"), RecordingModel::Writes::kAtOnce);
  EXPECT_GT(at_once.size(), 1000U);
  EXPECT_EQ(record(PathFor("when-told"), RecordingModel::Writes::kWhenTold), at_once);
}

TEST(SelectionTraceTest, LongRecordingsSpanChunks) {
  const std::string path = PathFor("chunks");
  constexpr TraceGeometry kWide{1, 32, 32};
  LocalityModel locality(SelectionPolicy{}, {}, 1, kWide.heads), twin = locality;
  {
    SelectionTraceWriter writer(path, kWide);
    RecordingModel recorder(locality, writer, 1);
    recorder.BeginRequest(0, 7, 500);
    for (int step = 0; step < 900; ++step) StepOf(recorder, 0, 0, 500 + step / 32);
    recorder.EndRequest(0);
    writer.Finish();
  }
  EXPECT_GT(std::filesystem::file_size(path), 2U << 18);
  ReplayModel replay(path, kWide);
  replay.BeginRequest(0, 7, 500);
  twin.BeginRequest(0, 7, 500);
  for (int step = 0; step < 900; ++step) {
    const std::int64_t context = 500 + step / 32;
    ASSERT_EQ(StepOf(replay, 0, 0, context).added, StepOf(twin, 0, 0, context).added) << step;
  }
}

TEST(SelectionTraceTest, ALongerDecodeStartsTheRecordingOver) {
  const std::string path = Record("over", 4, {{4, {{0, 1, 3}, {}}}, {4, {{2}, {1}}}});
  ReplayModel replay(path, {1, 1, 32});
  replay.BeginRequest(0, 42, 4);
  StepOf(replay, 0, 0, 4);
  StepOf(replay, 0, 0, 4);  // 0 2 3
  const SelectionDelta restart = StepOf(replay, 0, 0, 4);
  EXPECT_THAT(restart.added, ElementsAre(1));
  EXPECT_THAT(restart.removed, ElementsAre(2));
  const SelectionDelta second = StepOf(replay, 0, 0, 4);
  EXPECT_THAT(second.added, ElementsAre(2));
  EXPECT_THAT(second.removed, ElementsAre(1));
  EXPECT_EQ(replay.extrapolated_steps(), 2);
}

TEST(SelectionTraceTest, TheNewestBlockOfTheRunIsAlwaysSelected) {
  const std::string path = Record("tail", 4, {{4, {{0, 3}, {}}}});
  ReplayModel replay(path, {1, 1, 32});
  replay.BeginRequest(0, 42, 4);
  EXPECT_THAT(StepOf(replay, 0, 0, 4).added, ElementsAre(0, 3));
  EXPECT_THAT(StepOf(replay, 0, 0, 5).added, ElementsAre(4));
  const SelectionDelta next = StepOf(replay, 0, 0, 6);
  EXPECT_THAT(next.added, ElementsAre(5));
  EXPECT_THAT(next.removed, ElementsAre(4));
}

TEST(SelectionTraceTest, ARequestThatRecomputesTakesUpItsRecording) {
  const std::string path =
      Record("resume", 4, {{4, {{0, 3}, {}}}, {5, {{4, 1}, {3}}}, {6, {{5}, {1}}}});
  ReplayModel replay(path, {1, 1, 32});
  replay.BeginRequest(0, 42, 6);
  EXPECT_THAT(StepOf(replay, 0, 0, 6).added, ElementsAre(0, 4, 5));
  EXPECT_EQ(replay.extrapolated_steps(), 0);
  replay.EndRequest(0);
  EXPECT_THROW(replay.BeginRequest(0, 42, 7), InputError);  // beyond the recording
  EXPECT_THROW(replay.BeginRequest(0, 42, 3), InputError);  // before it
  EXPECT_THROW(replay.BeginRequest(0, 43, 4), InputError);  // another request
}

// Property: whatever the contexts of the run, deltas are consistent and the tail is selected.
TEST(SelectionTraceTest, ExtrapolationKeepsDeltasConsistent) {
  const std::string path = PathFor("consistent");
  LocalityModel locality(SelectionPolicy{}, {}, 1, 4);
  SelectionTraceWriter writer(path, {1, 4, 32});
  RecordingModel recorder(locality, writer, 1);
  recorder.BeginRequest(0, 7, 62);
  for (int step = 0; step < 50; ++step) StepOf(recorder, 0, 0, 62 + step / 5);
  recorder.EndRequest(0);
  writer.Finish();

  ReplayModel replay(path, {1, 4, 32});
  replay.BeginRequest(0, 7, 62);
  std::set<Unit> selected;
  for (int step = 0; step < 333; ++step) {
    const std::int64_t context = 62 + step / 4;
    const SelectionDelta delta = StepOf(replay, 0, 0, context);
    for (const Unit unit : delta.removed) ASSERT_EQ(selected.erase(unit), 1U) << step;
    for (const Unit unit : delta.added) ASSERT_TRUE(selected.insert(unit).second) << step;
    for (Unit head = 0; head < 4; ++head)
      ASSERT_TRUE(selected.contains(static_cast<Unit>(context - 1) * 4 + head));
    ASSERT_LE(selected.size(), 65U * 4);
  }
  EXPECT_EQ(replay.extrapolated_steps(), 283);
}

TEST(SelectionTraceTest, AContextShorterThanRecordedIsAnError) {
  const std::string path = Record("short", 4, {{5, {{0, 4}, {}}}});
  ReplayModel replay(path, {1, 1, 32});
  replay.BeginRequest(0, 42, 4);
  SelectionDelta delta;
  EXPECT_THROW(replay.Step(0, 0, 4, delta), InputError);
}

TEST(SelectionTraceTest, AnUnfinishedTraceLeavesNothingBehind) {
  const std::string path = PathFor("unfinished");
  {
    SelectionTraceWriter writer(path, kGeometry);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_TRUE(std::filesystem::exists(path + ".tmp." + std::to_string(::getpid())));
  }
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp." + std::to_string(::getpid())));
}

TEST(SelectionTraceTest, FailuresOfTheFileSystemAreSystemErrors) {
  EXPECT_THROW(SelectionTraceWriter("/nonexistent/trace", kGeometry), std::system_error);
  EXPECT_THROW(ReplayModel("/nonexistent/trace", kGeometry), std::system_error);
  if (std::filesystem::exists("/dev/full")) {
    std::filesystem::create_symlink("/dev/full",
                                    PathFor("full") + ".tmp." + std::to_string(::getpid()));
    EXPECT_THROW(
        {
          SelectionTraceWriter writer(PathFor("full"), {1, 1, 32});
          const std::size_t recording = writer.Begin(1, 1);
          for (int step = 0; step < 100'000; ++step)
            writer.AppendStep(recording, 1, std::vector<SelectionDelta>(1));
          writer.Finish();
        },
        std::system_error);
  }
}

TEST(SelectionTraceTest, EmptyTracesAndRequestsWithoutStepsAreSound) {
  const std::string path = PathFor("empty");
  SelectionTraceWriter writer(path, kGeometry);
  writer.End(writer.Begin(5, 10));
  writer.Finish();
  ReplayModel replay(path, kGeometry);
  replay.BeginRequest(0, 5, 10);
  SelectionDelta delta;
  EXPECT_THROW(replay.Step(0, 0, 10, delta), InputError);
}

}  // namespace
}  // namespace sparseserve::selection
