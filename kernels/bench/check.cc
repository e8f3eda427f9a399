#include "kernels/bench/check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/bench/call.h"

namespace sparseserve::bench {

void ExpectClose(std::string_view operation, kernels::ElementType type, std::span<const float> got,
                 std::span<const double> want) {
  // Inputs are the same on both sides: what differs is the order of float sums, and in bf16 the
  // rounding of results and of the probabilities of attention, 2^-9 each.
  const double tolerance = type == kernels::ElementType::kBfloat16 ? 1e-2 : 1e-4;
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  const double error = std::sqrt(difference / std::max(norm, 1e-30));
  if (got.size() == want.size() && error <= tolerance) return;
  throw WrongResult(std::string(operation) + ": wrong result, relative error " +
                    std::to_string(error) + " (at most " + std::to_string(tolerance) + ")");
}

void ExpectSameBytes(std::string_view operation, std::int64_t index, std::span<const std::byte> got,
                     std::span<const std::byte> want) {
  if (std::equal(got.begin(), got.end(), want.begin(), want.end())) return;
  throw WrongResult(std::string(operation) + ": wrong bytes in piece " + std::to_string(index));
}

std::vector<double> AttendInDouble(std::span<const float> query, std::span<const float> keys,
                                   std::span<const float> values, double scale) {
  const std::size_t width = query.size();
  const std::size_t num_tokens = keys.size() / width;
  std::vector<double> weights(num_tokens);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t t = 0; t < num_tokens; ++t) {
    double dot = 0;
    for (std::size_t i = 0; i < width; ++i) dot += double{query[i]} * keys[t * width + i];
    weights[t] = dot * scale;
    largest = std::max(largest, weights[t]);
  }
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - largest);
  std::vector<double> output(width);
  for (std::size_t t = 0; t < num_tokens; ++t) {
    for (std::size_t i = 0; i < width; ++i) {
      output[i] += weights[t] / sum * values[t * width + i];
    }
  }
  return output;
}

}  // namespace sparseserve::bench
