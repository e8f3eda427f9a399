#include "sim/report/html_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "sim/core/error.h"
#include "sim/report/html_assets.h"
#include "sim/report/html_page.h"
#include "sim/report/html_report.h"
#include "traces/csv.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;
using traces::CsvReader;

constexpr std::string_view kRanking = "plan.csv";
constexpr std::string_view kFrontier = "pareto.csv";
constexpr std::string_view kCapacities = "best_config_topn.csv";

std::string In(const std::string& directory, std::string_view name) {
  return (std::filesystem::path(directory) / name).string();
}

struct NumberColumn {
  const char* name;
  std::optional<double> RankedCandidate::*field;
};
constexpr std::array kNumbers = {
    NumberColumn{"rate", &RankedCandidate::rate},
    NumberColumn{"rate_low", &RankedCandidate::rate_low},
    NumberColumn{"rate_high", &RankedCandidate::rate_high},
    NumberColumn{"rate_slow", &RankedCandidate::rate_slow},
    NumberColumn{"rate_fast", &RankedCandidate::rate_fast},
    NumberColumn{"replicas", &RankedCandidate::replicas},
    NumberColumn{"replicas_low", &RankedCandidate::replicas_low},
    NumberColumn{"replicas_high", &RankedCandidate::replicas_high},
    NumberColumn{"gpus", &RankedCandidate::gpus},
    NumberColumn{"cost_per_hour", &RankedCandidate::cost_per_hour},
    NumberColumn{"cost_per_million_output_tokens", &RankedCandidate::cost_per_million},
    NumberColumn{"use", &RankedCandidate::use},
    NumberColumn{"mean_ttft_ms", &RankedCandidate::mean_ttft_ms},
    NumberColumn{"p99_ttft_ms", &RankedCandidate::p99_ttft_ms},
    NumberColumn{"mean_tpot_ms", &RankedCandidate::mean_tpot_ms},
    NumberColumn{"p99_itl_ms", &RankedCandidate::p99_itl_ms},
    NumberColumn{"verified_seeds", &RankedCandidate::verified_seeds},
    NumberColumn{"held_seeds", &RankedCandidate::held_seeds},
};

// A cell of the record; a torn one has fewer.
std::string Cell(const CsvReader& csv, std::size_t column) {
  if (csv.fields().size() != csv.header().size()) {
    throw InputError({.where = csv.where(),
                      .key = "",
                      .what = fmt::format("{} fields", csv.fields().size()),
                      .expected = fmt::format("{}, as in the header", csv.header().size()),
                      .hint = ""});
  }
  return std::string(csv.fields()[column]);
}

std::optional<double> NumberCell(const CsvReader& csv, std::size_t column) {
  const std::string text = Cell(csv, column);
  if (text.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(value))
    return value;
  throw InputError({.where = csv.where(),
                    .key = csv.header()[column],
                    .what = "'" + text + "' is no number",
                    .expected = "a number or nothing",
                    .hint = ""});
}

void ReadRanking(const std::string& path, ReportPlan& plan) {
  CsvReader csv{traces::LineReader(path)};
  const std::size_t model = csv.Require("model"), machine = csv.Require("machine"),
                    binding = csv.Require("binding");
  std::array<std::size_t, kNumbers.size()> columns{};
  for (std::size_t i = 0; i < kNumbers.size(); ++i) columns[i] = csv.Require(kNumbers[i].name);
  plan.axes.assign(csv.header().begin(),  // the axes stand before the model
                   csv.header().begin() + static_cast<std::ptrdiff_t>(model));
  while (csv.Next()) {
    RankedCandidate candidate;
    candidate.model = Cell(csv, model);
    candidate.machine = Cell(csv, machine);
    candidate.binding = Cell(csv, binding);
    for (std::size_t a = 0; a < model; ++a) candidate.labels.push_back(Cell(csv, a));
    for (std::size_t i = 0; i < kNumbers.size(); ++i)
      candidate.*kNumbers[i].field = NumberCell(csv, columns[i]);
    plan.candidates.push_back(std::move(candidate));
  }
  if (plan.candidates.empty()) {
    throw InputError({.where = {path, 0, 0},
                      .key = "",
                      .what = "holds no candidate",
                      .expected = "what 'sparseserve plan' writes",
                      .hint = ""});
  }
}

