// On which CPUs the threads of the backend run. A device computes and copies with different units;
// here that takes different cores. Left to the scheduler, a lane that wakes another often takes its
// core over, so that what it copied is in that core's cache, or is not: on a machine whose cores
// share no cache, decode attention over blocks just copied took 0.41 ms on the core that had copied
// them and 0.96 ms on the other (2 cores of an EPYC, 1024 blocks of 8 KiB, 2026-11).
#pragma once

#include <vector>

namespace sparseserve::kernels::cpu {

struct CpuShares {
  std::vector<int> compute, copies;  // both empty: anywhere
};

// The first `compute_threads` CPUs of those that the process may use, and the rest; nothing where
// there is no rest.
CpuShares DivideCpus(int compute_threads);

// Until it is destroyed the calling thread, and each thread that it creates, runs on these CPUs;
// the created ones stay there. No CPUs, or a refusal of the system: changes nothing.
class RunOn {
 public:
  explicit RunOn(const std::vector<int>& cpus);
  ~RunOn();
  RunOn(const RunOn&) = delete;
  RunOn& operator=(const RunOn&) = delete;

 private:
  std::vector<int> before_;  // empty: nothing was changed
};

// CPUs that the calling thread may run on, in rising order.
std::vector<int> AllowedCpus();

}  // namespace sparseserve::kernels::cpu
