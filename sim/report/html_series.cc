#include "sim/report/html_series.h"

#include <algorithm>

#include "sim/core/check.h"
#include "sim/report/iteration_rows.h"

namespace sparseserve::report {
namespace {

// Adds `share` of an iteration that spends `seconds` in the bucket.
void AddTo(SeriesBucket& bucket, const TimeSeries::Iteration& iteration, double seconds,
           double share) {
  for (std::size_t i = 0; i < kNumAmounts; ++i) bucket.amounts[i] += share * iteration.amounts[i];
  for (std::size_t i = 0; i < kNumGauges; ++i) {
    const double value = iteration.gauges[i];
    SeriesBucket::Range& range = bucket.gauges[i];
    range.area += value * seconds;
    range.low = bucket.has_iterations ? std::min(range.low, value) : value;
    range.high = bucket.has_iterations ? std::max(range.high, value) : value;
  }
  bucket.has_iterations = true;
}

void Merge(const SeriesBucket& other, SeriesBucket& bucket) {
  if (!other.has_iterations) return;
  for (std::size_t i = 0; i < kNumAmounts; ++i) bucket.amounts[i] += other.amounts[i];
  for (std::size_t i = 0; i < kNumGauges; ++i) {
    SeriesBucket::Range& range = bucket.gauges[i];
    const SeriesBucket::Range& more = other.gauges[i];
    range.area += more.area;
    range.low = bucket.has_iterations ? std::min(range.low, more.low) : more.low;
    range.high = bucket.has_iterations ? std::max(range.high, more.high) : more.high;
  }
  bucket.has_iterations = true;
}

TimeSeries::Iteration ToIteration(const IterationRows& row) {
  using enum IterationColumn;
  const auto number = [&](IterationColumn column) { return static_cast<double>(row[column]); };
  const auto seconds = [&](IterationColumn column) { return 1e-9 * number(column); };
  TimeSeries::Iteration iteration;
  const std::int64_t duration_ns = row.duration_ns();
  iteration.begin_ns = row[kBegin];
  iteration.end_ns = row[kEnd];
  iteration.gauges = {number(kNumDecodes) + number(kNumPrefills), number(kNumWaiting),
                      number(kHbmUsed), number(kDramUsed)};
  iteration.amounts = {
      seconds(kCompute),   seconds(kAttention),   seconds(kLoadStall),
      seconds(kSaveStall), seconds(kHost),        1e-9 * static_cast<double>(duration_ns),
      number(kBlockLoads), number(kBlockTouches), number(kH2dBytes),
      number(kD2hBytes),   seconds(kH2dBusy)};
  return iteration;
}

}  // namespace

void TimeSeries::Widen(std::int64_t end_ns) {
  while (end_ns / width_ns_ >= static_cast<std::int64_t>(kMaxBuckets)) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      if (i % 2 == 0) {
        buckets_[i / 2] = buckets_[i];
      } else {
        Merge(buckets_[i], buckets_[i / 2]);
      }
    }
    buckets_.resize((buckets_.size() + 1) / 2);
    width_ns_ *= 2;
  }
}

void TimeSeries::Add(const Iteration& iteration) {
  SPARSESERVE_CHECK(0 <= iteration.begin_ns && iteration.begin_ns <= iteration.end_ns,
                    "an iteration ends before it begins");
  end_ns_ = std::max(end_ns_, iteration.end_ns);
  Widen(iteration.end_ns);
  const auto duration = static_cast<double>(iteration.end_ns - iteration.begin_ns);
  const std::int64_t first = iteration.begin_ns / width_ns_;
  // An end on a boundary belongs to the bucket before it.
  const std::int64_t last = std::max(first, (iteration.end_ns - 1) / width_ns_);
  if (static_cast<std::size_t>(last) >= buckets_.size())
    buckets_.resize(static_cast<std::size_t>(last) + 1);
  for (std::int64_t i = first; i <= last; ++i) {
    const std::int64_t begin = std::max(iteration.begin_ns, i * width_ns_);
    const std::int64_t end = std::min(iteration.end_ns, (i + 1) * width_ns_);
    const auto part = static_cast<double>(end - begin);
    AddTo(buckets_[static_cast<std::size_t>(i)], iteration, 1e-9 * part,
          duration > 0 ? part / duration : 1);
  }
}

double TimeSeries::covered_s(std::size_t index) const {
  const std::int64_t begin = static_cast<std::int64_t>(index) * width_ns_;
  const std::int64_t covered = std::min(width_ns_, end_ns_ - begin);
  return 1e-9 * static_cast<double>(covered > 0 ? covered : width_ns_);
}

TimeSeries ReadTimeSeries(const std::string& path) {
  using enum IterationColumn;
  TimeSeries series;
  IterationRows rows(path, {kBegin, kEnd, kNumDecodes, kNumPrefills, kNumWaiting, kCompute,
                            kAttention, kLoadStall, kSaveStall, kHost, kBlockLoads, kBlockTouches,
                            kH2dBytes, kD2hBytes, kHbmUsed, kDramUsed, kH2dBusy});
  while (rows.Next()) series.Add(ToIteration(rows));
  return series;
}

}  // namespace sparseserve::report
