#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/report/explanation.h"

namespace sparseserve::report {
namespace {

using metrics::Breakdown;
using metrics::kNumParts;
using metrics::Part;

// How a planner would call the parts.
constexpr std::array<std::string_view, kNumParts> kPartWords = {
    "waiting in the queue",
    "being held back after admission",
    "compute of prompts",
    "compute of decodes",
    "attention of prompts",
    "attention of decodes",
    "waiting for first loads over the host link",
    "waiting for loads of evicted blocks",
    "waiting for saves",
    "host work between iterations",
    "recomputing after preemptions"};
constexpr std::array<std::string_view, metrics::kNumIterationBounds> kIterationWords = {
    "compute (projections and MLP)", "attention", "loads over the host link",
    "saves over the host link", "host work between iterations"};
constexpr std::array<std::string_view, metrics::kNumBatchBounds> kBatchWords = {
    "nothing: it held all there was to do",
    "the token budget of an iteration (T_max or the prefill budget)",
    "the limit of requests (R_max)",
    "working-set control",
    "HBM for KV",
    "DRAM for KV"};
constexpr std::array<std::string_view, metrics::kNumBatchBounds> kRemedies = {
    "latency is the time of the iterations themselves; only faster ones, or more replicas, help",
    "prompts wait for their share of the iterations: compute for prefill is what is short",
    "a larger R_max lets more requests in, if HBM and the token gap allow",
    "HBM holds the working sets of fewer requests than are ready",
    "more HBM for KV, a smaller KV or KV at home in DRAM lets more requests run at once",
    "more DRAM for KV lets more requests in"};

std::string Time(double ms) {
  if (ms >= 10e3) return fmt::format("{:.1f} s", ms / 1e3);
  if (ms >= 1e3) return fmt::format("{:.2f} s", ms / 1e3);
  return fmt::format("{:.1f} ms", ms);
}

double Percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// The largest parts, down to a sixth: "compute of prompts 48 %, waiting in the queue 31 %".
std::string Largest(const Breakdown& b) {
  std::array<std::size_t, kNumParts> order{};
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return b.parts_ms[x] > b.parts_ms[y]; });
  std::string text;
  for (std::size_t i = 0; i < 3; ++i) {
    const double percent = Percent(b.parts_ms[order[i]], b.mean_ms);
    if (i > 0 && percent < 100.0 / 6) break;
    text += fmt::format("{}{} {:.0f} %", i > 0 ? ", " : "", kPartWords[order[i]], percent);
  }
  return text;
}

std::string Latency(const char* name, const Breakdown& all, const Breakdown& slowest) {
  return fmt::format("{} is {} on average ({}) and {} for the slowest 1 % ({}).", name,
                     Time(all.mean_ms), Largest(all), Time(slowest.mean_ms), Largest(slowest));
}

template <std::size_t kSize>
std::int64_t TotalNs(const std::array<metrics::BoundShare, kSize>& bounds) {
  std::int64_t total = 0;
  for (const metrics::BoundShare& bound : bounds) total += bound.ns;
  return total;
}

template <std::size_t kSize>
std::size_t Longest(const std::array<metrics::BoundShare, kSize>& bounds, std::size_t first = 0) {
  const auto longest =
      std::max_element(bounds.begin() + static_cast<std::ptrdiff_t>(first), bounds.end(),
                       [](const auto& a, const auto& b) { return a.ns < b.ns; });
  return static_cast<std::size_t>(longest - bounds.begin());
}

template <std::size_t kSize>
double TimePercent(const std::array<metrics::BoundShare, kSize>& bounds, std::size_t index) {
  return Percent(static_cast<double>(bounds[index].ns), static_cast<double>(TotalNs(bounds)));
}

// Who waits and for what, and what the rest is bound by.
std::string Headline(const Explanation& e) {
  const double waiting = Percent(e.ttft.parts_ms[static_cast<std::size_t>(Part::kQueue)] +
                                     e.ttft.parts_ms[static_cast<std::size_t>(Part::kHeld)],
                                 e.ttft.mean_ms);
  const std::size_t limit = Longest(e.batch_bounds, 1);
  const std::string_view work = kIterationWords[Longest(e.iteration_bounds)];
  constexpr double kMuch = 25;  // %
  if (waiting < kMuch) {
    return fmt::format(
        "First tokens take the time of the work itself, not of waiting ({:.0f} %); "
        "what bounds the iterations is {}.",
        waiting, work);
  }
  if (TimePercent(e.batch_bounds, limit) < 10) {
    return fmt::format(
        "Requests wait for {:.0f} % of their TTFT, though no limit keeps them out of "
        "the batch: they wait for the iteration under way, bound by {}.",
        waiting, work);
  }
  return fmt::format(
      "Requests wait for {:.0f} % of their TTFT, and what keeps them waiting is {}: "
      "{}.",
      waiting, kBatchWords[limit], kRemedies[limit]);
}