// A point and what AIConfigurator's columns tell of its candidate.
struct NamedPoint {
  std::string key;
  ParetoPoint point;
};

std::vector<NamedPoint> ReadPoints(const std::string& path) {
  CsvReader csv{traces::LineReader(path)};
  const std::size_t rate = csv.Require("request_rate"), user = csv.Require("tokens/s/user"),
                    gpu = csv.Require("tokens/s/gpu");
  const std::array keys = {csv.Require("model"), csv.Require("backend"), csv.Require("system"),
                           csv.Require("tp")};
  std::vector<NamedPoint> points;
  while (csv.Next()) {
    NamedPoint& named = points.emplace_back();
    for (const std::size_t key : keys) named.key += Cell(csv, key) + "\n";
    named.point = {.candidate = std::nullopt,
                   .rate = NumberCell(csv, rate).value_or(0),
                   .tokens_per_user = NumberCell(csv, user).value_or(0),
                   .tokens_per_gpu = NumberCell(csv, gpu).value_or(0)};
  }
  return points;
}

// best_config_topn.csv has a line for each feasible candidate, in the order of the ranking; what
// one of them alone is called names points of the frontier too.
void ReadPareto(const std::string& directory, ReportPlan& plan) {
  std::map<std::string, std::vector<std::size_t>> by_key;
  if (std::filesystem::exists(In(directory, kCapacities))) {
    std::vector<std::size_t> feasible;
    for (std::size_t i = 0; i < plan.candidates.size(); ++i)
      if (plan.candidates[i].is_feasible()) feasible.push_back(i);
    const std::vector<NamedPoint> points = ReadPoints(In(directory, kCapacities));
    if (points.size() != feasible.size()) {
      throw InputError({.where = {In(directory, kCapacities), 0, 0},
                        .key = "",
                        .what = fmt::format("{} lines", points.size()),
                        .expected = fmt::format("{}, one for each feasible candidate of plan.csv",
                                                feasible.size()),
                        .hint = "do the files belong to one plan?"});
    }
    for (std::size_t i = 0; i < points.size(); ++i) {
      plan.capacities.push_back(points[i].point);
      plan.capacities.back().candidate = feasible[i];
      by_key[points[i].key].push_back(feasible[i]);
    }
  }
  for (const NamedPoint& named : ReadPoints(In(directory, kFrontier))) {
    plan.frontier.push_back(named.point);
    const auto found = by_key.find(named.key);
    if (found != by_key.end() && found->second.size() == 1)
      plan.frontier.back().candidate = found->second.front();
  }
}

// "out: demand 12 req/s; ..." of plan.md, if it is there.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

Json Known(std::optional<double> value) { return value ? Json(Rounded(*value)) : Json(nullptr); }

Json PointsJson(const std::vector<ParetoPoint>& points) {
  Json json = Json::array();
  for (const ParetoPoint& point : points)
    json.push_back({{"candidate", point.candidate ? Json(*point.candidate) : Json(nullptr)},
                    {"rate", Rounded(point.rate)},
                    {"user", Rounded(point.tokens_per_user)},
                    {"gpu", Rounded(point.tokens_per_gpu)}});
  return json;
}

std::string Gpus(const RankedCandidate& candidate) {
  return fmt::format("{:.0f} GPU{} ({:.0f} replica{})", candidate.gpus.value_or(0),
                     candidate.gpus == 1.0 ? "" : "s", candidate.replicas.value_or(0),
                     candidate.replicas == 1.0 ? "" : "s");
}

bool IsPriced(const RankedCandidate& candidate) { return candidate.cost_per_hour.value_or(0) > 0; }

std::string FirstChoice(const RankedCandidate& best) {
  std::string text = fmt::format("{} serves the demand with {}", NameOf(best), Gpus(best));
  if (IsPriced(best))
    text += fmt::format(" for {} an hour, {} per million output tokens",
                        ThreeDigits(*best.cost_per_hour),
                        ThreeDigits(best.cost_per_million.value_or(0)));
  if (best.verified_seeds.value_or(0) > 0)
    text += fmt::format("; held in {:.0f} of {:.0f} seeds that the search had not seen",
                        best.held_seeds.value_or(0), *best.verified_seeds);
  return text + ".";
}

