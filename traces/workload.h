// A workload as configuration: where requests come from, and what is changed on their way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "traces/arrivals.h"
#include "traces/generator.h"
#include "traces/reader.h"
#include "traces/request.h"

namespace sparseserve::traces {

enum class WorkloadSource : std::uint8_t { kTrace, kLongBench, kSynthetic };

struct Workload {
  WorkloadSource source = WorkloadSource::kTrace;
  std::string path;            // kTrace
  ReadOptions read;            // kTrace
  LongBenchOptions longbench;  // kLongBench
  SyntheticOptions synthetic;  // kSynthetic

  // Applied in this order; a generator has arrivals and a count of its own.
  bool spread_ties = false;
  ArrivalOptions arrivals{.kind = ArrivalKind::kAsRecorded, .rate_per_s = 1, .cv = 1};
  double speed = 1;               // divides arrival times
  std::int64_t num_requests = 0;  // the first so many; 0: all
  // kTrace: not the first `num_requests`, but a run of successive ones that the seed chooses, so
  // that seeds differ in what the trace has.
  bool random_window = false;
  Tokens max_prompt{0};  // 0: no cap
  Tokens max_output{0};
  bool drop_longer = false;  // leave longer ones out instead of cutting them
  std::uint64_t seed = 1;
};

// A fresh stream; every call gives the same requests. Throws InputError as the readers and
// transforms do.
std::unique_ptr<RequestStream> OpenWorkload(const Workload& workload);

}  // namespace sparseserve::traces
