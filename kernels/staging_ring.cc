#include "kernels/staging_ring.h"

#include <algorithm>
#include <utility>

#include "kernels/stream_copy.h"
#include "sim/core/check.h"

namespace sparseserve::kernels {
namespace {
constexpr std::int64_t kLine = 64;  // of the cache
}

StagingRing::StagingRing(Buffer memory, StagingRingOptions options)
    : options_(std::move(options)), memory_(std::move(memory)), pool_(options_.scatter_threads) {
  SPARSESERVE_CHECK(options_.num_slots >= 1, "an empty ring");
  SPARSESERVE_CHECK(options_.slot.value() > 0 && options_.slot.value() % 16 == 0, "slot size");
  SPARSESERVE_CHECK(memory_.size() >= options_.slot * options_.num_slots, "memory of the ring");
  thread_ = std::thread([this] { ScatterJobs(); });
}

StagingRing::~StagingRing() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pushed_.notify_all();
  thread_.join();
}

EventPtr StagingRing::Save(const SaveParams& params, const CopyToSlot& copy) {
  const std::int64_t fragment_bytes = params.fragment_bytes;
  SPARSESERVE_CHECK(fragment_bytes > 0 && fragment_bytes % 16 == 0, "fragment_bytes");
  const std::int64_t total = params.num_moves * fragment_bytes;
  const int num_threads = params.max_workers > 0 ? params.max_workers : options_.scatter_threads;
  auto saved = std::make_shared<HostEvent>();
  if (total == 0) Push({.saved = saved});  // done when the saves before it are

  for (std::int64_t begin = 0; begin < total; begin += options_.slot.value()) {
    Job job{.size = std::min(total - begin, options_.slot.value()), .num_threads = num_threads};
    const std::int64_t end = begin + job.size;
    job.runs.reserve(static_cast<std::size_t>(job.size / fragment_bytes + 2));
    // A slot may begin and end within a fragment; fragments that meet in DRAM become one run.
    const std::byte* run_end = nullptr;
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t i = at / fragment_bytes;
      SPARSESERVE_CHECK(params.moves[i].source == params.moves[0].source + i * fragment_bytes,
                        "staged saves need their sources in one run");
      const std::int64_t skipped = at - i * fragment_bytes;
      const std::int64_t size = std::min(fragment_bytes - skipped, end - at);
      std::byte* const destination = params.dram + params.moves[i].destination + skipped;
      if (destination != run_end) job.runs.push_back({at - begin, destination});
      run_end = destination + size;
      at += size;
    }
    if (end == total) job.saved = saved;

    job.slot = AcquireSlot();
    try {
      job.copied = copy(job.slot, params.hbm + params.moves[0].source + begin, Bytes(job.size));
    } catch (...) {
      ReturnSlot();
      Push({.saved = saved});  // ends this save, so that its errors are not the next one's
      throw;
    }
    Push(std::move(job));
  }
  return saved;
}

void StagingRing::Synchronize() {
  std::unique_lock lock(mutex_);
  released_.wait(lock, [this] { return jobs_.empty(); });
  if (first_error_) std::rethrow_exception(std::exchange(first_error_, nullptr));
}

std::byte* StagingRing::AcquireSlot() {
  std::unique_lock lock(mutex_);
  released_.wait(lock, [this] { return num_used_ < options_.num_slots; });
  ++num_used_;
  const std::int64_t slot = num_acquired_++ % options_.num_slots;
  return memory_.data() + slot * options_.slot.value();
}

// Gives back the slot that was taken last.
void StagingRing::ReturnSlot() {
  const std::lock_guard lock(mutex_);
  --num_used_;
  --num_acquired_;
}

void StagingRing::Push(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  pushed_.notify_one();
}

void StagingRing::ScatterJobs() {
  std::exception_ptr error;  // of the save that is under way
  std::unique_lock lock(mutex_);
  for (;;) {
    pushed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;  // stopping, and all is done
    Job& job = jobs_.front();   // a deque keeps its place while others are pushed
    lock.unlock();
    try {
      if (job.copied) {
        job.copied->Synchronize();
        if (options_.before_scatter) options_.before_scatter();
        Scatter(job);
      }
    } catch (...) {
      if (!error) error = std::current_exception();
    }
    const bool had_slot = job.slot != nullptr;
    const std::exception_ptr failed = job.saved ? std::exchange(error, nullptr) : nullptr;
    if (job.saved) job.saved->Complete(failed);
    lock.lock();
    if (failed && !first_error_) first_error_ = failed;
    if (had_slot) --num_used_;
    jobs_.pop_front();
    released_.notify_all();
  }
}

void StagingRing::Scatter(const Job& job) {
  pool_.Grow(job.num_threads);
  // Threads share the bytes, not the runs: one long run is as good as many short ones.
  const auto scatter_lines = [&](std::int64_t first, std::int64_t last) {
    const std::int64_t end = std::min(last * kLine, job.size);
    std::int64_t at = first * kLine;
    auto run = std::upper_bound(job.runs.begin(), job.runs.end(), at,
                                [](std::int64_t x, const Run& r) { return x < r.offset; });
    for (--run; at < end; ++run) {
      const bool is_last = run + 1 == job.runs.end();
      const std::int64_t run_end = std::min(end, is_last ? job.size : (run + 1)->offset);
      StreamCopy(run->destination + (at - run->offset), job.slot + at, run_end - at);
      at = run_end;
    }
    FenceStreamCopies();
  };
  pool_.ParallelFor(CeilDiv(job.size, kLine), scatter_lines, job.num_threads);
}

}  // namespace sparseserve::kernels