std::string NextChoice(const RankedCandidate& best, const RankedCandidate& next) {
  const std::string than = fmt::format("Next: {} with {}", NameOf(next), Gpus(next));
  if (!IsPriced(best) || !IsPriced(next)) return than + ".";
  const double more = *next.cost_per_hour / *best.cost_per_hour - 1;
  if (std::abs(more) < 5e-4) return than + " at the same cost.";
  return than + fmt::format(", {:+.1f} % of cost.", 100 * more);
}

}  // namespace

bool HoldsPlan(const std::string& directory) {
  return std::filesystem::exists(In(directory, kRanking));
}

ReportPlan ReadReportPlan(const std::string& directory) {
  ReportPlan plan;
  plan.subject = FirstLine(In(directory, "plan.md"));
  ReadRanking(In(directory, kRanking), plan);
  ReadPareto(directory, plan);
  return plan;
}

std::string NameOf(const RankedCandidate& candidate) {
  if (candidate.labels.empty()) return candidate.machine;
  return fmt::format("{}", fmt::join(candidate.labels, ", "));
}

std::string PlanDataJson(const ReportPlan& plan) {
  Json json = {{"kind", "plan"},
               {"axes", plan.axes},
               {"runs", Json::array()},
               {"candidates", Json::array()},
               {"capacities", PointsJson(plan.capacities)},
               {"frontier", PointsJson(plan.frontier)}};
  for (const RankedCandidate& candidate : plan.candidates) {
    const std::string name = NameOf(candidate);
    json["runs"].push_back({{"name", name}, {"label", name}, {"role", ""}});
    Json row = {{"labels", candidate.labels},
                {"model", candidate.model},
                {"machine", candidate.machine},
                {"binding", candidate.binding}};
    for (const NumberColumn& column : kNumbers) row[column.name] = Known(candidate.*column.field);
    json["candidates"].push_back(std::move(row));
  }
  json["runs"].push_back({{"name", "frontier"}, {"label", "frontier"}, {"role", ""}});
  return EmbeddedJson(json.dump(-1, ' ', true, Json::error_handler_t::replace));
}

std::vector<std::string> PlanConclusions(const ReportPlan& plan) {
  std::vector<const RankedCandidate*> feasible;
  for (const RankedCandidate& candidate : plan.candidates)
    if (candidate.is_feasible()) feasible.push_back(&candidate);
  if (feasible.empty()) return {"No candidate holds the service level."};
  const RankedCandidate& best = *feasible.front();
  std::vector<std::string> sentences = {FirstChoice(best)};
  if (feasible.size() > 1) sentences.push_back(NextChoice(best, *feasible[1]));
  if (best.rate && !best.binding.empty())
    sentences.push_back(fmt::format("A replica of {} holds {} req/s; beyond it {} fails first.",
                                    NameOf(best), ThreeDigits(*best.rate), best.binding));
  return sentences;
}

std::vector<std::string> PlanWarnings(const ReportPlan& plan) {
  std::vector<std::string> warnings, infeasible;
  for (const RankedCandidate& candidate : plan.candidates) {
    const double verified = candidate.verified_seeds.value_or(0);
    if (candidate.held_seeds.value_or(0) < verified)
      warnings.push_back(fmt::format("{} held in {:.0f} of {:.0f} seeds only.", NameOf(candidate),
                                     *candidate.held_seeds, verified));
    if (!candidate.is_feasible()) infeasible.push_back(NameOf(candidate));
  }
  if (!infeasible.empty())
    warnings.push_back(fmt::format("Cannot hold the service level at any rate tried: {}.",
                                   fmt::join(infeasible, "; ")));
  return warnings;
}

std::string HtmlPlanReport(const std::string& directory, const std::string& title) {
  const ReportPlan plan = ReadReportPlan(directory);
  std::set<std::string> models;
  for (const RankedCandidate& candidate : plan.candidates) models.insert(candidate.model);
  const std::string of_models = fmt::format("Plan for {}", fmt::join(models, ", "));
  const std::string candidates = fmt::format("{} candidates", plan.candidates.size());
  return FilledPage(
      {.title = title.empty() ? of_models : title,
       .subject = plan.subject.empty() ? candidates : plan.subject + "; " + candidates,
       .conclusions = PlanConclusions(plan),
       .warnings = PlanWarnings(plan),
       .data = PlanDataJson(plan),
       .script = kHtmlPlanScript});
}

}  // namespace sparseserve::report
