#include "kernels/bench/timer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace sparseserve::bench {
namespace {

using kernels::EventPtr;
using kernels::Lane;

constexpr std::int64_t kPlugBytes = 256 * 1024;  // to be filled: some 10 us of a CPU
// A device whose caches are evicted faster than this gets it before each sample.
constexpr Seconds kCheapFlush{1e-3};
constexpr std::int64_t kMaxCalls = 1000;
// Submitted in less time than a cheap flush takes: some 3 us each, against some 50 us.
constexpr std::int64_t kCallsPerFlush = 16;

}  // namespace

Seconds Now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return Seconds(std::chrono::duration<double>(now).count());
}

Timer::Timer(Workbench& workbench, TimerOptions options)
    : workbench_(workbench),
      backend_(workbench.backend()),
      options_(options),
      plug_(backend_.AllocateDevice(Bytes(kPlugBytes))) {
  FlushCaches();
  const Seconds begin = Now();
  FlushCaches();
  const std::int64_t cache = workbench.device().cache.value();
  // Calls visit all of a pool before they come back, so twice the cache leaves nothing in it.
  const bool pools_are_small =
      2 * cache >
      std::min({workbench.input_bytes(), workbench.output_bytes(), workbench.cache_bytes(),
                workbench.host_input_bytes(), workbench.host_output_bytes()});
  flush_is_cheap_ = Now() - begin < kCheapFlush;
  flushes_ = !options_.warm && (pools_are_small || flush_is_cheap_);
}

void Timer::FlushCaches() {
  backend_.FlushCache(Lane::kCompute);
  backend_.Synchronize();
}

void Timer::OccupyLane(Lane lane, std::int64_t num_calls) {
  if (!flushes_) {
    backend_.Fill(lane, plug_.data(), std::byte{0}, Bytes(kPlugBytes));
    return;
  }
  // The more calls there are to submit, the longer.
  const std::int64_t num_flushes = flush_is_cheap_ ? 1 + num_calls / kCallsPerFlush : 1;
  for (std::int64_t i = 0; i < num_flushes; ++i) backend_.FlushCache(lane);
}

Seconds Timer::Sample(const Call& call, std::int64_t num_calls) {
  if (call.settle && !options_.warm) call.settle(variant_);
  if (!call.lane) {
    if (flushes_) FlushCaches();
    const Seconds begin = Now();
    for (std::int64_t i = 0; i < num_calls; ++i) call.enqueue(NextVariant());
    return (Now() - begin) / static_cast<double>(num_calls);
  }
  OccupyLane(*call.lane, num_calls);
  const EventPtr begin = backend_.Record(*call.lane);
  for (std::int64_t i = 0; i < num_calls; ++i) call.enqueue(NextVariant());
  const EventPtr end = backend_.Record(*call.lane);
  end->Synchronize();
  return backend_.Elapsed(begin, end) / static_cast<double>(num_calls);
}

Seconds Timer::SampleWithSubmission(const Call& call) {
  FlushCaches();
  const Seconds begin = Now();
  call.enqueue(NextVariant());
  if (call.lane) backend_.Record(*call.lane)->Synchronize();
  return Now() - begin;
}

std::int64_t Timer::ChooseNumCalls(const Call& call) {
  const double first = std::max(Sample(call, 1).value(), 1e-9);
  if (first >= options_.least_sample.value()) return 1;
  // The first call pays for what happens once (module load, page faults); the next tell the truth.
  const double each = std::max(Sample(call, 4).value(), 1e-9);
  const double wanted = std::ceil(options_.least_sample.value() / each);
  return static_cast<std::int64_t>(std::clamp(wanted, 1.0, static_cast<double>(kMaxCalls)));
}

}  // namespace sparseserve::bench
