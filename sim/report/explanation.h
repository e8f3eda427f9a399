// Where the time of a run went and what bound it, in words and tables: what `explain` prints.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/metrics/summary.h"

namespace sparseserve::report {

// What summary.json says of it, whichever way it was obtained.
struct Explanation {
  std::string system, model, hardware, fidelity;
  std::int64_t completed = 0;
  bool saturated = false;
  bool extrapolated = false;
  metrics::Breakdown ttft, itl, slowest_ttft, slowest_itl;
  std::array<metrics::BoundShare, metrics::kNumIterationBounds> iteration_bounds{};
  std::array<metrics::BoundShare, metrics::kNumBatchBounds> batch_bounds{};
  std::int64_t block_loads = 0;
  std::int64_t block_reloads = 0;
  std::int64_t evictions = 0;
  std::int64_t preemptions = 0;
};

Explanation Explain(const metrics::Summary& summary);
// Of DIR/summary.json. Throws InputError naming file and key when it is none, or lacks the
// breakdowns, as those of earlier versions do.
Explanation ReadExplanation(const std::string& directory);
// Whether DIR holds a live run. Throws InputError when DIR is no result.
bool IsMeasured(const std::string& directory);
// What a run leaves in DIR, apart from wall-clock figures, is the text of this summary.
bool IsSameSummary(const std::string& directory, const std::string& summary_json);

// The conclusion first, then what it rests on: a few sentences for a planner.
std::vector<std::string> Conclusions(const Explanation& explanation);
// Parts of TTFT and TBT, mean and slowest 1 %, and what bound iterations and batches.
std::string ExplanationText(const Explanation& explanation);

// A change against the base: mean and ends of its interval, in the unit of the figure.
struct WhatIfCell {
  double change = 0, low = 0, high = 0;
};
struct WhatIfRow {
  std::string name;
  std::string note;  // why there are no cells
  std::vector<std::optional<WhatIfCell>> cells;
  bool saturated = false;
};
struct WhatIfTable {
  std::vector<std::string> figures;  // names of summary.json
  std::vector<std::optional<double>> base;
  bool base_saturated = false;
  std::vector<WhatIfRow> rows;
  std::vector<std::string> left_out;
  std::int64_t num_seeds = 0;
  bool seeds_differ = true;  // false: equal runs, or one; no interval is known
};

// The change that improves a latency or throughput most beyond its interval, or by most where no
// interval is known; a sentence each, none without rows.
std::vector<std::string> WhatIfConclusions(const WhatIfTable& table);
std::string WhatIfText(const WhatIfTable& table);

// All of it for scripts. `reproduced`: whether simulating the configuration again gave the stored
// summary; none: there was no reason to expect it.
std::string ExplanationJson(const std::string& directory, std::optional<bool> reproduced,
                            const Explanation& explanation, const WhatIfTable& table);

}  // namespace sparseserve::report
