#include "sim/metrics/attribution.h"

#include <algorithm>
#include <cmath>

#include "sim/core/check.h"
#include "sim/metrics/collector.h"

namespace sparseserve::metrics {
namespace {

IterationBound BoundOf(const TimeParts& parts) {
  const std::array<std::int64_t, kNumIterationBounds> spent = {
      parts[Part::kPrefillCompute] + parts[Part::kDecodeCompute],
      parts[Part::kPrefillAttention] + parts[Part::kDecodeAttention],
      parts[Part::kLoadStall] + parts[Part::kEvictionStall], parts[Part::kSaveStall],
      parts[Part::kHost]};
  return static_cast<IterationBound>(std::max_element(spent.begin(), spent.end()) - spent.begin());
}

// llround of a duration in nanoseconds without a call: halves away from zero. The difference is
// exact. REQUIRES: 0 <= value < 2^52.
std::int64_t Round(double value) {
  const auto whole = static_cast<std::int64_t>(value);
  return whole + static_cast<std::int64_t>(value - static_cast<double>(whole) >= 0.5);
}

template <std::size_t kSize>
void Count(std::array<BoundShare, kSize>& shares, std::size_t bound, std::int64_t ns) {
  ++shares[bound].iterations;
  shares[bound].ns += ns;
}

}  // namespace

TimeParts SplitIteration(const IterationRecord& r) {
  const double reloads =
      r.block_loads > 0 ? static_cast<double>(r.block_reloads) / static_cast<double>(r.block_loads)
                        : 0;
  const std::pair<Part, Seconds> spent[] = {
      {Part::kPrefillCompute, r.prefill_compute},
      {Part::kDecodeCompute, r.compute - r.prefill_compute},
      {Part::kPrefillAttention, r.prefill_attention},
      {Part::kDecodeAttention, r.attention - r.prefill_attention},
      {Part::kLoadStall, r.load_stall * (1 - reloads)},
      {Part::kEvictionStall, r.load_stall * reloads},
      {Part::kSaveStall, r.save_stall},
      {Part::kHost, r.host}};
  const std::int64_t length = r.end.ns() - r.begin.ns();
  double sum = 0;
  for (const auto& [part, time] : spent) sum += std::max(0.0, time.value());
  TimeParts parts;
  if (sum <= 0) {  // nothing said: all of it is between the GPU's work
    parts[Part::kHost] = length;
    return parts;
  }
  double reached = 0;
  std::int64_t boundary = 0;
  for (const auto& [part, time] : spent) {
    if (time <= Seconds(0)) continue;  // the boundary stays
    reached += time.value();
    const std::int64_t next =
        std::min<std::int64_t>(length, Round(static_cast<double>(length) * (reached / sum)));
    parts[part] = next - boundary;
    boundary = next;
  }
  return parts;
}

Attribution::Iteration& Attribution::Last(const RequestRecord& request) {
  const auto replica = static_cast<std::size_t>(request.replica);
  if (replica >= last_.size()) last_.resize(replica + 1);
  return last_[replica];
}

void Attribution::OnIteration(const IterationRecord& record) {
  const auto replica = static_cast<std::size_t>(record.replica);
  if (replica >= last_.size()) last_.resize(replica + 1);
  Iteration& last = last_[replica];
  gaps_.Add(last.parts, last.gaps);
  last = {record.begin, record.end, SplitIteration(record), 0};
  const std::int64_t length = record.end.ns() - record.begin.ns();
  Count(iteration_bounds_, static_cast<std::size_t>(BoundOf(last.parts)), length);
  Count(batch_bounds_, static_cast<std::size_t>(record.batch_bound), length);
}

// The request's time from where it stands to `now`, an instant at which an iteration that worked on
// it ends, or nothing has.
void Attribution::Reach(SimTime now, RequestRecord& request, TimeParts& parts) {
  if (request.finish == now) return;
  const Iteration& last = Last(request);
  SimTime waited_until = now;
  if (last.end == now && last.begin >= request.finish) {
    waited_until = last.begin;
    parts.Add(last.parts);
  }
  parts[Part::kHeld] += waited_until.ns() - request.finish.ns();
  request.finish = now;
}

void Attribution::ReachInFirst(SimTime now, RequestRecord& request) {
  TimeParts parts = request.ttft.Unpack();
  Reach(now, request, parts);
  request.ttft.Pack(parts);
}

void Attribution::OnScheduled(SimTime now, RequestRecord& request) {
  TimeParts parts;
  parts[Part::kQueue] = now.ns() - request.arrival.ns();
  request.ttft.Pack(parts);
  request.finish = now;
}

void Attribution::OnPrefill(SimTime now, RequestRecord& request) {
  if (request.produced == Tokens(0)) return ReachInFirst(now, request);
  TimeParts worked;
  Reach(now, request, worked);
  TimeParts& gap = redoing_[request.id];
  gap[Part::kHeld] += worked[Part::kHeld];
  gap[Part::kRecompute] += worked.sum() - worked[Part::kHeld];
}

void Attribution::OnToken(SimTime now, RequestRecord& request) {
  if (request.produced == Tokens(0)) {
    if (request.was_scheduled) return ReachInFirst(now, request);
    return OnScheduled(now, request);
  }
  Iteration& last = Last(request);
  if (!request.redoing && last.end == now && last.begin == request.finish) {
    ++last.gaps;  // the common case
    request.finish = now;
    return;
  }
  TimeParts gap;
  if (request.redoing) {
    if (const auto node = redoing_.extract(request.id)) gap = node.mapped();
    request.redoing = false;
  }
  Reach(now, request, gap);
  gaps_.Add(gap, 1);
}

void Attribution::OnPreempted(RequestRecord& request) {
  if (request.produced > Tokens(0)) {
    request.redoing = true;
    return;
  }
  const TimeParts ttft = request.ttft.Unpack();
  const std::int64_t waited = ttft[Part::kQueue] + ttft[Part::kHeld];
  TimeParts lost;
  lost[Part::kQueue] = ttft[Part::kQueue];
  lost[Part::kHeld] = ttft[Part::kHeld];
  lost[Part::kRecompute] = ttft.sum() - waited;
  request.ttft.Pack(lost);
}

void Attribution::OnFinish(const RequestRecord& request) {
  if (request.redoing) redoing_.erase(request.id);
}

GapHistogram Attribution::Gaps() const {
  GapHistogram gaps = gaps_;
  for (const Iteration& last : last_) gaps.Add(last.parts, last.gaps);
  return gaps;
}

void Attribution::CheckSums(const RequestRecords& requests) const {
  WideNs decoding = 0;
  std::int64_t gaps = 0;
  for (const RequestRecord& r : requests) {
    if (r.produced == Tokens(0)) continue;
    SPARSESERVE_CHECK(r.ttft.Unpack().sum() == r.first_token.ns() - r.arrival.ns(),
                      "the parts of a time to the first token do not sum up to it");
    decoding += r.last_token.ns() - r.first_token.ns();
    gaps += r.produced.value() - 1;
  }
  const GapHistogram attributed = Gaps();
  SPARSESERVE_CHECK(attributed.num_gaps() == gaps, "a token gap was attributed twice or never");
  SPARSESERVE_CHECK(attributed.Total().sum() == decoding,
                    "the parts of the token gaps do not sum up to them");
}

Breakdown SlowestFirstTokens(const RequestRecords& requests, double share) {
  std::vector<const RequestRecord*> completed;
  completed.reserve(requests.size());
  for (const RequestRecord& r : requests)
    if (!r.failed && r.produced > Tokens(0)) completed.push_back(&r);
  Breakdown slowest;
  slowest.samples =
      static_cast<std::int64_t>(std::ceil(share * static_cast<double>(completed.size())));
  if (slowest.samples == 0) return slowest;
  const auto ttft = [](const RequestRecord* r) { return r->first_token.ns() - r->arrival.ns(); };
  if (share < 1) {  // earlier requests first among equals
    std::nth_element(completed.begin(), completed.begin() + (slowest.samples - 1), completed.end(),
                     [&](const RequestRecord* a, const RequestRecord* b) {
                       return ttft(a) != ttft(b) ? ttft(a) > ttft(b) : a->id < b->id;
                     });
  }
  completed.resize(static_cast<std::size_t>(slowest.samples));
  TimeSums sum;
  std::int64_t shortest = ttft(completed.front());
  for (const RequestRecord* r : completed) {
    sum.Add(r->ttft.Unpack());
    shortest = std::min(shortest, ttft(r));
  }
  const double divisor = 1e6 * static_cast<double>(slowest.samples);
  for (std::size_t i = 0; i < kNumParts; ++i)
    slowest.parts_ms[i] = static_cast<double>(sum.ns[i]) / divisor;
  slowest.from_ms = static_cast<double>(shortest) * 1e-6;
  slowest.mean_ms = static_cast<double>(sum.sum()) / divisor;
  return slowest;
}

}  // namespace sparseserve::metrics
