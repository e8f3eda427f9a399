#include "sim/metrics/summary.h"

#include <algorithm>

namespace sparseserve::metrics {
namespace {

struct Samples {
  std::vector<float> ttft, tpot, e2el, delay;
};

// Inclusive to half a nanosecond of the clock: 11,000,000 ns in double is a little above 0.011 s.
bool Meets(const std::optional<Seconds>& limit, Seconds value) {
  return !limit || value <= *limit + Seconds(0.5e-9);
}

// The queue grew: in the second half of the arrivals on average at least half as many again wait as
// in the first, and more than one in twenty of all requests.
bool IsSaturated(const Collector& collector) {
  const double first = collector.MeanWaiting(false);
  const double second = collector.MeanWaiting(true);
  return second > 1.5 * first && second > 0.05 * static_cast<double>(collector.requests().size());
}

void AddRequest(const RequestRecord& r, const ServiceLevel& slo, Samples& samples, Summary& s,
                std::int64_t& good) {
  if (r.was_scheduled)
    samples.delay.push_back(static_cast<float>((r.scheduled - r.arrival).value()));
  if (r.failed) {
    ++s.failed;
    return;
  }
  ++s.completed;
  s.total_input_tokens += r.prompt;
  s.total_output_tokens += r.produced;
  const Seconds ttft = r.first_token - r.arrival;
  const Seconds e2el = r.finish - r.arrival;
  const std::int64_t gaps = r.produced.value() - 1;
  const Seconds tpot = gaps > 0 ? (r.last_token - r.first_token) / gaps : Seconds(0);
  samples.ttft.push_back(static_cast<float>(ttft.value() * 1e3));
  samples.e2el.push_back(static_cast<float>(e2el.value() * 1e3));
  if (gaps > 0) samples.tpot.push_back(static_cast<float>(tpot.value() * 1e3));
  if (Meets(slo.ttft, ttft) && Meets(slo.tpot, tpot) && Meets(slo.e2el, e2el)) ++good;
}

void AddTimeShares(Summary& s) {
  const IterationTotals& t = s.totals;
  const Seconds wall = s.duration * static_cast<double>(s.num_replicas);
  if (wall <= Seconds(0)) return;
  auto& share = s.time_share;
  share.compute = t.compute / wall;
  share.attention = t.attention / wall;
  share.load_stall = t.load_stall / wall;
  share.save_stall = t.save_stall / wall;
  share.host = t.host / wall;
  const double busy =
      share.compute + share.attention + share.load_stall + share.save_stall + share.host;
  share.idle = std::max(0.0, 1.0 - busy);
}

}  // namespace

Summary Summarize(const Collector& collector, const ServiceLevel& slo, std::int64_t num_replicas,
                  const RunLabels& labels, const KvFigures& kv, const PerfFigures& perf) {
  Summary s;
  s.labels = labels;
  s.kv = kv;
  s.perf = perf;
  s.num_replicas = num_replicas;
  s.totals = collector.totals();
  s.perf.block_touches = s.totals.block_touches;
  Samples samples;
  std::int64_t good = 0;
  for (const RequestRecord& r : collector.requests()) AddRequest(r, slo, samples, s, good);
  if (!collector.requests().empty())
    s.duration = collector.end() - collector.requests().front().arrival;
  s.ttft_ms = sparseserve::Summarize(samples.ttft);
  s.tpot_ms = sparseserve::Summarize(samples.tpot);
  s.e2el_ms = sparseserve::Summarize(samples.e2el);
  s.scheduling_delay_s = sparseserve::Summarize(samples.delay);
  s.itl_ms = sparseserve::Summarize(collector.token_gaps_ms());
  s.saturated = IsSaturated(collector);
  s.preemptions = collector.preemptions();
  s.batch_max = s.totals.batch_max;
  if (s.totals.iterations > 0) {
    s.batch_mean =
        static_cast<double>(s.totals.batch_sum) / static_cast<double>(s.totals.iterations);
  }
  if (s.totals.decode_iterations > 0) {
    s.block_loads_per_iteration =
        static_cast<double>(s.totals.block_loads) / static_cast<double>(s.totals.decode_iterations);
  }
  const auto touches = static_cast<double>(s.totals.block_touches);
  s.hit_rate = touches > 0 ? 1.0 - static_cast<double>(s.totals.block_loads) / touches : 1.0;
  if (s.duration > Seconds(0)) {
    const double seconds = s.duration.value();
    s.request_throughput = static_cast<double>(s.completed) / seconds;
    s.output_throughput = static_cast<double>(s.total_output_tokens.value()) / seconds;
    s.total_token_throughput =
        static_cast<double>((s.total_input_tokens + s.total_output_tokens).value()) / seconds;
    if (slo.any()) s.request_goodput = static_cast<double>(good) / seconds;
  }
  if (slo.any() && !collector.requests().empty()) {
    s.slo_attainment = static_cast<double>(good) / static_cast<double>(collector.requests().size());
  }
  AddTimeShares(s);
  return s;
}

}  // namespace sparseserve::metrics
