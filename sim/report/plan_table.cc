#include "sim/report/plan_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/metrics/figures.h"
#include "sim/report/sweep_table.h"
#include "sim/report/text_table.h"

namespace sparseserve::report {
namespace {

using plan::Candidate;
using plan::PlannedCandidate;
using plan::Probe;

constexpr double kLeastLatencies = 8;

double Figure(const plan::Outcome& outcome, std::string_view name) {
  if (!outcome.feasible) return std::nan("");
  return outcome.figures[*metrics::FindFigure(name)];
}

std::string Short(double value, const char* format = "{:.4g}") {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "-";
}

std::string Joined(const std::vector<std::string>& labels) {
  std::string text;
  for (const std::string& label : labels) text += (text.empty() ? "" : ", ") + label;
  return text;
}

// Whether the run at the capacity is short beside what a request takes: the system then spends much
// of it filling up, and holds more than it could for long.
bool IsShort(const PlannedCandidate& planned) {
  const Probe& best = planned.capacity.best;
  const double arrivals_s = Figure(best.outcome, "completed") / best.rate;
  return planned.replicas > 0 &&
         arrivals_s < kLeastLatencies * Figure(best.outcome, "mean_e2el_ms") / 1e3;
}

std::string RateText(const PlannedCandidate& planned) {
  if (planned.replicas == 0) return "none";
  const std::string bound = planned.capacity.above_range ? ">= " : "";
  std::string text = bound + Short(planned.rate.mean);
  if (std::isfinite(planned.rate.low))
    text += fmt::format(" [{}, {}]", Short(planned.rate.low), Short(planned.rate.high));
  return text + (IsShort(planned) ? " ~" : "");
}

// "3", or "3 or 4" where the interval does not decide.
std::string ReplicasText(const PlannedCandidate& planned) {
  if (planned.replicas == 0) return "-";
  const bool is_verified = !planned.verifications.empty() && planned.verifications.back().held();
  const std::int64_t low = planned.replicas_low;
  const std::int64_t high = planned.replicas_high;
  std::string text = std::to_string(planned.replicas);
  if (low == high || (is_verified && planned.replicas >= high)) return text;
  return text + fmt::format(" ({} to {})", std::min(low, planned.replicas),
                            high == 0 ? "?" : std::to_string(std::max(high, planned.replicas)));
}

std::string VerifiedText(const PlannedCandidate& planned) {
  if (planned.verifications.empty()) return "-";
  const plan::Verification& last = planned.verifications.back();
  const auto held = std::count_if(last.verdicts.begin(), last.verdicts.end(),
                                  [](const plan::Verdict& v) { return v.held; });
  std::string text = fmt::format("{}/{} seeds", held, last.verdicts.size());
  if (planned.verifications.size() > 1)
    text += fmt::format(", {} more", planned.verifications.size() - 1);
  return text;
}

// What limits: the criterion that fails first, and where the time goes right below.
std::string BoundText(const PlannedCandidate& planned) {
  const plan::Capacity& capacity = planned.capacity;
  if (capacity.above_range) return "range of the search";
  std::string text = capacity.beyond.verdict.binding;
  if (planned.replicas == 0) return text;
  const std::pair<const char*, const char*> shares[] = {{"compute", "time_share.compute"},
                                                        {"attention", "time_share.attention"},
                                                        {"load stall", "time_share.load_stall"},
                                                        {"save stall", "time_share.save_stall"},
                                                        {"host", "time_share.host"},
                                                        {"idle", "time_share.idle"}};
  const char* most = "";
  double most_share = -1;
  for (const auto& [name, figure] : shares) {
    const double share = Figure(capacity.best.outcome, figure);
    if (share > most_share) most = name, most_share = share;
  }
  return text + fmt::format("; {} {:.0f} %", most, most_share * 100);
}

// How much of the tightest limit is left at the capacity.
std::string MarginText(const PlannedCandidate& planned) {
  if (planned.replicas == 0) return "-";
  const double use = planned.capacity.best.verdict.use;
  return std::isfinite(use) ? fmt::format("{:.0f} %", (1 - use) * 100) : "-";
}

// The infeasible candidate that misses by least, at the lowest rate tried.
std::string Relaxation(const PlanView& view) {
  const PlannedCandidate* nearest = nullptr;
  for (const PlannedCandidate& planned : view.result.ranking) {
    if (planned.replicas > 0 || !planned.capacity.best.outcome.feasible) continue;
    if (nearest == nullptr ||
        planned.capacity.best.verdict.use < nearest->capacity.best.verdict.use)
      nearest = &planned;
  }
  if (nearest == nullptr) return "No candidate can serve the workload at all.\n";
  const Probe& probe = nearest->capacity.best;
  std::string text =
      fmt::format("Nearest: {} at {} req/s", Joined(view.candidates[nearest->candidate].labels),
                  Short(probe.rate));
  for (const plan::Criterion& criterion : view.request.criteria) {
    const double value = probe.outcome.figures[criterion.figure];
    if (criterion.Use(probe.outcome.figures) <= 1) continue;
    text += fmt::format("; {} is {}, the limit {}", criterion.name, Short(value),
                        Short(criterion.limit));
    if (!criterion.at_least) continue;
    // A share does not say how far off the limits are; the latencies do.
    const auto both = [&](const char* mean, const char* p99) {
      return fmt::format("{} ms (P99 {} ms)", Short(Figure(probe.outcome, mean)),
                         Short(Figure(probe.outcome, p99)));
    };
    text += fmt::format(", with a mean TTFT of {}, TPOT of {}, E2E of {}",
                        both("mean_ttft_ms", "p99_ttft_ms"), both("mean_tpot_ms", "p99_tpot_ms"),
                        both("mean_e2el_ms", "p99_e2el_ms"));
  }
  return text + ". To be feasible, relax the limits to what it has there.\n";
}

std::string Conclusion(const PlanView& view) {
  if (!view.result.feasible) return "No candidate holds the service level. " + Relaxation(view);
  const PlannedCandidate& best = view.result.ranking.front();
  const Candidate& candidate = view.candidates[best.candidate];
  std::string text =
      fmt::format("{}: {} GPU{}, replicas {}, GPUs of each {}", Joined(candidate.labels), best.gpus,
                  best.gpus == 1 ? "" : "s", ReplicasText(best), candidate.gpus_per_replica);
  if (best.cost_per_hour > 0) {
    text += fmt::format(", {} an hour, {} per million output tokens", Short(best.cost_per_hour),
                        Short(best.cost_per_million_output_tokens));
  }
  if (!best.verifications.empty())
    text += fmt::format("; held in {} that the search had not seen", VerifiedText(best));
  return text + ".\n";
}

struct Point {
  const PlannedCandidate* planned;
  const Probe* probe;
};

double MeanOf(const plan::Outcome& outcome, std::string_view total) {
  return Figure(outcome, total) / std::max(1.0, Figure(outcome, "completed"));
}

// At a rate that holds, what is asked for is served: the rate times the mean output. Throughput
// measured in the run would miss what a short run has not finished by its last arrival.
double TokensPerSecond(const Probe& probe) {
  return probe.rate * MeanOf(probe.outcome, "total_output_tokens");
}

double TokensPerGpu(const PlanView& view, const Point& point) {
  const auto gpus = view.candidates[point.planned->candidate].gpus_per_replica;
  return TokensPerSecond(*point.probe) / static_cast<double>(gpus);
}
double TokensPerUser(const Point& point) {
  return 1000 / Figure(point.probe->outcome, "mean_tpot_ms");
}

constexpr const char* kColumns =
    "model,isl,osl,prefix,concurrency,request_rate,bs,global_bs,ttft,tpot,request_latency,seq/s,"
    "seq/s/gpu,tokens/s,tokens/s/gpu,tokens/s/user,num_total_gpus,tp,pp,dp,moe_tp,moe_ep,parallel,"
    "gemm,kvcache,fmha,moe,comm,memory,backend,version,system,power_w,total_gpus_needed,"
    "replicas_needed\n";

std::string AiConfiguratorRow(const PlanView& view, const Point& point,
                              const std::string& version) {
  const Candidate& candidate = view.candidates[point.planned->candidate];
  const plan::Outcome& outcome = point.probe->outcome;
  const auto gpus = static_cast<double>(candidate.gpus_per_replica);
  const double osl = MeanOf(outcome, "total_output_tokens");
  const double isl = MeanOf(outcome, "total_input_tokens");
  const double tokens = TokensPerSecond(*point.probe);
  const double latency = Figure(outcome, "mean_e2el_ms");
  const double sequences = point.probe->rate;
  // Little's law: requests in the system on average.
  const double concurrency = sequences * latency / 1000;
  const double batch = Figure(outcome, "batch.mean");
  return fmt::format(
      "{},{:.1f},{:.1f},0,{:.3f},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{:.5g},{:.5g},{:.5g},{:.5g},"
      "{:.5g},{},{},1,1,1,1,tp{},,,,,,,{},{},{},,{},{}\n",
      CsvField(candidate.model), isl, osl, concurrency, point.probe->rate, batch, batch,
      Figure(outcome, "mean_ttft_ms"), Figure(outcome, "mean_tpot_ms"), latency, sequences,
      sequences / gpus, tokens, tokens / gpus, TokensPerUser(point), candidate.gpus_per_replica,
      candidate.gpus_per_replica, candidate.gpus_per_replica, CsvField(candidate.system),
      CsvField(version), CsvField(candidate.machine), point.planned->gpus, point.planned->replicas);
}

// The held rates that no other one beats in both coordinates, by tokens/s/user.
std::vector<Point> Frontier(const PlanView& view) {
  std::vector<Point> points;
  for (const PlannedCandidate& planned : view.result.ranking) {
    for (const Probe& probe : planned.capacity.probes) {
      if (probe.verdict.held && std::isfinite(TokensPerUser({&planned, &probe})))
        points.push_back({&planned, &probe});
    }
  }
  std::stable_sort(points.begin(), points.end(), [&](const Point& a, const Point& b) {
    if (TokensPerUser(a) != TokensPerUser(b)) return TokensPerUser(a) > TokensPerUser(b);
    return TokensPerGpu(view, a) > TokensPerGpu(view, b);
  });
  std::vector<Point> frontier;
  for (const Point& point : points) {
    if (frontier.empty() || TokensPerGpu(view, point) > TokensPerGpu(view, frontier.back()))
      frontier.push_back(point);
  }
  return frontier;
}

}  // namespace

std::string PlanText(const PlanView& view, Style style) {
  std::string out = fmt::format("{}: demand {} req/s; {}\n{}\n", view.name,
                                Short(view.request.demand), view.slo, Conclusion(view));
  std::vector<std::vector<std::string>> rows = {{"#"}};
  rows[0].insert(rows[0].end(), view.axes.begin(), view.axes.end());
  rows[0].insert(rows[0].end(), {"req/s per replica", "replicas", "GPUs", "cost/h", "per M tok",
                                 "TTFT ms", "TPOT ms", "margin", "bound by", "verified"});
  std::int64_t place = 0;
  for (const PlannedCandidate& planned : view.result.ranking) {
    const Candidate& candidate = view.candidates[planned.candidate];
    const plan::Outcome& at = planned.capacity.best.outcome;
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(std::to_string(++place));
    row.insert(row.end(), candidate.labels.begin(), candidate.labels.end());
    const bool priced = planned.cost_per_hour > 0;
    row.insert(row.end(), {RateText(planned), ReplicasText(planned),
                           planned.gpus > 0 ? std::to_string(planned.gpus) : "-",
                           priced ? Short(planned.cost_per_hour) : "-",
                           priced ? Short(planned.cost_per_million_output_tokens) : "-",
                           Short(Figure(at, "mean_ttft_ms")), Short(Figure(at, "mean_tpot_ms")),
                           MarginText(planned), BoundText(planned), VerifiedText(planned)});
  }
  AppendTextTable(rows, style, out);
  out += fmt::format(
      "\nreq/s per replica: highest rate that holds, on a grid of {:.1f} %, mean over {} seeds; in "
      "brackets\nwith the spread over seeds (95 %, Student t) and the error of operation times.\n"
      "TTFT, TPOT: means at that rate. margin: of the tightest limit, left at that rate. bound by: "
      "what fails\nfirst beyond it; where most of the time goes. verified: all replicas together "
      "at the demand.\n",
      view.precision * 100, view.request.seeds);
  const auto& ranking = view.result.ranking;
  if (std::any_of(ranking.begin(), ranking.end(), IsShort)) {
    out += fmt::format(
        "~: all requests arrive within {:.0f} mean latencies, so that much of the run fills the "
        "system up and the\nrate is overstated: use more requests (workload.num_requests, "
        "warmup_requests).\n",
        kLeastLatencies);
  }
  for (std::size_t i = 0; i < view.candidates.size(); ++i) {
    const Candidate& candidate = view.candidates[i];
    const bool is_new = std::none_of(
        view.candidates.begin(), view.candidates.begin() + static_cast<std::ptrdiff_t>(i),
        [&](const Candidate& other) { return other.machine == candidate.machine; });
    if (!is_new) continue;
    out += fmt::format("error of operation times on {}: {:.1f} %, {}.\n", candidate.machine,
                       candidate.calibration_error * 100, candidate.error_source);
  }
  return out;
}

std::string PlanCsv(const PlanView& view) {
  std::string out;
  for (const std::string& axis : view.axes) out += CsvField(axis) + ",";
  out +=
      "model,machine,rate,rate_low,rate_high,rate_slow,rate_fast,replicas,replicas_low,"
      "replicas_high,gpus,cost_per_hour,cost_per_million_output_tokens,binding,use,beyond_rate,"
      "mean_ttft_ms,p99_ttft_ms,mean_tpot_ms,p99_itl_ms,verified_seeds,held_seeds\n";
  for (const PlannedCandidate& planned : view.result.ranking) {
    const Candidate& candidate = view.candidates[planned.candidate];
    for (const std::string& label : candidate.labels) out += CsvField(label) + ",";
    const plan::Outcome& at = planned.capacity.best.outcome;
    const auto number = [](double value) {
      return std::isfinite(value) ? fmt::format("{}", value) : "";
    };
    std::size_t seeds = 0;
    std::size_t held = 0;
    if (!planned.verifications.empty()) {
      for (const plan::Verdict& verdict : planned.verifications.back().verdicts)
        ++seeds, held += verdict.held ? 1 : 0;
    }
    out += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
        CsvField(candidate.model), CsvField(candidate.machine), number(planned.rate.mean),
        number(planned.rate.low), number(planned.rate.high), number(planned.slow_rate),
        number(planned.fast_rate), planned.replicas, planned.replicas_low, planned.replicas_high,
        planned.gpus, number(planned.cost_per_hour), number(planned.cost_per_million_output_tokens),
        CsvField(planned.capacity.beyond.verdict.binding),
        number(planned.capacity.best.verdict.use), number(planned.capacity.beyond.rate),
        number(Figure(at, "mean_ttft_ms")), number(Figure(at, "p99_ttft_ms")),
        number(Figure(at, "mean_tpot_ms")), number(Figure(at, "p99_itl_ms")), seeds, held);
  }
  return out;
}

