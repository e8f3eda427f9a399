// What a person reads at the end: the table that sets the systems of an experiment side by side,
// and the block of one run in the shape of vLLM's "Serving Benchmark Result".
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "sim/metrics/summary.h"

namespace sparseserve::report {

enum class Style : std::uint8_t { kTerminal, kMarkdown };

// One row per summary, named by its system. "vs first" is output throughput relative to the first
// row. The definitions of the columns follow below the table. "-" stands where a system has no such
// figure.
std::string ComparisonTable(std::span<const metrics::Summary> runs, Style style = Style::kTerminal);

// vLLM's lines, then those on batch, KV cache and time.
std::string ResultBlock(const metrics::Summary& run);

}  // namespace sparseserve::report
