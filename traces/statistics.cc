#include "traces/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/core/quantiles.h"

namespace sparseserve::traces {
namespace {

class LengthCollector {
 public:
  void Add(Tokens length) {
    values_.push_back(static_cast<float>(length.value()));
    statistics_.total += length;
    statistics_.max = std::max(statistics_.max, length);
  }

  LengthStatistics Finish() {
    if (values_.empty()) return statistics_;
    const auto count = static_cast<double>(values_.size());
    statistics_.mean = static_cast<double>(statistics_.total.value()) / count;
    statistics_.p50 = Quantile(values_, 0.50);
    statistics_.p99 = Quantile(values_, 0.99);
    return statistics_;
  }

 private:
  std::vector<float> values_;
  LengthStatistics statistics_;
};

// Mean and variance in one pass (Welford, Technometrics 1962).
class GapCollector {
 public:
  void Add(double gap_s) {
    ++count_;
    const double delta = gap_s - mean_;
    mean_ += delta / static_cast<double>(count_);
    squares_ += delta * (gap_s - mean_);
  }
  double Cv() const {
    return mean_ > 0 ? std::sqrt(squares_ / static_cast<double>(count_)) / mean_ : 0;
  }

 private:
  std::int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

}  // namespace

TraceStatistics Measure(RequestStream& source) {
  TraceStatistics s;
  LengthCollector prompt;
  LengthCollector output;
  GapCollector gaps;
  std::int64_t tick = 0;  // requests at the current time
  while (const auto request = source.Next()) {
    const bool first = s.num_requests == 0;
    const bool tie = !first && request->arrival == s.last_arrival;
    if (first) s.first_arrival = request->arrival;
    if (!first) gaps.Add((request->arrival - s.last_arrival).value());
    tick = tie ? tick + 1 : 1;
    s.num_ties += tie ? 1 : 0;
    s.largest_tick = std::max(s.largest_tick, tick);
    s.last_arrival = request->arrival;
    ++s.num_requests;
    prompt.Add(request->prompt);
    output.Add(request->output);
  }
  s.span = s.last_arrival - s.first_arrival;
  s.num_ticks = s.num_requests - s.num_ties;
  if (s.span > Seconds(0)) s.rate_per_s = static_cast<double>(s.num_requests - 1) / s.span.value();
  s.gap_cv = gaps.Cv();
  s.prompt = prompt.Finish();
  s.output = output.Finish();
  return s;
}

}  // namespace sparseserve::traces