std::string BestConfigCsv(const PlanView& view, const std::string& version) {
  std::string out = kColumns;
  for (const PlannedCandidate& planned : view.result.ranking) {
    if (planned.replicas > 0)
      out += AiConfiguratorRow(view, {&planned, &planned.capacity.best}, version);
  }
  return out;
}

std::string ParetoCsv(const PlanView& view, const std::string& version) {
  std::string out = kColumns;
  for (const Point& point : Frontier(view)) out += AiConfiguratorRow(view, point, version);
  return out;
}

std::string ParetoScript(const PlanView& view) {
  std::string out =
      "set terminal svg size 800,500 font 'sans,12'\nset output 'pareto.svg'\n"
      "set datafile separator ','\nset xlabel 'output tokens/s per user (1 / TPOT)'\n"
      "set ylabel 'output tokens/s per GPU'\nset key outside right\nset grid\n";
  // Every held rate by candidate, and the frontier through the best.
  std::size_t block = 0;
  std::string plots;
  for (const PlannedCandidate& planned : view.result.ranking) {
    std::string data;
    for (const Probe& probe : planned.capacity.probes) {
      const Point point{&planned, &probe};
      if (probe.verdict.held && std::isfinite(TokensPerUser(point)))
        data += fmt::format("{},{}\n", TokensPerUser(point), TokensPerGpu(view, point));
    }
    if (data.empty()) continue;
    std::string title;  // of plain characters: it stands in a script
    for (const char c : Joined(view.candidates[planned.candidate].labels)) {
      if (c == ',') continue;
      title +=
          std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == ' ' ? c : ' ';
    }
    out += fmt::format("$data{} << EOD\n{}EOD\n", block, data);
    plots +=
        fmt::format("$data{} using 1:2 with points pointsize 0.8 title '{}', \\\n  ", block, title);
    ++block;
  }
  return out + "plot " + plots +
         "'pareto.csv' using 'tokens/s/user':'tokens/s/gpu' with steps linecolor 'black' title "
         "'frontier', \\\n  '' using 'tokens/s/user':'tokens/s/gpu' with points pointtype 6 "
         "pointsize 1.8 linecolor 'black' notitle\n";
}

}  // namespace sparseserve::report
