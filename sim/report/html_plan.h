// A plan as the HTML report shows it, read from the files that `sparseserve plan` leaves. Private
// to sim/report.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sparseserve::report {

// A line of plan.csv. What the search did not find is nothing.
struct RankedCandidate {
  std::vector<std::string> labels;  // of the axes
  std::string model, machine, binding;
  std::optional<double> rate, rate_low, rate_high, rate_slow, rate_fast;  // requests/s a replica
  std::optional<double> replicas, replicas_low, replicas_high, gpus;      // 0 replicas: infeasible
  std::optional<double> cost_per_hour, cost_per_million;                  // 0: no price
  std::optional<double> use;  // of the tightest limit, 1: all of it
  std::optional<double> mean_ttft_ms, p99_ttft_ms, mean_tpot_ms, p99_itl_ms;
  std::optional<double> verified_seeds, held_seeds;

  bool is_feasible() const { return replicas.value_or(0) > 0; }
};

struct ParetoPoint {
  std::optional<std::size_t> candidate;  // nothing: more than one may be meant
  double rate = 0;                       // requests/s a replica
  double tokens_per_user = 0;            // output tokens/s
  double tokens_per_gpu = 0;
};

struct ReportPlan {
  std::string subject;  // first line of plan.md: name, demand and service level
  std::vector<std::string> axes;
  std::vector<RankedCandidate> candidates;  // in the order of the ranking
  std::vector<ParetoPoint> capacities;      // of best_config_topn.csv: each at its highest rate
  std::vector<ParetoPoint> frontier;        // of pareto.csv, by tokens_per_user, falling
};

// Throws InputError naming file, line and column.
ReportPlan ReadReportPlan(const std::string& directory);

// "sparseserve, h100": the labels, or the machine where there is no axis.
std::string NameOf(const RankedCandidate& candidate);
// What html/plan.js draws.
std::string PlanDataJson(const ReportPlan& plan);
// What the ranking says: the first choice, what the next one costs more, and what limits it.
std::vector<std::string> PlanConclusions(const ReportPlan& plan);
std::vector<std::string> PlanWarnings(const ReportPlan& plan);

}  // namespace sparseserve::report
