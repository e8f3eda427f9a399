// Service levels of a plan, by the definitions that the field uses, and whether a run holds them.
//
//   vllm       a request is good when it meets every limit given (ttft, tpot, e2el; as vLLM's
//              --goodput); held when the share of good requests reaches `attainment`
//   distserve  the same with ttft and tpot only, and `attainment` 90 % by default (DistServe,
//              OSDI '24, counts the rate per GPU; the table of a plan shows both)
//   sarathi    P99 of the gaps between tokens and the scheduling delay are bounded (Sarathi-Serve,
//              OSDI '24; also the SparseServe paper: 25 decode iterations, mean delay 2 s)
//
// Whatever the definition, a queue that keeps growing is never held: a finite trace can hide it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/metrics/summary.h"
#include "sim/plan/sweep.h"

namespace sparseserve::plan {

enum class SloDefinition : std::uint8_t { kVllm, kDistServe, kSarathi };

struct Slo {
  SloDefinition definition = SloDefinition::kVllm;
  metrics::ServiceLevel per_request = {};  // vllm, distserve
  double attainment = 0.9;                 // share of requests that must be good
  std::optional<Seconds> tbt_p99 = {};     // sarathi
  std::optional<Seconds> delay_mean = {};
  std::optional<Seconds> delay_p95 = {};
  std::optional<Seconds> delay_p99 = {};
};

// One condition on one figure of a run. `use` is the part of the limit that is used: at most 1 when
// it holds.
struct Criterion {
  std::string name;  // "TBT P99", for people
  std::size_t figure = 0;
  double limit = 0;
  bool at_least = false;  // the figure must reach the limit; else it must not exceed it

  double Use(std::span<const double> figures) const;
};

// The conditions on single figures, in a fixed order.
std::vector<Criterion> CriteriaOf(const Slo& slo);

struct Verdict {
  bool held = false;
  double use = 0;       // of the tightest criterion
  std::string binding;  // its name; "queue growth" or why the system cannot run
};
// Judges one run. A growing queue (`saturated`) or a run that was given up is never held.
Verdict Judge(const std::vector<Criterion>& criteria, const Outcome& outcome);

}  // namespace sparseserve::plan
