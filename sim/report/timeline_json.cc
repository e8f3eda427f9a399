#include "sim/report/timeline_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
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
// By Lane.
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

void AddSlices(std::string& out, std::size_t pid, std::size_t tid,
               const std::vector<Slice>& slices) {
  for (const Slice& slice : slices) {
    const std::string layer =
        slice.layer >= 0 ? fmt::format(R"(,"args":{{"layer":{}}})", slice.layer) : "";
    AddEvent(out, fmt::format(
                      R"({{"name":{},"cat":"{}","ph":"X","ts":{},"dur":{},"pid":{},"tid":{}{}}})",
                      Quoted(slice.name), kLanes[tid].category, Microseconds(slice.begin.ns()),
                      Microseconds(slice.end.ns() - slice.begin.ns()), pid, tid, layer));
  }
}

// An arrow from each load to the first decode attention of its layer that begins when it is done.
// `next_id` counts the arrows of all processes.
void AddLoadArrows(std::string& out, std::size_t pid, const std::vector<Slice>& loads,
                   const std::vector<Slice>& compute, std::int64_t& next_id) {
  constexpr auto kH2dTid = static_cast<std::size_t>(Lane::kH2d);
  constexpr auto kComputeTid = static_cast<std::size_t>(Lane::kCompute);
  std::map<std::int64_t, std::vector<SimTime>> begins;  // of decode attention, by layer
  for (const Slice& slice : compute)
    if (std::string_view(slice.name) == serving::kDecodeAttentionSlice)
      begins[slice.layer].push_back(slice.begin);
  for (const Slice& load : loads) {
    if (std::string_view(load.name) != serving::kLoadSlice) continue;
    const std::vector<SimTime>& candidates = begins[load.layer];
    // Its last nanosecond: an arrow starts inside the slice, and rounding is one nanosecond.
    const SimTime from(load.end.ns() - 1);
    const auto to = std::lower_bound(candidates.begin(), candidates.end(), from);
    if (to == candidates.end()) continue;
    const auto arrow = [&](std::string_view phase, SimTime at, std::size_t tid) {
      AddEvent(out, fmt::format(R"({{"name":"loaded","cat":"load","ph":{},"id":{},"ts":{},)"
                                R"("pid":{},"tid":{}}})",
                                phase, next_id, Microseconds(at.ns()), pid, tid));
    };
    arrow(R"("s")", from, kH2dTid);
    arrow(R"("f","bp":"e")", *to, kComputeTid);
    ++next_id;
  }
}

std::string_view NameOf(serving::RequestPhase phase) {
  constexpr std::array<std::string_view, 3> kNames = {"queue", "prefill", "decode"};
  return kNames[static_cast<std::size_t>(phase)];
}

// A request from its first to its last phase in the window, and the phases inside it. What reaches
// beyond the window is cut off; the arguments say so.
void AddRequest(std::string& out, std::size_t pid, const serving::Timeline& timeline,
                std::span<const serving::PhaseSpan> phases) {
  const auto event = [&](std::string_view name, char ph, SimTime at, const std::string& more) {
    AddEvent(out, fmt::format(
                      R"({{"name":"{}","cat":"request","ph":"{}","id2":{{"local":"{}"}},"ts":{},)"
                      R"("pid":{},"tid":0{}}})",
                      name, ph, phases.front().request, Microseconds(at.ns()), pid, more));
  };
  const auto begin_of = [&](const serving::PhaseSpan& phase) {
    return std::max(phase.begin, timeline.begin());
  };
  const auto end_of = [&](const serving::PhaseSpan& phase) {
    return std::min(phase.end, timeline.end());
  };
  const std::string name = fmt::format("request {}", phases.front().request);
  event(name, 'b', begin_of(phases.front()),
        fmt::format(
            R"(,"args":{{"prompt_tokens":{},"first_phase_begin_s":{},"last_phase_end_s":{}}})",
            phases.front().prompt.value(), 1e-9 * static_cast<double>(phases.front().begin.ns()),
            1e-9 * static_cast<double>(phases.back().end.ns())));
  for (const serving::PhaseSpan& phase : phases) {
    event(NameOf(phase.phase), 'b', begin_of(phase), "");
    event(NameOf(phase.phase), 'e', end_of(phase), "");
  }
  event(name, 'e', end_of(phases.back()), "");
}

