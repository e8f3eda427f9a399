#include "sim/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace sparseserve::report {
namespace {

using metrics::Summary;
using Cells = std::vector<std::string>;

// On a terminal the heading takes two lines, in Markdown one.
struct Column {
  std::string_view top, bottom, markdown;
};
constexpr Column kColumns[] = {
    {"", "system", "system"},
    {"done/", "failed", "done/failed"},
    {"", "req/s", "req/s"},
    {"output", "tok/s", "output tok/s"},
    {"vs", "first", "vs first"},
    {"TTFT s", "mean", "TTFT mean (s)"},
    {"TTFT s", "P99", "TTFT P99 (s)"},
    {"TBT ms", "mean", "TBT mean (ms)"},
    {"TBT ms", "P99", "TBT P99 (ms)"},
    {"batch", "mean", "batch mean"},
    {"hit", "%", "hit rate (%)"},
    {"blocks", "/iter", "blocks loaded/iter"},
    {"load", "stall%", "load stall (%)"},
    {"pre-", "empt", "preemptions"},
    {"", "flags", "flags"},
};
constexpr std::size_t kNumColumns = std::size(kColumns);

constexpr std::string_view kDefinitions =
    "TTFT: arrival to first token. TBT: gap between tokens, pooled over requests (vLLM's ITL). vs "
    "first: output tok/s.\n"
    "hit: selected KV blocks found in HBM. blocks/iter: loaded per iteration with a decode. load "
    "stall: compute waits.\n"
    "flags: S saturated (queue grows, latency follows the length of the trace), E extrapolated "
    "(beyond what was measured).\n";

// Three or four significant digits, at most four behind the point: "0.0521", "0.521", "7.300",
// "73.01", "730.1", "7301".
std::string NumberText(double value) {
  if (value == 0) return "0";
  // Limits below the powers of ten, where rounding would add a digit.
  const int decimals = value < 0.09995  ? 4
                       : value < 9.9995 ? 3
                       : value < 99.995 ? 2
                       : value < 999.95 ? 1
                                        : 0;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string Flags(const Summary& s) {
  const std::string flags =
      std::string(s.saturated ? "S" : "") + (s.labels.extrapolated ? "E" : "");
  return flags.empty() ? "-" : flags;
}

Cells CellsOf(const Summary& s, const Summary& first) {
  const bool selects = s.totals.block_touches > 0;
  const bool comparable = first.output_throughput > 0;
  const bool has_latency = s.completed > 0;
  const bool has_gaps = s.total_output_tokens.value() > s.completed;
  return {s.labels.system,
          fmt::format("{}/{}", s.completed, s.failed),
          NumberText(s.request_throughput),
          NumberText(s.output_throughput),
          comparable ? fmt::format("{:.2f}x", s.output_throughput / first.output_throughput) : "-",
          has_latency ? NumberText(s.ttft_ms.mean / 1e3) : "-",
          has_latency ? NumberText(s.ttft_ms.p99 / 1e3) : "-",
          has_gaps ? NumberText(s.itl_ms.mean) : "-",
          has_gaps ? NumberText(s.itl_ms.p99) : "-",
          fmt::format("{:.1f}", s.batch_mean),
          selects ? fmt::format("{:.1f}", 100 * s.hit_rate) : "-",
          selects ? fmt::format("{:.0f}", s.block_loads_per_iteration) : "-",
          selects ? fmt::format("{:.1f}", 100 * s.time_share.load_stall) : "-",
          fmt::format("{}", s.preemptions),
          Flags(s)};
}

std::string MarkdownTable(const std::vector<Cells>& rows) {
  std::string text = "|";
  for (const Column& column : kColumns) text += fmt::format(" {} |", column.markdown);
  text += "\n|";
  for (std::size_t i = 0; i < kNumColumns; ++i) text += i == 0 ? "---|" : "--:|";
  for (const Cells& cells : rows) {
    text += "\n|";
    for (const std::string& cell : cells) text += fmt::format(" {} |", cell);
  }
  return text + "\n\n" + std::string(kDefinitions);
}

// The first column to the left, the others to the right.
template <typename Get>
std::string AlignedLine(const std::vector<std::size_t>& widths, Get&& cell) {
  std::string line = fmt::format("{:<{}}", cell(0), widths[0]);
  for (std::size_t i = 1; i < kNumColumns; ++i) line += fmt::format("  {:>{}}", cell(i), widths[i]);
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

std::string TerminalTable(const std::vector<Cells>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < kNumColumns; ++i) {
    widths.push_back(std::max(kColumns[i].top.size(), kColumns[i].bottom.size()));
    for (const Cells& cells : rows) widths[i] = std::max(widths[i], cells[i].size());
  }
  const std::string heading = AlignedLine(widths, [](std::size_t i) { return kColumns[i].bottom; });
  std::string text = AlignedLine(widths, [](std::size_t i) { return kColumns[i].top; }) + heading +
                     std::string(heading.size() - 1, '-') + "\n";
  for (const Cells& cells : rows)
    text += AlignedLine(widths, [&](std::size_t i) -> const std::string& { return cells[i]; });
  return text + "\n" + std::string(kDefinitions);
}

void AddLine(std::string& text, std::string_view name, std::string_view value) {
  text += fmt::format("{:<40} {}\n", fmt::format("{}:", name), value);
}
void AddLine(std::string& text, std::string_view name, std::int64_t value) {
  AddLine(text, name, fmt::format("{}", value));
}
void AddLine(std::string& text, std::string_view name, double value) {
  AddLine(text, name, fmt::format("{:.2f}", value));
}

void AddLatency(std::string& text, std::string_view title, std::string_view name,
                const SampleStatistics& statistics) {
  text += fmt::format("{:-^50}\n", title);
  AddLine(text, fmt::format("Mean {} (ms)", name), statistics.mean);
  AddLine(text, fmt::format("Median {} (ms)", name), statistics.median);
  AddLine(text, fmt::format("P99 {} (ms)", name), statistics.p99);
}

void AddTotals(std::string& text, const Summary& s) {
  AddLine(text, "Successful requests", s.completed);
  AddLine(text, "Failed requests", s.failed);
  AddLine(text, "Benchmark duration (s)", s.duration.value());
  AddLine(text, "Total input tokens", s.total_input_tokens.value());
  AddLine(text, "Total generated tokens", s.total_output_tokens.value());
  AddLine(text, "Request throughput (req/s)", s.request_throughput);
  if (s.request_goodput) AddLine(text, "Request goodput (req/s)", *s.request_goodput);
  AddLine(text, "Output token throughput (tok/s)", s.output_throughput);
  AddLine(text, "Total token throughput (tok/s)", s.total_token_throughput);
}

void AddServing(std::string& text, const Summary& s) {
  text += fmt::format("{:-^50}\n", "Batch and KV Cache");
  AddLine(text, "Mean batch (requests)", s.batch_mean);
  AddLine(text, "P99 scheduling delay (s)", s.scheduling_delay_s.p99);
  AddLine(text, "Preemptions", s.preemptions);
  if (s.totals.block_touches > 0) {
    AddLine(text, "Hit rate (%)", 100 * s.hit_rate);
    AddLine(text, "Blocks loaded per iteration", s.block_loads_per_iteration);
    AddLine(text, "Loaded from DRAM", ToString(s.totals.h2d_bytes));
    AddLine(text, "Saved to DRAM", ToString(s.totals.d2h_bytes));
  }
  text += fmt::format("{:-^50}\n", "Share of Time (%)");
  AddLine(text, "Compute", 100 * s.time_share.compute);
  AddLine(text, "Attention", 100 * s.time_share.attention);
  AddLine(text, "Load stall", 100 * s.time_share.load_stall);
  AddLine(text, "Save stall", 100 * s.time_share.save_stall);
  AddLine(text, "Host", 100 * s.time_share.host);
  AddLine(text, "Idle", 100 * s.time_share.idle);
}

}  // namespace

std::string ComparisonTable(std::span<const Summary> runs, Style style) {
  std::vector<Cells> rows;
  for (const Summary& run : runs) rows.push_back(CellsOf(run, runs.front()));
  return style == Style::kMarkdown ? MarkdownTable(rows) : TerminalTable(rows);
}

std::string ResultBlock(const Summary& run) {
  std::string text = fmt::format("{:=^50}\n", " Serving Benchmark Result ");
  AddTotals(text, run);
  AddLatency(text, "Time to First Token", "TTFT", run.ttft_ms);
  AddLatency(text, "Time per Output Token (excl. 1st token)", "TPOT", run.tpot_ms);
  AddLatency(text, "Inter-token Latency", "ITL", run.itl_ms);
  AddLatency(text, "End-to-end Latency", "E2EL", run.e2el_ms);
  AddServing(text, run);
  text += std::string(50, '=') + "\n";
  if (run.saturated) text += "saturated: the queue grows, latency depends on the trace's length\n";
  if (run.labels.extrapolated) text += "extrapolated: a cost lies outside its measured range\n";
  return text;
}

}  // namespace sparseserve::report
