// Who runs the points: threads of this process and, in a build with MPI started by mpirun, the
// other processes of the run.
//
// Under MPI the first process keeps the store and hands out one point at a time, to whoever is free
// (points differ a lot in length, so a fixed split would leave processes idle); every other process
// computes one point at a time. All of them read the same sweep, so a point is a number.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/plan/sweep.h"

namespace sparseserve::plan {

class Workers {
 public:
  // Joins the other processes if mpirun started this one and the build knows MPI; else this process
  // is alone.
  Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers();

  bool is_first() const;
  std::int64_t num_processes() const;

  // Of the first process: RunPoints, on the other processes where there are any, else on `threads`
  // threads. REQUIRES: is_first().
  void Run(const std::vector<std::size_t>& ordinals, std::int64_t threads, const RunPoint& run,
           const TakeOutcome& take, const std::atomic<bool>& stop);
  // Of the others: runs what the first one asks for until it has no more. REQUIRES: !is_first().
  void Serve(const RunPoint& run);

 private:
  struct Mpi;
  std::unique_ptr<Mpi> mpi_;  // null: this process is alone
};

}  // namespace sparseserve::plan