void AddRequests(std::string& out, std::size_t pid, const serving::Timeline& timeline) {
  std::vector<serving::PhaseSpan> phases = timeline.phases();
  std::stable_sort(phases.begin(), phases.end(),
                   [](const serving::PhaseSpan& a, const serving::PhaseSpan& b) {
                     return std::pair(a.request, a.begin) < std::pair(b.request, b.begin);
                   });
  for (std::size_t begin = 0, end = 0; begin < phases.size(); begin = end) {
    while (end < phases.size() && phases[end].request == phases[begin].request) ++end;
    AddRequest(out, pid, timeline,
               {phases.begin() + static_cast<std::ptrdiff_t>(begin), end - begin});
  }
}

// Batch and queue hold while an iteration runs, memory and hit rate are those at its end.
void AddCounters(std::string& out, std::size_t pid, const serving::Timeline& timeline) {
  const auto counter = [&](std::string_view name, SimTime at, const std::string& values) {
    AddEvent(out, fmt::format(R"({{"name":"{}","ph":"C","ts":{},"pid":{},"args":{{{}}}}})", name,
                              Microseconds(at.ns()), pid, values));
  };
  const auto batch = [&](SimTime at, std::int64_t decodes, std::int64_t prefills) {
    counter("batch", at, fmt::format(R"("decodes":{},"prefills":{})", decodes, prefills));
  };
  SimTime idle_since(-1);
  for (const metrics::IterationRecord& it : timeline.iterations()) {
    if (idle_since >= SimTime(0) && idle_since < it.begin) batch(idle_since, 0, 0);
    batch(it.begin, it.num_decodes, it.num_prefills);
    counter("queue", it.begin, fmt::format(R"("requests":{})", it.num_waiting));
    counter("HBM used", it.end, fmt::format(R"("bytes":{})", it.hbm_used.value()));
    counter("DRAM used", it.end, fmt::format(R"("bytes":{})", it.dram_used.value()));
    if (it.block_touches > 0) {
      const double hits =
          1 - static_cast<double>(it.block_loads) / static_cast<double>(it.block_touches);
      counter("hit rate", it.end, fmt::format(R"("%":{:.4g})", 100 * hits));
    }
    idle_since = it.end;
  }
  if (idle_since >= SimTime(0)) batch(idle_since, 0, 0);
}

void AddProcess(std::string& out, std::size_t pid, const TimelineProcess& process,
                std::int64_t& next_arrow) {
  AddMetadata(out, pid, process.name);
  std::array<std::vector<Slice>, kLanes.size()> lanes;
  for (std::size_t tid = 0; tid < kLanes.size(); ++tid) {
    lanes[tid] = SlicesOf(*process.timeline, kLanes[tid].lane);
    AddSlices(out, pid, tid, lanes[tid]);
  }
  AddLoadArrows(out, pid, lanes[static_cast<std::size_t>(Lane::kH2d)],
                lanes[static_cast<std::size_t>(Lane::kCompute)], next_arrow);
  AddRequests(out, pid, *process.timeline);
  AddCounters(out, pid, *process.timeline);
}

}  // namespace

std::string TimelineJson(std::span<const TimelineProcess> processes) {
  std::int64_t dropped = 0;
  std::int64_t next_arrow = 0;
  std::string out = R"({"traceEvents":[)";
  for (std::size_t pid = 0; pid < processes.size(); ++pid) {
    AddProcess(out, pid, processes[pid], next_arrow);
    dropped += processes[pid].timeline->dropped();
  }
  out += fmt::format(
      "\n],\n\"displayTimeUnit\":\"ms\",\n\"otherData\":{{\"dropped_slices\":{}}}}}\n", dropped);
  return out;
}

}  // namespace sparseserve::report
