// How many GPUs a demand needs: searches the capacity of every candidate and ranks them.
//
// A candidate is a system with settings on a machine. Its capacity is searched per seed on one
// replica; the spread over seeds and the error of the calibration give the interval. The demand
// then asks for whole replicas, and what these cost per million tokens ranks the candidates. The
// best one is simulated once more, all replicas together at the demanded rate, with seeds that the
// search has not seen: a replica gets a share of the arrivals, not a stream of its own.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "sim/plan/capacity.h"
#include "sim/plan/statistics.h"

namespace sparseserve::plan {

struct Candidate {
  std::vector<std::string> labels = {};  // by axis
  std::string model = {}, machine = {}, system = {};
  std::int64_t gpus_per_replica = 1;
  double price_per_gpu_hour = 0;  // 0: not known
  // Relative error of the operation times, for the interval, and where it comes from.
  double calibration_error = 0;
  std::string error_source = {};
};

struct PlanRequest {
  double demand = 0;  // requests per second, all replicas together
  std::vector<Criterion> criteria;
  RateGrid grid;  // of one replica
  std::int64_t seeds = 3;
  std::int64_t verify_seeds = 3;
  std::int64_t num_verified = 1;  // how many of the ranking are verified
};

// One run of a candidate.
struct RunSpec {
  double rate = 0;
  std::int64_t seed_offset = 0;
  std::int64_t replicas = 1;
  double time_scale = 1;  // of all operation times
};
// Called from several threads at once.
using RunCandidate = std::function<Outcome(std::size_t candidate, const RunSpec& spec)>;

struct Verification {
  std::int64_t replicas = 0;
  std::vector<Verdict> verdicts;  // by seed

  bool held() const;
};

struct PlannedCandidate {
  std::size_t candidate = 0;
  Capacity capacity;                    // of the first seed: what bounds it
  std::vector<double> rates;            // by seed
  Interval rate;                        // of one replica: seeds and calibration error together
  double slow_rate = 0, fast_rate = 0;  // first seed, times stretched and shrunk by the error
  std::int64_t replicas = 0;            // for the demand, at the mean rate; 0: infeasible
  std::int64_t replicas_low = 0, replicas_high = 0;  // at the ends of the interval
  std::int64_t gpus = 0;
  double cost_per_hour = 0;                   // 0: price not known
  double cost_per_million_output_tokens = 0;  // at the demand
  std::vector<Verification> verifications;    // each with one replica more; the last one counts
};

struct PlanResult {
  std::vector<PlannedCandidate> ranking;  // feasible ones first, cheapest (else fewest GPUs) first
  bool feasible = false;
};

// Throws Interrupted when `stop` becomes true. `progress` hears how much is done, 0 to 1.
PlanResult MakePlan(const PlanRequest& request, const std::vector<Candidate>& candidates,
                    std::int64_t threads, const RunCandidate& run,
                    const std::function<void(double)>& progress, const std::atomic<bool>& stop);

}  // namespace sparseserve::plan
