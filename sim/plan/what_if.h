// What one more GB of HBM, GB/s of PCIe or step of w would change: the same workload simulated
// again, several seeds each, on several threads.
//
// Scheduling is chaotic: a small step moves single requests more than it moves the mean. So every
// change is run with the seeds of the base and compared seed by seed (statistics.h), and beside
// each unit step stands one of 25 %.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/metrics/summary.h"
#include "sim/plan/statistics.h"
#include "sim/serving/system.h"

namespace sparseserve::plan {

// What is compared; the names are those of summary.json.
enum class Figure : std::uint8_t { kMeanTtft, kP99Ttft, kMeanItl, kP99Itl, kThroughput, kGoodput };
inline constexpr std::size_t kNumFigures = 6;
inline constexpr std::array<std::string_view, kNumFigures> kFigureNames = {
    "mean_ttft_ms", "p99_ttft_ms",       "mean_itl_ms",
    "p99_itl_ms",   "output_throughput", "request_goodput"};

enum class Extent : std::uint8_t {
  kNone,
  kQuick,  // HBM, the host link, w, host overhead
  kFull,   // also every eviction policy, T_max and R_max
};

struct Change {
  std::string name;  // "+1 GB of HBM for KV"
  std::function<void(serving::SystemConfig&)> apply;
};

// The changes that can mean something for the system; `left_out` receives a line for each question
// that cannot ("no block crosses the link").
std::vector<Change> WhatIfs(const serving::SystemConfig& base, Extent extent,
                            std::vector<std::string>& left_out);

// One change against the base, seed by seed.
struct WhatIfEffect {
  std::string name;
  std::string failure;  // why it cannot run; then there are no figures
  std::array<std::optional<Interval>, kNumFigures> changes;  // none: a figure that does not exist
  bool saturated = false;                                    // with one of the seeds
};

struct WhatIfResult {
  std::array<std::optional<Interval>, kNumFigures> base;
  bool base_saturated = false;  // with one of the seeds
  // False for one seed, and where nothing is drawn (a recorded trace, no block selected): then the
  // changes hold for this trace, their intervals are unknown.
  bool seeds_differ = false;
  std::vector<WhatIfEffect> effects;
};

// Simulates `system` under the workload of seed number `seed` of the base: 0, 1, ... Called from
// several threads. Throws InputError where the system cannot run.
using RunFunction =
    std::function<metrics::Summary(const serving::SystemConfig& system, std::size_t seed)>;

// `bases`: the base system, one per seed. The result does not depend on `num_threads`. A change
// that throws InputError fails alone; a base that does is passed on. REQUIRES: at least one base.
WhatIfResult RunWhatIfs(const std::vector<serving::SystemConfig>& bases,
                        const std::vector<Change>& changes, const RunFunction& run,
                        std::int64_t num_threads);

}  // namespace sparseserve::plan