std::string BoundSentence(const Explanation& e) {
  const std::size_t bound = Longest(e.iteration_bounds);
  std::string text = fmt::format(
      "Iterations bound by {} take {:.0f} % of the time; for {:.0f} % of it the batch held all "
      "there "
      "was to do",
      kIterationWords[bound], TimePercent(e.iteration_bounds, bound),
      TimePercent(e.batch_bounds, 0));
  const std::size_t limit = Longest(e.batch_bounds, 1);
  if (e.batch_bounds[limit].ns > 0) {
    text += fmt::format(", for {:.0f} % it was limited by {}", TimePercent(e.batch_bounds, limit),
                        kBatchWords[limit]);
  }
  return text + ".";
}

template <std::size_t kSize>
std::string BoundTable(const char* title, const std::array<metrics::BoundShare, kSize>& bounds,
                       const std::array<std::string_view, kSize>& words) {
  std::int64_t iterations = 0;
  for (const metrics::BoundShare& bound : bounds) iterations += bound.iterations;
  std::string text = fmt::format("{:<64}{:>12}{:>12}\n", title, "% of time", "% of iter.");
  for (std::size_t i = 0; i < kSize; ++i) {
    if (bounds[i].iterations == 0) continue;
    text += fmt::format(
        "  {:<62}{:>12.1f}{:>12.1f}\n", words[i], TimePercent(bounds, i),
        Percent(static_cast<double>(bounds[i].iterations), static_cast<double>(iterations)));
  }
  return text;
}

std::string PartRow(std::string_view name, const std::array<const Breakdown*, 4>& columns,
                    std::size_t part) {
  std::string line = fmt::format("  {:<20}", name);
  bool any = false;
  for (const Breakdown* b : columns) {
    const double ms = part < kNumParts ? b->parts_ms[part] : b->mean_ms;
    any |= ms > 0;
    line += fmt::format("{:>12.2f}{:>7.1f}", ms, Percent(ms, b->mean_ms));
  }
  return any ? line + "\n" : "";
}

std::string Interval(const WhatIfCell& cell, double base) {
  const double change = Percent(cell.change, base);
  if (!std::isfinite(cell.high)) return fmt::format("{:+.1f} ?", change);
  const bool certain = cell.low > 0 || cell.high < 0;
  const bool nothing = cell.low == 0 && cell.high == 0;
  if (nothing) return "0";
  return fmt::format("{:+.1f}±{:.1f}{}", change, Percent((cell.high - cell.low) / 2, base),
                     certain ? "" : "~");
}

// Code points, since "±" is two bytes.
std::string Right(const std::string& text, std::size_t width) {
  const auto length = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  return std::string(length < width ? width - length : 1, ' ') + text;
}

// The row that changes the figure for the better by most, beyond its interval.
const WhatIfRow* Best(const WhatIfTable& table, std::size_t figure, bool lower_is_better) {
  const WhatIfRow* best = nullptr;
  double most = 0;
  for (const WhatIfRow& row : table.rows) {
    if (figure >= row.cells.size() || !row.cells[figure]) continue;
    const WhatIfCell& cell = *row.cells[figure];
    const bool certain = !table.seeds_differ || (lower_is_better ? cell.high < 0 : cell.low > 0);
    const double gain = lower_is_better ? -cell.change : cell.change;
    if (!certain || gain <= most) continue;
    most = gain;
    best = &row;
  }
  return best;
}

}  // namespace

std::vector<std::string> Conclusions(const Explanation& e) {
  if (e.completed == 0) return {"No request was completed: there is nothing to explain."};
  std::vector<std::string> lines = {Headline(e)};
  if (e.saturated) {
    lines.emplace_back(
        "The queue keeps growing: requests arrive faster than they are served, so latencies depend "
        "on the length of the trace and only throughput can be compared.");
  }
  lines.push_back(Latency("TTFT", e.ttft, e.slowest_ttft));
  if (e.itl.mean_ms > 0) lines.push_back(Latency("TBT", e.itl, e.slowest_itl));
  lines.push_back(BoundSentence(e));
  if (e.extrapolated)
    lines.emplace_back("Some cost was taken from outside the range in which it was measured.");
  return lines;
}

