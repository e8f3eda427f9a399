// What the time of a request and of an iteration is split into, and what bounds an iteration.
//
// A request waits (queue, held) or is worked on by an iteration, and then the whole iteration is
// its time, whatever else was in the batch: the parts say what the iteration did. "Prefill" and
// "decode" name the work that a part was spent on, which need not be the request's own: prefill
// parts in the time between two tokens are other requests' prompts.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string_view>

namespace sparseserve::metrics {

enum class Part : std::uint8_t {
  kQueue,             // from arrival to the begin of the first iteration that works on the request
  kHeld,              // later, but in no batch: waits for memory, working-set control or its turn
  kPrefillCompute,    // projections, MLP, logits: the share of prefill tokens
  kDecodeCompute,     // the share of decodes; scoring and top-k
  kPrefillAttention,  // with what transfers beside it cost
  kDecodeAttention,
  kLoadStall,      // compute waits for blocks that had not been in HBM since their prefill
  kEvictionStall,  // compute waits for blocks that had been in HBM and were evicted
  kSaveStall,      // compute waits for room to save into
  kHost,           // the engine between two iterations
  kRecompute,      // iterations whose work a preemption undid, or that do it again
};
inline constexpr std::size_t kNumParts = 11;
inline constexpr std::array<std::string_view, kNumParts> kPartNames = {"queue",
                                                                       "held",
                                                                       "prefill_compute",
                                                                       "decode_compute",
                                                                       "prefill_attention",
                                                                       "decode_attention",
                                                                       "load_stall",
                                                                       "eviction_stall",
                                                                       "save_stall",
                                                                       "host",
                                                                       "recompute"};

// Integer nanoseconds by part of one request or iteration, so that sums are exact.
struct TimeParts {
  std::array<std::int64_t, kNumParts> ns{};

  std::int64_t& operator[](Part part) { return ns[static_cast<std::size_t>(part)]; }
  std::int64_t operator[](Part part) const { return ns[static_cast<std::size_t>(part)]; }
  std::int64_t sum() const { return std::accumulate(ns.begin(), ns.end(), std::int64_t{0}); }
  void Add(const TimeParts& other, std::int64_t times = 1) {
    for (std::size_t i = 0; i < kNumParts; ++i) ns[i] += other.ns[i] * times;
  }
};

// Nanoseconds of a whole run: a million requests that wait three hours each are more than 2^63.
__extension__ using WideNs = __int128;

// Sums of TimeParts over requests or token gaps, exact.
struct TimeSums {
  std::array<WideNs, kNumParts> ns{};

  WideNs sum() const { return std::accumulate(ns.begin(), ns.end(), WideNs{0}); }
  void Add(const TimeParts& parts, std::int64_t times = 1) {
    for (std::size_t i = 0; i < kNumParts; ++i) ns[i] += WideNs{parts.ns[i]} * times;
  }
  void Add(const TimeSums& other) {
    for (std::size_t i = 0; i < kNumParts; ++i) ns[i] += other.ns[i];
  }
};

// The part of an iteration's critical path that is longest; compute is one of them, its two shares
// taken together, and so are attention and the waits for loads.
enum class IterationBound : std::uint8_t { kCompute, kAttention, kLoad, kSave, kHost };
inline constexpr std::size_t kNumIterationBounds = 5;
inline constexpr std::array<std::string_view, kNumIterationBounds> kIterationBoundNames = {
    "compute", "attention", "load", "save", "host"};

// What kept the batch of an iteration from holding more work. Where several did, the last of this
// list counts: limits of memory are harder to change than settings.
enum class BatchBound : std::uint8_t {
  kRequests,        // nothing: all that there was to do was in it
  kMaxBatchTokens,  // T_max, or the budget of prefill work
  kMaxRequests,     // R_max
  kWorkingSet,      // working-set control
  kHbm,             // HBM for KV
  kDram,            // DRAM for KV
};
inline constexpr std::size_t kNumBatchBounds = 6;
inline constexpr std::array<std::string_view, kNumBatchBounds> kBatchBoundNames = {
    "requests", "max_batch_tokens", "max_requests", "working_set", "hbm", "dram"};

}  // namespace sparseserve::metrics
