#include "sim/plan/statistics.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "sim/core/check.h"

namespace sparseserve::plan {

Interval MeanInterval(std::span<const double> samples, double confidence) {
  SPARSESERVE_CHECK(confidence > 0 && confidence < 1, "a confidence lies between 0 and 1");
  const auto count = static_cast<double>(samples.size());
  double sum = 0;
  for (const double sample : samples) sum += sample;
  const double mean = samples.empty() ? 0 : sum / count;
  if (samples.size() < 2) {
    constexpr double kUnknown = std::numeric_limits<double>::infinity();
    return {.mean = mean, .low = -kUnknown, .high = kUnknown};
  }
  double squares = 0;  // two passes: the mean may be large beside the spread
  for (const double sample : samples) squares += (sample - mean) * (sample - mean);
  const double standard_error = std::sqrt(squares / (count - 1) / count);
  const boost::math::students_t distribution(count - 1);
  const double t = boost::math::quantile(distribution, 0.5 + confidence / 2);
  return {.mean = mean, .low = mean - t * standard_error, .high = mean + t * standard_error};
}

Interval PairedDifference(std::span<const double> base, std::span<const double> other,
                          double confidence) {
  SPARSESERVE_CHECK(base.size() == other.size(), "pairs need as many samples on both sides");
  std::vector<double> differences;
  differences.reserve(base.size());
  for (std::size_t i = 0; i < base.size(); ++i) differences.push_back(other[i] - base[i]);
  return MeanInterval(differences, confidence);
}

}  // namespace sparseserve::plan