std::string ExplanationText(const Explanation& e) {
  const std::array<const Breakdown*, 4> columns = {&e.ttft, &e.slowest_ttft, &e.itl,
                                                   &e.slowest_itl};
  std::string text = fmt::format("{:<22}{:>19}{:>19}{:>19}{:>19}\n{:<22}", "where the time went",
                                 "TTFT mean", "slowest 1 %", "TBT mean", "slowest 1 %", "");
  for (std::size_t i = 0; i < columns.size(); ++i) text += fmt::format("{:>12}{:>7}", "ms", "%");
  text += "\n";
  for (std::size_t part = 0; part < kNumParts; ++part)
    text += PartRow(metrics::kPartNames[part], columns, part);
  text += PartRow("all", columns, kNumParts);
  text += "\n" + BoundTable("what bound the iterations", e.iteration_bounds, kIterationWords);
  text += "\n" + BoundTable("what kept the batch from holding more", e.batch_bounds, kBatchWords);
  if (e.evictions > 0 || e.block_loads > 0 || e.preemptions > 0) {
    text += fmt::format(
        "\n{} blocks evicted; {} loaded, {} of them again after an eviction; {} "
        "preemptions\n",
        e.evictions, e.block_loads, e.block_reloads, e.preemptions);
  }
  return text;
}

std::vector<std::string> WhatIfConclusions(const WhatIfTable& table) {
  std::vector<std::string> lines;
  const auto tell = [&](const char* figure, const char* words, bool lower_is_better) {
    const auto found = std::find(table.figures.begin(), table.figures.end(), figure);
    const auto f = static_cast<std::size_t>(found - table.figures.begin());
    if (found == table.figures.end() || !table.base[f]) return;
    if (const WhatIfRow* row = Best(table, f, lower_is_better)) {
      const WhatIfCell& cell = *row->cells[f];
      const std::string change =
          table.seeds_differ
              ? Interval(cell, *table.base[f]) + " %"
              : fmt::format("{:+.1f} %, with these requests", Percent(cell.change, *table.base[f]));
      lines.push_back(fmt::format("{} gains most from {}: {}.", words, row->name, change));
    } else {
      lines.push_back(fmt::format("{}: no change tried improves it{}.", words,
                                  table.seeds_differ ? " beyond the spread of the seeds" : ""));
    }
  };
  if (table.rows.empty()) return lines;
  tell("mean_ttft_ms", "Mean TTFT", true);
  tell("mean_itl_ms", "Mean TBT", true);
  tell("output_throughput", "Throughput", false);
  tell("request_goodput", "Goodput", false);
  return lines;
}

std::string WhatIfText(const WhatIfTable& table) {
  if (table.rows.empty()) return "";
  constexpr std::array<std::string_view, 6> kHeads = {"TTFT mean", "TTFT P99",     "TBT mean",
                                                      "TBT P99",   "output tok/s", "goodput"};
  std::string how = ", ± 95 % interval of the paired difference (~ : within the spread)";
  if (!table.seeds_differ) {
    how = table.num_seeds == 1 ? " (? : the interval needs more seeds)"
                               : ", all alike (? : nothing is drawn, no interval is known)";
  }
  std::string text = fmt::format("what if: change in % of the base, {} seed{}{}\n{:<40}",
                                 table.num_seeds, table.num_seeds == 1 ? "" : "s", how, "");
  for (std::size_t f = 0; f < table.figures.size(); ++f)
    text += table.base[f] ? fmt::format("{:>14}", kHeads[f]) : "";
  text += fmt::format("\n{:<40}", "base");
  for (std::size_t f = 0; f < table.figures.size(); ++f) {
    if (!table.base[f]) continue;
    text +=
        fmt::format("{:>14}", f < 4 ? Time(*table.base[f]) : fmt::format("{:.4g}", *table.base[f]));
  }
  text += table.base_saturated ? "  saturated\n" : "\n";
  for (const WhatIfRow& row : table.rows) {
    text += fmt::format("{:<40}", row.name);
    for (std::size_t f = 0; f < row.cells.size(); ++f) {
      if (!table.base[f]) continue;
      const std::string cell = row.cells[f] ? Interval(*row.cells[f], *table.base[f]) : "-";
      text += Right(cell.ends_with('~') ? cell : cell + " ", 14);
    }
    text += row.note + (row.saturated ? "  saturated" : "") + "\n";
  }
  for (const std::string& line : table.left_out) text += "left out: " + line + "\n";
  return text;
}

}  // namespace sparseserve::report
