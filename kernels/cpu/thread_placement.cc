#include "kernels/cpu/thread_placement.h"

#include <sched.h>

#include <utility>

namespace sparseserve::kernels::cpu {
namespace {

bool Allow(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace

std::vector<int> AllowedCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;  // more CPUs than a set holds
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

CpuShares DivideCpus(int compute_threads) {
  const std::vector<int> cpus = AllowedCpus();
  if (static_cast<int>(cpus.size()) <= compute_threads) return {};
  return {{cpus.begin(), cpus.begin() + compute_threads},
          {cpus.begin() + compute_threads, cpus.end()}};
}

RunOn::RunOn(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  std::vector<int> before = AllowedCpus();
  if (Allow(cpus)) before_ = std::move(before);
}

RunOn::~RunOn() {
  if (!before_.empty()) Allow(before_);
}

}  // namespace sparseserve::kernels::cpu
