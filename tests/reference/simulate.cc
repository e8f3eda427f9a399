#include "tests/reference/simulate.h"

#include <algorithm>
#include <memory>

#include "tests/reference/replica.h"

namespace sparseserve::reference {
namespace {

std::size_t Route(const SystemConfig& config, std::size_t num_routed,
                  const std::vector<std::unique_ptr<Replica>>& replicas) {
  if (config.router == "round-robin") return num_routed % replicas.size();
  std::size_t best = 0;
  for (std::size_t i = 1; i < replicas.size(); ++i) {
    if (replicas[i]->unfinished() < replicas[best]->unfinished()) best = i;
  }
  return best;
}

}  // namespace

Log Simulate(const SystemConfig& config, const std::vector<traces::Request>& trace) {
  const KvGeometry geometry = serving::ComputeGeometry(config);
  const std::int64_t hbm = serving::ComputeHbmBudget(config).kv.value();
  const std::int64_t dram = serving::DramForKv(config).value();
  const std::int64_t gpus = config.replicas * config.tensor_parallel;
  const cost::CostModel costs(config.model, config.machine, config.calibration,
                              {.tensor_parallel = config.tensor_parallel,
                               .gpus_sharing_host = std::min(config.machine.num_gpus, gpus)});
  Log log;
  log.requests.resize(trace.size());
  std::vector<Request> requests(trace.size());
  std::vector<std::unique_ptr<Replica>> replicas;
  for (std::int64_t i = 0; i < config.replicas; ++i)
    replicas.push_back(std::make_unique<Replica>(i, config, geometry, costs, hbm, dram, log));
  std::size_t arrived = 0;
  while (true) {
    SimTime now = SimTime::Max();
    if (arrived < trace.size()) now = trace[arrived].arrival;
    for (const auto& replica : replicas) {
      now = std::min(now, replica->end().value_or(SimTime::Max()));
      if (!replica->end()) now = std::min(now, replica->wake().value_or(SimTime::Max()));
    }
    if (now == SimTime::Max()) break;
    std::vector<bool> looks(replicas.size());
    for (std::size_t i = 0; i < replicas.size(); ++i) {
      looks[i] = replicas[i]->wake() == now || replicas[i]->end() == now;
      if (replicas[i]->end() == now) replicas[i]->Finish();
    }
    for (; arrived < trace.size() && trace[arrived].arrival == now; ++arrived) {
      requests[arrived].trace = trace[arrived];
      log.requests[arrived].id = trace[arrived].id;
      log.requests[arrived].arrival = now.ns();
      const std::size_t i = Route(config, arrived, replicas);
      replicas[i]->Submit(requests[arrived]);
      looks[i] = true;
    }
    for (std::size_t i = 0; i < replicas.size(); ++i) {
      if (looks[i]) replicas[i]->Look(now);
    }
  }
  std::stable_sort(log.iterations.begin(), log.iterations.end(), [](const auto& a, const auto& b) {
    return std::pair(a.end, a.replica) < std::pair(b.end, b.replica);
  });
  std::sort(log.token_gaps_ms.begin(), log.token_gaps_ms.end());
  for (const auto& replica : replicas) log.evictions += replica->evictions();
  return log;
}

}  // namespace sparseserve::reference
