#include "sim/report/html_conclusion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>

#include "sim/report/comparison.h"
#include "sim/report/comparison_text.h"
#include "sim/report/html_page.h"

namespace sparseserve::report {
namespace {

using enum Metric;
using Runs = std::vector<const ReportRun*>;

constexpr double kAsGood = 0.01;  // relative difference that names no winner

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

std::string Value(Metric metric, double value) {
  const std::string_view unit = InfoOf(metric).unit;
  if (unit == "ms" && value >= 1000) return ThreeDigits(value / 1000) + " s";
  return ThreeDigits(value) + (unit == "%" ? " %" : " " + std::string(unit));
}

// The runs that know the metric, the best first; equal ones stay in order.
Runs Ranked(const Runs& runs, Metric metric, bool high_is_good) {
  Runs ranked;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(ranked),
               [&](const ReportRun* run) { return run->figures[metric].has_value(); });
  std::stable_sort(ranked.begin(), ranked.end(), [&](const ReportRun* a, const ReportRun* b) {
    const double x = *a->figures[metric], y = *b->figures[metric];
    return high_is_good ? x > y : x < y;
  });
  return ranked;
}

// "Highest output throughput: b, 394 tok/s, 1.04 times the lowest (a, 377 tok/s); within 1 % of it:
// c and d."
std::string Winner(const Runs& runs, Metric metric, bool high_is_good) {
  const Runs ranked = Ranked(runs, metric, high_is_good);
  if (ranked.size() < 2) return "";
  const double best = *ranked.front()->figures[metric];
  const double worst = *ranked.back()->figures[metric];
  const auto is_as_good = [&](const ReportRun* run) {
    return std::abs(*run->figures[metric] - best) <= kAsGood * std::abs(best);
  };
  const std::string title(InfoOf(metric).title);
  if (is_as_good(ranked.back()))
    return fmt::format("{}: all within 1 % of {}.", title, Value(metric, best));
  std::string text = fmt::format("{} {}: {}, {}", high_is_good ? "Highest" : "Lowest", title,
                                 ranked.front()->label(), Value(metric, best));
  const double smaller = std::min(best, worst), larger = std::max(best, worst);
  if (smaller > 0) {
    text += high_is_good
                ? fmt::format(", {} times that of {} ({})", ThreeDigits(larger / smaller),
                              ranked.back()->label(), Value(metric, worst))
                : fmt::format(", {} times lower than {} ({})", ThreeDigits(larger / smaller),
                              ranked.back()->label(), Value(metric, worst));
  }
  std::vector<std::string> close;
  for (std::size_t i = 1; i < ranked.size(); ++i)
    if (is_as_good(ranked[i])) close.push_back(ranked[i]->label());
  if (!close.empty()) text += "; within 1 % of it: " + Join(close);
  return text + ".";
}

std::string Served(const ReportRun& run) {
  const RunFigures& figures = run.figures;
  const auto text = [&](Metric metric) {
    return figures[metric] ? Value(metric, *figures[metric]) : std::string("unknown");
  };
  return fmt::format(
      "{} serves {} on {} with {} of output, TTFT {} on average ({} at P99) and {} "
      "between tokens ({} at P99).",
      run.label(), figures.model, figures.hardware, text(kOutputThroughput), text(kMeanTtft),
      text(kP99Ttft), text(kMeanItl), text(kP99Itl));
}

// Where most of the time goes.
std::string LargestShare(const ReportRun& run) {
  struct Part {
    Metric metric;
    std::string_view text;
  };
  constexpr std::array kParts = {
      Part{kComputeShare, "the GPU computes projections, MLP and scores"},
      Part{kAttentionShare, "the GPU computes attention"},
      Part{kLoadStallShare, "compute waits for KV blocks from DRAM"},
      Part{kSaveStallShare, "compute waits for KV to be saved"},
      Part{kHostShare, "the engine's host work runs between iterations"},
      Part{kIdleShare, "there is nothing to do"},
  };
  const Part* largest = nullptr;
  for (const Part& part : kParts) {
    const auto& share = run.figures[part.metric];
    if (share && (largest == nullptr || *share > *run.figures[largest->metric])) largest = &part;
  }
  if (largest == nullptr) return "";
  return fmt::format("For {} % of the time {}.", ThreeDigits(*run.figures[largest->metric]),
                     largest->text);
}

// One sentence for each prediction of a measured run.
std::vector<std::string> PredictionSentences(std::span<const ReportRun> runs) {
  std::vector<std::string> sentences;
  const ReportRun* measured = nullptr;
  for (const ReportRun& run : runs) {
    if (run.role == "measured") measured = &run;
    if (run.role.empty() || run.role == "measured" || measured == nullptr) continue;
    if (measured->name != run.name) continue;
    const Comparison comparison = Compare(measured->figures, run.figures);
    if (comparison.IsJudged())
      sentences.push_back(
          fmt::format("{}, measured against {}: {}.", run.name, run.role, Verdict(comparison)));
  }
  return sentences;
}

std::vector<std::string> Labels(std::span<const ReportRun> runs,
                                bool (*is_meant)(const ReportRun&)) {
  std::vector<std::string> labels;
  for (const ReportRun& run : runs)
    if (is_meant(run)) labels.push_back(run.label());
  return labels;
}

// "seed (1, 2)" for what differs between runs that stand side by side.
std::vector<std::string> Differences(std::span<const ReportRun> runs) {
  std::vector<std::string> differences;
  const auto check = [&](std::string_view what, const auto& text_of) {
    std::set<std::string> values;
    for (const ReportRun& run : runs) values.insert(text_of(run.figures));
    if (values.size() > 1)
      differences.push_back(
          fmt::format("{} ({})", what,
                      fmt::join(std::vector<std::string>(values.begin(), values.end()), ", ")));
  };
  check("model", [](const RunFigures& f) { return f.model; });
  check("hardware", [](const RunFigures& f) { return f.hardware; });
  check("seed", [](const RunFigures& f) { return f.seed; });
  check("number of requests", [](const RunFigures& f) {
    return f.num_requests ? fmt::format("{}", *f.num_requests) : "";
  });
  return differences;
}

}  // namespace

