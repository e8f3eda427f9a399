// iterations.csv as time series of a bounded number of points, in one pass. Private to sim/report.
//
// Time is cut into at most 512 equal buckets; when a run outgrows them, neighbours are merged and
// the width doubles, so that memory does not depend on the run. What an iteration did is spread
// evenly over its time, and each bucket holds sums; a gauge also keeps the lowest and highest value
// that an iteration in the bucket had. Nothing is lost but the order within a bucket.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sparseserve::report {

// Values that an iteration has from begin to end.
enum class Gauge : std::uint8_t { kBatch, kQueue, kHbmBytes, kDramBytes };
inline constexpr std::size_t kNumGauges = 4;

// What an iteration adds up.
// clang-format off
enum class Amount : std::uint8_t {
  kCompute, kAttention, kLoadStall, kSaveStall, kHost,  // parts of an iteration, s
  kIteration,                                           // begin to end, s
  kBlockLoads, kBlockTouches, kH2dBytes, kD2hBytes, kH2dBusy,
};
// clang-format on
inline constexpr std::size_t kNumAmounts = 11;

struct SeriesBucket {
  struct Range {
    double area = 0;  // value times seconds, over all replicas
    double low = 0, high = 0;
  };
  std::array<Range, kNumGauges> gauges{};
  std::array<double, kNumAmounts> amounts{};
  bool has_iterations = false;

  double operator[](Amount amount) const { return amounts[static_cast<std::size_t>(amount)]; }
  const Range& operator[](Gauge gauge) const { return gauges[static_cast<std::size_t>(gauge)]; }
};

class TimeSeries {
 public:
  static constexpr std::size_t kMaxBuckets = 512;

  struct Iteration {
    std::int64_t begin_ns = 0, end_ns = 0;
    std::array<double, kNumGauges> gauges{};
    std::array<double, kNumAmounts> amounts{};
  };
  // REQUIRES: 0 <= begin <= end.
  void Add(const Iteration& iteration);

  // The first bucket begins at 0; the last one holds the end of the last iteration.
  const std::vector<SeriesBucket>& buckets() const { return buckets_; }
  double width_s() const { return 1e-9 * static_cast<double>(width_ns_); }
  // The time of bucket `index` that lies before the end of the last iteration, > 0.
  double covered_s(std::size_t index) const;

 private:
  void Widen(std::int64_t end_ns);

  std::int64_t width_ns_ = 1'000'000;  // doubles as the run grows
  std::int64_t end_ns_ = 0;
  std::vector<SeriesBucket> buckets_;
};

// Throws InputError for a file that is torn or wrong.
TimeSeries ReadTimeSeries(const std::string& path);

}  // namespace sparseserve::report
