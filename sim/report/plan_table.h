// What a plan leaves: the ranking for people, and CSV files for other programs.
#pragma once

#include <string>
#include <vector>

#include "sim/plan/planner.h"
#include "sim/report/table.h"

namespace sparseserve::report {

// What a table of a plan has to know beside the result.
struct PlanView {
  std::string name;
  std::string slo;                // in words
  std::vector<std::string> axes;  // of the labels
  double precision = 0;
  const plan::PlanRequest& request;
  const std::vector<plan::Candidate>& candidates;
  const plan::PlanResult& result;
};

// The ranking, its terms, and the conclusion first. Of an infeasible plan: what would have to give.
std::string PlanText(const PlanView& view, Style style = Style::kTerminal);
// One line per candidate, in the order of the ranking.
std::string PlanCsv(const PlanView& view);

// The columns of AIConfigurator's best_config_topn.csv and pareto.csv (read at commit 095f58a),
// with total_gpus_needed and replicas_needed of its `recommend`. What we do not model is empty.
// Latencies in ms, `memory` empty. `pareto` holds every rate that kept the SLO and is best in
// tokens/s/user for its tokens/s/gpu.
std::string BestConfigCsv(const PlanView& view, const std::string& version);
std::string ParetoCsv(const PlanView& view, const std::string& version);
// A gnuplot script that draws pareto.csv into pareto.svg, both in its working directory.
std::string ParetoScript(const PlanView& view);

}  // namespace sparseserve::report
