#include "sim/plan/planner.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "sim/core/check.h"
#include "sim/metrics/figures.h"

namespace sparseserve::plan {
namespace {

constexpr std::int64_t kMaxExtraReplicas = 3;  // that a verification may add

// The searches of one candidate: one per seed, and two of the first seed with other times.
struct Search {
  std::size_t candidate = 0;
  std::int64_t seed_offset = 0;
  double time_scale = 1;
  Capacity capacity;
};

std::vector<Search> SearchesOf(const PlanRequest& request,
                               const std::vector<Candidate>& candidates) {
  std::vector<Search> searches;
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    for (std::int64_t seed = 0; seed < request.seeds; ++seed) searches.push_back({c, seed, 1, {}});
    const double error = candidates[c].calibration_error;
    if (error <= 0) continue;
    searches.push_back({c, 0, 1 + error, {}});
    searches.push_back({c, 0, 1 / (1 + error), {}});
  }
  return searches;
}

std::int64_t ReplicasFor(double demand, double rate) {
  if (!(rate > 0)) return 0;
  // A demand of exactly n replicas needs n, whatever the last bit of the quotient says.
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(demand / rate - 1e-9)));
}

// Seeds and calibration are independent sources of error: their relative widths add in squares.
Interval Combine(const Interval& seeds, double base, double slow, double fast) {
  Interval interval = seeds;
  if (!(seeds.mean > 0) || !(base > 0)) return interval;
  const auto widen = [&](double seed_width, double other) {
    const double relative = seed_width / seeds.mean;
    return seeds.mean * std::sqrt(relative * relative + other * other);
  };
  const double below = slow > 0 ? std::max(0.0, 1 - slow / base) : 0;
  const double above = fast > 0 ? std::max(0.0, fast / base - 1) : 0;
  interval.low = std::max(0.0, seeds.mean - widen(seeds.mean - seeds.low, below));
  interval.high = seeds.mean + widen(seeds.high - seeds.mean, above);
  return interval;
}

void AddCost(const PlanRequest& request, const Candidate& candidate, PlannedCandidate& planned) {
  planned.gpus = planned.replicas * candidate.gpus_per_replica;
  if (planned.replicas == 0) return;
  static const std::size_t completed = *metrics::FindFigure("completed");
  static const std::size_t tokens = *metrics::FindFigure("total_output_tokens");
  const std::vector<double>& figures = planned.capacity.best.outcome.figures;
  const double mean_output = figures[tokens] / std::max(1.0, figures[completed]);
  planned.cost_per_hour = candidate.price_per_gpu_hour * static_cast<double>(planned.gpus);
  planned.cost_per_million_output_tokens =
      planned.cost_per_hour / 3600 / (request.demand * mean_output) * 1e6;
}

PlannedCandidate Assemble(const PlanRequest& request, const Candidate& candidate, std::size_t index,
                          const std::vector<Search>& searches) {
  PlannedCandidate planned;
  planned.candidate = index;
  for (const Search& search : searches) {
    if (search.candidate != index) continue;
    if (search.time_scale > 1) {
      planned.slow_rate = search.capacity.rate;
    } else if (search.time_scale < 1) {
      planned.fast_rate = search.capacity.rate;
    } else {
      if (planned.rates.empty()) planned.capacity = search.capacity;
      planned.rates.push_back(search.capacity.rate);
    }
  }
  planned.rate = Combine(MeanInterval(planned.rates), planned.capacity.rate, planned.slow_rate,
                         planned.fast_rate);
  // A seed for which nothing holds makes the candidate infeasible: its mean would hide that.
  const bool all_hold =
      std::all_of(planned.rates.begin(), planned.rates.end(), [](double r) { return r > 0; });
  if (all_hold) planned.replicas = ReplicasFor(request.demand, planned.rate.mean);
  if (planned.replicas > 0) {
    planned.replicas_low = ReplicasFor(request.demand, planned.rate.high);
    planned.replicas_high =
        planned.rate.low > 0 ? ReplicasFor(request.demand, planned.rate.low) : 0;
  }
  AddCost(request, candidate, planned);
  return planned;
}

