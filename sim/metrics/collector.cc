#include "sim/metrics/collector.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::metrics {

RequestRecord& Collector::At(std::int64_t id) {
  SPARSESERVE_CHECK(id >= 0 && id < static_cast<std::int64_t>(requests_.size()),
                    "an unknown request");
  return requests_[static_cast<std::size_t>(id)];
}

void Collector::Integrate(SimTime now) {
  SPARSESERVE_CHECK(now >= last_change_, "the clock runs backwards");
  const Area elapsed = now.ns() - last_change_.ns();
  system_area_ += elapsed * in_system_;
  waiting_area_ += elapsed * waiting_;
  last_change_ = now;
}

void Collector::OnArrival(SimTime now, std::int64_t id, std::int32_t replica, Tokens prompt,
                          Tokens output) {
  SPARSESERVE_CHECK(id == static_cast<std::int64_t>(requests_.size()),
                    "requests arrive in order of their ids");
  Integrate(now);
  ++in_system_;
  ++waiting_;
  RequestRecord record;
  record.id = id;
  record.replica = replica;
  record.arrival = now;
  record.prompt = prompt;
  record.output = output;
  requests_.push_back(record);
  counts_.at = now;
  if (id == window_.warmup_requests) window_.begin = counts_;
  window_.end = counts_;
}

void Collector::OnRouted(std::int64_t id, std::int32_t replica) { At(id).replica = replica; }

void Collector::OnScheduled(SimTime now, std::int64_t id) {
  RequestRecord& record = At(id);
  if (record.was_scheduled) return;
  Integrate(now);
  --waiting_;
  record.was_scheduled = true;
  record.scheduled = now;
  attribution_.OnScheduled(now, record);
}

void Collector::OnPrefill(SimTime now, std::int64_t id) { attribution_.OnPrefill(now, At(id)); }

void Collector::OnToken(SimTime now, std::int64_t id) {
  RequestRecord& record = At(id);
  attribution_.OnToken(now, record);
  if (record.produced == Tokens(0)) {
    record.first_token = now;
    counts_.input_tokens += record.prompt.value();
  } else {
    token_gaps_ms_.Add(static_cast<float>((now - record.last_token).value() * 1e3));
    ++counts_.token_gaps;
  }
  ++counts_.output_tokens;
  record.last_token = now;
  record.produced += Tokens(1);
}

void Collector::OnPreempted(std::int64_t id) {
  RequestRecord& record = At(id);
  ++record.preemptions;
  attribution_.OnPreempted(record);
  ++preemptions_;
}

void Collector::OnFinish(SimTime now, std::int64_t id, bool failed) {
  Integrate(now);
  RequestRecord& record = At(id);
  if (!record.was_scheduled) --waiting_;
  --in_system_;
  ++counts_.finished;
  record.finish = now;
  record.failed = failed;
  attribution_.OnFinish(record);
}

void Collector::OnIteration(const IterationRecord& record) {
  IterationTotals& t = totals_;
  const std::int64_t batch = record.num_decodes + record.num_prefills;
  ++t.iterations;
  if (record.num_decodes > 0) ++t.decode_iterations;
  t.batch_sum += batch;
  t.decode_tokens += record.num_decodes;
  t.batch_max = std::max(t.batch_max, batch);
  t.prefill_token_layers += record.prefill_token_layers;
  t.block_loads += record.block_loads;
  t.block_reloads += record.block_reloads;
  t.block_touches += record.block_touches;
  t.h2d_bytes += record.h2d_bytes;
  t.d2h_bytes += record.d2h_bytes;
  t.compute += record.compute;
  t.attention += record.attention;
  t.load_stall += record.load_stall;
  t.save_stall += record.save_stall;
  t.host += record.host;
  t.h2d_busy += record.h2d_busy;
  t.d2h_busy += record.d2h_busy;
  t.scatter_busy += record.scatter_busy;
  attribution_.OnIteration(record);
  if (sink_ != nullptr) sink_->OnIteration(record);
}

void Collector::CheckConservation() const {
  Area sojourn = 0;
  Area queued = 0;
  std::int64_t gaps = 0;
  for (const RequestRecord& r : requests_) {
    SPARSESERVE_CHECK(r.failed || r.produced == r.output,
                      "a finished request lacks tokens or has too many");
    SPARSESERVE_CHECK(r.finish >= r.arrival, "a request finishes before it arrives");
    SPARSESERVE_CHECK(r.failed || (r.scheduled >= r.arrival && r.first_token >= r.scheduled),
                      "effects precede causes");
    sojourn += r.finish.ns() - r.arrival.ns();
    queued += (r.was_scheduled ? r.scheduled : r.finish).ns() - r.arrival.ns();
    gaps += std::max<std::int64_t>(0, r.produced.value() - 1);
  }
  SPARSESERVE_CHECK(in_system_ == 0 && waiting_ == 0, "requests are left in the system");
  SPARSESERVE_CHECK(counts_.finished == static_cast<std::int64_t>(requests_.size()),
                    "requests in and out differ");
  SPARSESERVE_CHECK(gaps == token_gaps_ms_.size(), "tokens and token gaps differ");
  SPARSESERVE_CHECK(sojourn == system_area_,
                    "Little's law: time in system and its integral differ");
  SPARSESERVE_CHECK(queued == waiting_area_, "Little's law: time in queue and its integral differ");
  attribution_.CheckSums(requests_);
}

double Collector::MeanWaiting(bool second_half) const {
  if (requests_.empty()) return 0;
  const std::int64_t first = requests_.front().arrival.ns();
  const std::int64_t span = requests_.back().arrival.ns() - first;
  const std::int64_t begin = first + (second_half ? span / 2 : 0);
  const std::int64_t end = first + (second_half ? span : span / 2);
  if (end <= begin) return 0;
  double waited = 0;
  for (const RequestRecord& r : requests_) {
    const std::int64_t until = (r.was_scheduled ? r.scheduled : r.finish).ns();
    waited += static_cast<double>(
        std::max<std::int64_t>(0, std::min(until, end) - std::max(r.arrival.ns(), begin)));
  }
  return waited / static_cast<double>(end - begin);
}

}  // namespace sparseserve::metrics
