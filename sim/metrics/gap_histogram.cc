#include "sim/metrics/gap_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "sim/core/check.h"

namespace sparseserve::metrics {
namespace {

constexpr int kBits = 7;  // below the leading one
constexpr std::int64_t kSteps = std::int64_t{1} << kBits;

}  // namespace

// Up to 2^8 every length has its bin; from there on 128 bins a power of two.
std::size_t GapHistogram::BinOf(std::int64_t ns) {
  SPARSESERVE_CHECK(ns >= 0, "a token comes before the one before it");
  if (ns < 2 * kSteps) return static_cast<std::size_t>(ns);
  const int shift = 63 - std::countl_zero(static_cast<std::uint64_t>(ns)) - kBits;
  return static_cast<std::size_t>(shift * kSteps + (ns >> shift));
}

std::int64_t GapHistogram::LowerEdge(std::size_t bin) {
  const auto index = static_cast<std::int64_t>(bin);
  if (index < 2 * kSteps) return index;
  const std::int64_t shift = index / kSteps - 1;
  return (index - shift * kSteps) << shift;
}

TimeSums GapHistogram::Total() const {
  TimeSums total;
  for (const Bin& bin : bins_) total.Add(bin.sum);
  return total;
}

void GapHistogram::Add(const TimeParts& parts, std::int64_t count) {
  if (count == 0) return;
  const std::size_t bin = BinOf(parts.sum());
  if (bin >= bins_.size()) bins_.resize(bin + 1);
  bins_[bin].count += count;
  bins_[bin].sum.Add(parts, count);
  num_gaps_ += count;
}

Breakdown GapHistogram::Slowest(double share) const {
  Breakdown slowest;
  slowest.samples = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(num_gaps_)));
  std::int64_t left = slowest.samples;
  for (std::size_t bin = bins_.size(); bin-- > 0 && left > 0;) {
    if (bins_[bin].count == 0) continue;
    const std::int64_t taken = std::min(left, bins_[bin].count);
    const double weight = static_cast<double>(taken) / static_cast<double>(bins_[bin].count) /
                          static_cast<double>(slowest.samples) * 1e-6;
    for (std::size_t i = 0; i < kNumParts; ++i)
      slowest.parts_ms[i] += static_cast<double>(bins_[bin].sum.ns[i]) * weight;
    slowest.from_ms = static_cast<double>(LowerEdge(bin)) * 1e-6;
    left -= taken;
  }
  for (const double part : slowest.parts_ms) slowest.mean_ms += part;
  return slowest;
}

}  // namespace sparseserve::metrics
