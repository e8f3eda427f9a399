// Timelines as Chrome trace-event JSON, for ui.perfetto.dev or chrome://tracing.
//
// A process is a replica (or the prediction and the measurement of one); its threads are the lanes
// scheduler, compute stream, H2D, D2H and CPU scatter, in this order. Requests are nestable async
// events with their phases inside, iterations give counters, and an arrow leads from what was
// loaded to the attention that waited for it. ts and dur are microseconds with the nanoseconds
// behind the point.
#pragma once

#include <span>
#include <string>

#include "sim/serving/timeline.h"

namespace sparseserve::report {

struct TimelineProcess {
  std::string name;
  const serving::Timeline* timeline;
};

// The index of a process is its pid. "otherData" says how many slices (phases, iterations) were
// dropped because the timeline was full. Aborts when slices of a lane overlap: a lane does one
// thing at a time. One nanosecond of overlap is rounding, and cut off.
std::string TimelineJson(std::span<const TimelineProcess> processes);

}  // namespace sparseserve::report
