// The figures of a summary by name, for whoever handles them alike: sweeps, searches, exports.
//
// Names and definitions are those of summary.json (nested keys with a dot); values are in the unit
// that the name or `unit` says. A figure that a run does not have (goodput without limits) is NaN.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sim/metrics/summary.h"

namespace sparseserve::metrics {

enum class Better : std::uint8_t { kLower, kHigher, kNeither };

struct FigureInfo {
  std::string_view name;   // "mean_ttft_ms", "kv.hit_rate"
  std::string_view label;  // for the head of a column: "TTFT mean"
  std::string_view unit;   // "ms", "tok/s", "share" (0 to 1); empty: a count
  Better better;
  double (*get)(const Summary& summary);
};

// All of them, in a fixed order.
std::span<const FigureInfo> Figures();
// The place of a figure in Figures(); nothing for an unknown name.
std::optional<std::size_t> FindFigure(std::string_view name);
// In the order of Figures().
std::vector<double> FiguresOf(const Summary& summary);

}  // namespace sparseserve::metrics