// 0: feasible; 1: its verification failed; 2: infeasible.
int Standing(const PlannedCandidate& planned) {
  if (planned.replicas == 0) return 2;
  return planned.verifications.empty() || planned.verifications.back().held() ? 0 : 1;
}

// By standing, then by cost, where one of two has no price by GPUs, then by rate.
void Rank(std::vector<PlannedCandidate>& ranking) {
  const auto better = [](const PlannedCandidate& a, const PlannedCandidate& b) {
    if (Standing(a) != Standing(b)) return Standing(a) < Standing(b);
    if (a.cost_per_hour > 0 && b.cost_per_hour > 0 && a.cost_per_hour != b.cost_per_hour)
      return a.cost_per_hour < b.cost_per_hour;
    if (a.gpus != b.gpus) return a.gpus < b.gpus;
    return a.rate.mean > b.rate.mean;
  };
  std::stable_sort(ranking.begin(), ranking.end(), better);
}

// The first of the leading `count` that is feasible and not verified yet.
PlannedCandidate* NextToVerify(std::vector<PlannedCandidate>& ranking, std::int64_t count) {
  for (std::size_t i = 0; i < std::min(ranking.size(), static_cast<std::size_t>(count)); ++i) {
    if (ranking[i].replicas > 0 && ranking[i].verifications.empty()) return &ranking[i];
  }
  return nullptr;
}

// Simulates the demand on all replicas, with one more until it holds.
void Verify(const PlanRequest& request, const Candidate& candidate, const RunCandidate& run,
            const std::atomic<bool>& stop, std::int64_t threads, PlannedCandidate& planned) {
  for (std::int64_t extra = 0; extra <= kMaxExtraReplicas; ++extra) {
    Verification verification;
    verification.replicas = planned.replicas + (extra > 0 ? 1 : 0);
    verification.verdicts.resize(static_cast<std::size_t>(request.verify_seeds));
    RunInParallel(
        verification.verdicts.size(), threads,
        [&](std::size_t i) {
          const RunSpec spec{.rate = request.demand,
                             .seed_offset = request.seeds + static_cast<std::int64_t>(i),
                             .replicas = verification.replicas,
                             .time_scale = 1};
          verification.verdicts[i] = Judge(request.criteria, run(planned.candidate, spec));
        },
        stop);
    planned.replicas = verification.replicas;
    planned.verifications.push_back(std::move(verification));
    AddCost(request, candidate, planned);
    if (planned.verifications.back().held()) return;
  }
}

}  // namespace

bool Verification::held() const {
  return std::all_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.held; });
}

PlanResult MakePlan(const PlanRequest& request, const std::vector<Candidate>& candidates,
                    std::int64_t threads, const RunCandidate& run,
                    const std::function<void(double)>& progress, const std::atomic<bool>& stop) {
  SPARSESERVE_CHECK(request.demand > 0 && request.seeds > 0, "a plan needs a demand and a seed");
  std::vector<Search> searches = SearchesOf(request, candidates);
  std::mutex mutex;  // of `done`
  std::size_t done = 0;
  RunInParallel(
      searches.size(), threads,
      [&](std::size_t i) {
        Search& search = searches[i];
        search.capacity = FindCapacity(request.grid, request.criteria, [&](double rate) {
          if (stop) throw Interrupted();
          return run(search.candidate, {.rate = rate,
                                        .seed_offset = search.seed_offset,
                                        .replicas = 1,
                                        .time_scale = search.time_scale});
        });
        const std::lock_guard lock(mutex);
        progress(static_cast<double>(++done) / static_cast<double>(searches.size()));
      },
      stop);
  PlanResult result;
  for (std::size_t c = 0; c < candidates.size(); ++c)
    result.ranking.push_back(Assemble(request, candidates[c], c, searches));
  // A verification may add a replica or fail, and so bring another candidate to the front.
  while (true) {
    Rank(result.ranking);
    PlannedCandidate* const next = NextToVerify(result.ranking, request.num_verified);
    if (next == nullptr) break;
    Verify(request, candidates[next->candidate], run, stop, threads, *next);
  }
  result.feasible = !result.ranking.empty() && Standing(result.ranking.front()) == 0;
  return result;
}

}  // namespace sparseserve::plan