std::vector<std::string> Conclusions(std::span<const ReportRun> runs) {
  // Predictions are judged against measurements, systems against systems of the same kind.
  Runs systems;
  for (const ReportRun& run : runs)
    if (run.role.empty() || run.role == "measured") systems.push_back(&run);
  std::vector<std::string> sentences;
  if (systems.size() == 1) {
    sentences = {Served(*systems.front()), LargestShare(*systems.front())};
  } else {
    sentences = {Winner(systems, kOutputThroughput, true), Winner(systems, kMeanTtft, false),
                 Winner(systems, kMeanItl, false)};
  }
  for (std::string& sentence : PredictionSentences(runs)) sentences.push_back(std::move(sentence));
  std::erase(sentences, "");
  return sentences;
}

std::vector<std::string> Warnings(std::span<const ReportRun> runs) {
  std::vector<std::string> warnings;
  const auto add = [&](bool (*is_meant)(const ReportRun&), std::string_view what) {
    const std::vector<std::string> labels = Labels(runs, is_meant);
    if (!labels.empty()) warnings.push_back(fmt::format("{}: {}", Join(labels), what));
  };
  add([](const ReportRun& run) { return run.saturated; },
      "saturated. The queue keeps growing, so latencies depend on the length of the trace and only "
      "throughput can be compared.");
  add([](const ReportRun& run) { return run.extrapolated; },
      "extrapolated. A cost lies outside the range in which it was measured.");
  for (const ReportRun& run : runs) {
    if (run.failed > 0)
      warnings.push_back(fmt::format("{}: {} of {} requests failed.", run.label(), run.failed,
                                     run.figures.num_requests.value_or(0)));
    for (const std::string& remark : run.figures.remarks)
      warnings.push_back(run.label() + ": " + remark + ".");
  }
  const std::vector<std::string> differences = Differences(runs);
  if (!differences.empty())
    warnings.push_back("The runs differ in " + Join(differences) +
                       "; what differs between them is not the system alone.");
  return warnings;
}

}  // namespace sparseserve::report
