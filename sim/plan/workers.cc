#include "sim/plan/workers.h"

#include <cstdlib>
#include <exception>

#include "sim/core/check.h"

#ifdef SPARSESERVE_HAVE_MPI
#include <boost/mpi.hpp>
#include <boost/serialization/string.hpp>
#include <boost/serialization/vector.hpp>
#endif

namespace sparseserve::plan {

#ifdef SPARSESERVE_HAVE_MPI

namespace {

namespace mpi = boost::mpi;

constexpr int kFirst = 0;
constexpr int kTask = 1;    // to a worker: the number of a point, or kNoMore
constexpr int kResult = 2;  // to the first process
constexpr std::int64_t kNoMore = -1;

struct Message {
  std::int64_t ordinal = kNoMore;  // kNoMore: the worker is ready and has no result
  std::string failure;             // what a run threw; empty: it worked
  bool feasible = true;
  std::string note;
  std::vector<double> figures;

  template <typename Archive>
  void serialize(Archive& archive, unsigned /*version*/) {
    archive& ordinal& failure& feasible& note& figures;
  }
};

// Started by mpirun (Open MPI, MPICH and Slurm tell it in the environment)?
bool IsStartedByMpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

}  // namespace

struct Workers::Mpi {
  mpi::environment environment{mpi::threading::single};
  mpi::communicator world;
};

Workers::Workers() {
  if (!IsStartedByMpi()) return;
  mpi_ = std::make_unique<Mpi>();
  if (mpi_->world.size() == 1) mpi_.reset();
}
Workers::~Workers() = default;
bool Workers::is_first() const { return !mpi_ || mpi_->world.rank() == kFirst; }
std::int64_t Workers::num_processes() const { return mpi_ ? mpi_->world.size() : 1; }

void Workers::Run(const std::vector<std::size_t>& ordinals, std::int64_t threads,
                  const RunPoint& run, const TakeOutcome& take, const std::atomic<bool>& stop) {
  if (!mpi_) return RunPoints(ordinals, threads, run, take, stop);
  std::size_t next = 0;
  std::string failure;
  std::exception_ptr own_failure;  // of `take`
  // Every worker is sent away exactly once, also after a failure.
  for (int busy = mpi_->world.size() - 1; busy > 0;) {
    Message message;
    const mpi::status status = mpi_->world.recv(mpi::any_source, kResult, message);
    if (!message.failure.empty()) {
      failure = message.failure;
    } else if (message.ordinal != kNoMore && !own_failure) {
      try {
        take(static_cast<std::size_t>(message.ordinal),
             {message.feasible, message.note, message.figures});
      } catch (...) {
        own_failure = std::current_exception();
      }
    }
    const bool more = next < ordinals.size() && failure.empty() && !own_failure && !stop;
    const std::int64_t task = more ? static_cast<std::int64_t>(ordinals[next++]) : kNoMore;
    mpi_->world.send(status.source(), kTask, task);
    if (task == kNoMore) --busy;
  }
  if (own_failure) std::rethrow_exception(own_failure);
  if (!failure.empty()) throw std::runtime_error(failure);
  if (stop && next < ordinals.size()) throw Interrupted();
}

void Workers::Serve(const RunPoint& run) {
  SPARSESERVE_CHECK(mpi_ && !is_first(), "the first process serves nobody");
  Message message;
  while (true) {
    mpi_->world.send(kFirst, kResult, message);
    std::int64_t task = kNoMore;
    mpi_->world.recv(kFirst, kTask, task);
    if (task == kNoMore) return;
    message = Message();
    message.ordinal = task;
    try {
      const Outcome outcome = run(static_cast<std::size_t>(task), [](std::int64_t) {});
      message.feasible = outcome.feasible;
      message.note = outcome.note;
      message.figures = outcome.figures;
    } catch (const std::exception& error) {
      message.failure = error.what();
    }
  }
}

#else

struct Workers::Mpi {};

Workers::Workers() = default;
Workers::~Workers() = default;
bool Workers::is_first() const { return true; }
std::int64_t Workers::num_processes() const { return 1; }

void Workers::Run(const std::vector<std::size_t>& ordinals, std::int64_t threads,
                  const RunPoint& run, const TakeOutcome& take, const std::atomic<bool>& stop) {
  RunPoints(ordinals, threads, run, take, stop);
}

void Workers::Serve(const RunPoint& /*run*/) {
  SPARSESERVE_CHECK(false, "this build has no other processes");
}

#endif

}  // namespace sparseserve::plan
