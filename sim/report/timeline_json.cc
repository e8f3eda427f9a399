#include "sim/report/timeline_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "sim/core/check.h"

namespace sparseserve::report {
namespace {

using serving::Lane;
using serving::Slice;

struct LaneText {
  Lane lane;
  std::string_view title, category;
};
constexpr std::array kLanes = {
    LaneText{Lane::kScheduler, "scheduler", "scheduler"},
    LaneText{Lane::kCompute, "compute stream", "compute"},
    LaneText{Lane::kH2d, "H2D copy", "h2d"},
    LaneText{Lane::kD2h, "D2H copy", "d2h"},
    LaneText{Lane::kScatter, "CPU scatter", "scatter"},
};

// A JSON string, in its quotes.
std::string Quoted(std::string_view text) {
  using Json = nlohmann::json;
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void AddEvent(std::string& out, std::string_view event) {
  if (out.back() == '}') out += ',';
  out += '\n';
  out += event;
}

void AddMetadata(std::string& out, std::size_t pid, const std::string& name) {
  AddEvent(out, fmt::format(R"({{"name":"process_name","ph":"M","pid":{},"args":{{"name":{}}}}})",
                            pid, Quoted(name)));
  for (std::size_t tid = 0; tid < kLanes.size(); ++tid) {
    AddEvent(out, fmt::format(
                      R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":{}}}}})",
                      pid, tid, Quoted(kLanes[tid].title)));
    AddEvent(
        out,
        fmt::format(
            R"({{"name":"thread_sort_index","ph":"M","pid":{},"tid":{},"args":{{"sort_index":{}}}}})",
            pid, tid, tid));
  }
}

// The slices of one lane in order of time, end to end at most.
std::vector<Slice> SlicesOf(const serving::Timeline& timeline, Lane lane) {
  std::vector<Slice> slices;
  std::copy_if(timeline.slices().begin(), timeline.slices().end(), std::back_inserter(slices),
               [&](const Slice& slice) { return slice.lane == lane; });
  std::stable_sort(slices.begin(), slices.end(),
                   [](const Slice& a, const Slice& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < slices.size(); ++i) {
    SPARSESERVE_CHECK(slices[i - 1].end.ns() <= slices[i].begin.ns() + 1,
                      "a lane does two things at once");
    slices[i - 1].end = std::min(slices[i - 1].end, slices[i].begin);
  }
  return slices;
}

std::string Microseconds(std::int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }

void AddSlices(std::string& out, std::size_t pid, const serving::Timeline& timeline) {
  for (std::size_t tid = 0; tid < kLanes.size(); ++tid) {
    for (const Slice& slice : SlicesOf(timeline, kLanes[tid].lane)) {
      const std::string layer =
          slice.layer >= 0 ? fmt::format(R"(,"args":{{"layer":{}}})", slice.layer) : "";
      AddEvent(out, fmt::format(
                        R"({{"name":{},"cat":"{}","ph":"X","ts":{},"dur":{},"pid":{},"tid":{}{}}})",
                        Quoted(slice.name), kLanes[tid].category, Microseconds(slice.begin.ns()),
                        Microseconds(slice.end.ns() - slice.begin.ns()), pid, tid, layer));
    }
  }
}

}  // namespace

std::string TimelineJson(std::span<const TimelineProcess> processes) {
  std::int64_t dropped = 0;
  std::string out = R"({"traceEvents":[)";
  for (std::size_t pid = 0; pid < processes.size(); ++pid) {
    AddMetadata(out, pid, processes[pid].name);
    AddSlices(out, pid, *processes[pid].timeline);
    dropped += processes[pid].timeline->dropped();
  }
  out += fmt::format(
      "\n],\n\"displayTimeUnit\":\"ms\",\n\"otherData\":{{\"dropped_slices\":{}}}}}\n", dropped);
  return out;
}

}  // namespace sparseserve::report
