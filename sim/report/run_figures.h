// The figures of one run that `compare` lays beside those of another, whoever wrote them down.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sparseserve::report {

// clang-format off
enum class Metric : std::uint8_t {
  kCompleted, kDuration, kInputTokens, kOutputTokens, kRequestThroughput, kOutputThroughput,
  kMeanTtft, kMedianTtft, kP99Ttft, kMeanTpot, kMeanItl, kP99Itl, kMeanE2el,
  kIterations, kMedianIteration, kP95Iteration, kDecodeIterations, kMedianDecodeIteration,
  kMeanDecodes, kMeanPrefills,
  kMeanCompute, kMeanAttention, kMeanLoadStall, kMeanSaveStall, kMeanHost,
  kComputeShare, kAttentionShare, kLoadStallShare, kSaveStallShare, kHostShare, kIdleShare,
  kHitRate, kBlockLoads, kH2dBytes, kD2hBytes, kH2dBusy, kD2hBusy, kLoadBandwidth,
};
// clang-format on
inline constexpr std::size_t kNumMetrics = static_cast<std::size_t>(Metric::kLoadBandwidth) + 1;

enum class MetricGroup : std::uint8_t { kEndToEnd, kIterations, kTransfers };

struct MetricInfo {
  Metric metric;
  MetricGroup group;
  std::string_view name;   // in JSON and CSV; vLLM's where it has the figure
  std::string_view title;  // in tables
  std::string_view unit;   // "%": two values differ by points, else relative to the first one
  bool is_count = false;   // an integer
  bool is_key = false;     // judged against the tolerance
  std::string_view definition;
};

// All metrics, in the order of the enumeration, which is that of every table.
std::span<const MetricInfo> Metrics();
inline const MetricInfo& InfoOf(Metric metric) {
  return Metrics()[static_cast<std::size_t>(metric)];
}
std::string_view NameOf(MetricGroup group);

// Where the time of iterations goes. kOther is what the parts leave of end - begin.
enum class BusyPart : std::uint8_t { kCompute, kAttention, kLoadStall, kSaveStall, kHost, kOther };
inline constexpr std::size_t kNumBusyParts = 6;
std::string_view NameOf(BusyPart part);

// Totals of one replica (of the mean one, where there are several).
struct BusyTime {
  double duration_s = 0;      // of the run; > 0
  double num_iterations = 0;  // > 0
  std::array<double, kNumBusyParts> parts_s{};

  double total_s() const;
};

struct RunFigures {
  std::string source;  // the path, or what else names it
  std::string kind;    // "run", "vLLM benchmark", "AIPerf profile"
  // Empty where the source does not say.
  std::string system, model, hardware, seed;
  std::optional<std::int64_t> num_requests;
  std::array<std::optional<double>, kNumMetrics> values;  // in the unit of the metric
  std::optional<BusyTime> busy;
  std::vector<std::string> remarks;  // what whoever reads the figures must know

  std::optional<double>& operator[](Metric m) { return values[static_cast<std::size_t>(m)]; }
  const std::optional<double>& operator[](Metric m) const {
    return values[static_cast<std::size_t>(m)];
  }
};

}  // namespace sparseserve::report
