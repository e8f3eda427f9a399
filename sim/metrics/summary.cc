#include "sim/metrics/summary.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::metrics {
namespace {

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

void CountRequest(const RequestRecord& r, Summary& s) {
  if (r.failed) {
    ++s.failed;
    return;
  }
  ++s.completed;
  s.total_input_tokens += r.prompt;
  s.total_output_tokens += r.produced;
}

Seconds Tpot(const RequestRecord& r) {
  const std::int64_t gaps = r.produced.value() - 1;
  return gaps > 0 ? (r.last_token - r.first_token) / gaps : Seconds(0);
}

bool IsGood(const RequestRecord& r, const ServiceLevel& slo) {
  return !r.failed && Meets(slo.ttft, r.first_token - r.arrival) && Meets(slo.tpot, Tpot(r)) &&
         Meets(slo.e2el, r.finish - r.arrival);
}

// Latencies of the measured requests, one kind after the other: a sample of all is large.
void AddLatencies(const RequestRecords& requests, std::int64_t warmup_requests, Summary& s) {
  std::vector<float> sample;
  const auto summarize = [&](auto has_value, auto value) {
    sample.clear();
    for (const RequestRecord& r : requests) {
      if (r.id >= warmup_requests && has_value(r)) sample.push_back(static_cast<float>(value(r)));
    }
    return sparseserve::Summarize(sample);
  };
  const auto is_done = [](const RequestRecord& r) { return !r.failed; };
  const auto has_gaps = [](const RequestRecord& r) { return !r.failed && r.produced > Tokens(1); };
  const auto was_scheduled = [](const RequestRecord& r) { return r.was_scheduled; };
  s.ttft_ms = summarize(is_done, [](auto& r) { return (r.first_token - r.arrival).value() * 1e3; });
  s.tpot_ms = summarize(has_gaps, [](auto& r) { return Tpot(r).value() * 1e3; });
  s.e2el_ms = summarize(is_done, [](auto& r) { return (r.finish - r.arrival).value() * 1e3; });
  s.scheduling_delay_s =
      summarize(was_scheduled, [](auto& r) { return (r.scheduled - r.arrival).value(); });
}

// Per second, over the whole run or between warm-up and last arrival.
void AddRates(const MeasuringWindow& window, std::int64_t good, const ServiceLevel& slo,
              Summary& s) {
  Seconds span = s.duration;
  MeasuringWindow::Counts sum;
  sum.finished = s.completed;
  sum.input_tokens = s.total_input_tokens.value();
  sum.output_tokens = s.total_output_tokens.value();
  if (window.warmup_requests > 0) {
    span = window.end.at - window.begin.at;
    sum.finished = window.end.finished - window.begin.finished;
    sum.input_tokens = window.end.input_tokens - window.begin.input_tokens;
    sum.output_tokens = window.end.output_tokens - window.begin.output_tokens;
  }
  if (span <= Seconds(0)) return;
  const double seconds = span.value();
  s.request_throughput = static_cast<double>(sum.finished) / seconds;
  s.output_throughput = static_cast<double>(sum.output_tokens) / seconds;
  s.total_token_throughput = static_cast<double>(sum.input_tokens + sum.output_tokens) / seconds;
  if (slo.any()) s.request_goodput = static_cast<double>(good) / seconds;
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

void AddBreakdowns(const Collector& collector, Summary& s) {
  constexpr double kSlowest = 0.01;
  const GapHistogram gaps = collector.attribution().Gaps();
  s.breakdown.ttft = SlowestFirstTokens(collector.requests(), 1);
  s.breakdown.slowest_ttft = SlowestFirstTokens(collector.requests(), kSlowest);
  s.breakdown.itl = gaps.Slowest(1);
  s.breakdown.slowest_itl = gaps.Slowest(kSlowest);
  s.iteration_bounds = collector.attribution().iteration_bounds();
  s.batch_bounds = collector.attribution().batch_bounds();
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
  std::int64_t good = 0;
  const MeasuringWindow& window = collector.window();
  const RequestRecords& requests = collector.requests();
  const auto num_requests = static_cast<std::int64_t>(requests.size());
  SPARSESERVE_CHECK(window.warmup_requests == 0 || window.warmup_requests < num_requests,
                    "the warm-up leaves no request to measure");
  s.warmup_requests = window.warmup_requests;
  for (const RequestRecord& r : requests) {
    CountRequest(r, s);
    if (r.id >= window.warmup_requests) good += IsGood(r, slo);
  }
  if (num_requests > 0) s.duration = collector.end() - requests.front().arrival;
  AddLatencies(requests, window.warmup_requests, s);
  const RunLengthSample& gaps = collector.token_gaps_ms();
  const std::int64_t warmup_gaps = window.begin.token_gaps;
  // Not by one conditional expression, which would copy all gaps.
  s.itl_ms = warmup_gaps > 0 ? sparseserve::Summarize(gaps.Without(warmup_gaps))
                             : sparseserve::Summarize(gaps);
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
  AddRates(window, good, slo, s);
  if (slo.any() && num_requests > 0) {
    s.slo_attainment =
        static_cast<double>(good) / static_cast<double>(num_requests - window.warmup_requests);
  }
  AddTimeShares(s);
  AddBreakdowns(collector, s);
  return s;
}

}  // namespace sparseserve::metrics
