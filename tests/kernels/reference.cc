#include "tests/kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/bfloat16.h"

namespace sparseserve::kernels::reference {
namespace {

constexpr double kFloatUnit = 0x1p-24;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double UnitOf(ElementType type) { return type == ElementType::kFloat32 ? kFloatUnit : 0x1p-8; }

// Of a sum of `num_terms` float products with sum of magnitudes `magnitude`.
double SumBound(double num_terms, double magnitude) {
  return (num_terms + 8) * kFloatUnit * magnitude;
}

// A value computed to within `bound` and stored as `type`; below the normal numbers errors are
// absolute.
Value Stored(double value, double bound, ElementType type) {
  return {value, bound + UnitOf(type) * (std::abs(value) + bound) + 1e-37};
}

struct Key {
  std::int64_t key, value;  // offsets of the vectors of one token
};

struct QueryShape {
  ElementType type;
  std::int32_t head_dim;
  double scale;
};

// One query head over a list of tokens: appends its output and lse.
void Attend(const QueryShape& shape, const void* queries, std::int64_t query, const void* blocks,
            const std::vector<Key>& keys, Attention& result) {
  const auto at = [&](const void* data, std::int64_t i) {
    return ReadElement(data, shape.type, i);
  };
  std::vector<double> weights;
  double max = -kInfinity, score_bound = 0;
  for (const Key& key : keys) {
    double score = 0, magnitude = 0;
    for (std::int32_t d = 0; d < shape.head_dim; ++d) {
      const double product = at(queries, query + d) * at(blocks, key.key + d) * shape.scale;
      score += product;
      magnitude += std::abs(product);
    }
    weights.push_back(score);
    max = std::max(max, score);
    score_bound = std::max(score_bound, SumBound(shape.head_dim, magnitude));
  }
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - max);
  // Weights are off by a factor of exp(score_bound) and, where a kernel multiplies them as elements
  // of the type, by its rounding; both count twice, since the sum that divides them is off too.
  const double weight_error = score_bound + UnitOf(shape.type) + SumBound(double(keys.size()), 1);
  for (std::int32_t d = 0; d < shape.head_dim; ++d) {
    double value = 0, magnitude = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const double product = weights[i] / sum * at(blocks, keys[i].value + d);
      value += product;
      magnitude += std::abs(product);
    }
    result.output.push_back(Stored(value, 2 * weight_error * magnitude, shape.type));
  }
  const double lse = keys.empty() ? -kInfinity : max + std::log(sum);
  result.lse.push_back(Stored(lse, score_bound + SumBound(double(keys.size()), 1 + std::abs(lse)),
                              ElementType::kFloat32));
}

}  // namespace

double ReadElement(const void* data, ElementType type, std::int64_t index) {
  if (type == ElementType::kFloat32) return static_cast<const float*>(data)[index];
  return ToFloat(static_cast<const Bfloat16*>(data)[index]);
}

Values BuildMetadata(const MetadataParams& params) {
  const KvLayout& layout = params.layout;
  const std::int32_t vectors = MetadataVectors(params.kind);
  Values result(static_cast<std::size_t>(params.num_blocks * vectors * layout.head_dim));
  for (std::int64_t i = 0; i < params.num_blocks; ++i) {
    for (std::int32_t d = 0; d < layout.head_dim; ++d) {
      std::vector<double> keys;
      for (std::int64_t t = 0; t < layout.block_tokens; ++t) {
        const std::int64_t token = 2 * params.slots[i] * std::int64_t{layout.block_tokens} + t;
        keys.push_back(ReadElement(params.blocks, layout.type, token * layout.head_dim + d));
      }
      const auto num_keys = static_cast<double>(keys.size());
      const auto [min, max] = std::minmax_element(keys.begin(), keys.end());
      const double center = (*max + *min) / 2;
      double sum = 0, magnitude = 0, distance = 0;
      for (const double key : keys) {
        sum += key;
        magnitude += std::abs(key);
        distance += std::abs(center - key);
      }
      const double radius = distance / num_keys;
      const auto out = static_cast<std::size_t>(i * vectors * layout.head_dim + d);
      const auto second = out + static_cast<std::size_t>(layout.head_dim);
      const double bound = SumBound(num_keys, radius + std::abs(*max) + std::abs(*min));
      switch (params.kind) {
        case MetadataKind::kMinMax:
          result[out] = {*min, 0};
          result[second] = {*max, 0};
          break;
        case MetadataKind::kCuboidMean:
          result[out] = Stored(center - radius, bound, layout.type);
          result[second] = Stored(center + radius, bound, layout.type);
          break;
        case MetadataKind::kMean:
          result[out] =
              Stored(sum / num_keys, SumBound(num_keys, magnitude / num_keys), layout.type);
          break;
      }
    }
  }
  return result;
}

Values Score(const ScoreParams& params) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Values result(static_cast<std::size_t>(params.num_rows * params.row_stride), {nan, 0});
  const std::int64_t head_dim = params.head_dim;
  const std::int64_t vectors = MetadataVectors(params.kind);
  const auto at = [&](const void* data, std::int64_t i) {
    return ReadElement(data, params.type, i);
  };
  for (std::int64_t row = 0; row < params.num_rows; ++row) {
    for (std::int64_t block = 0; block < params.row_blocks[row]; ++block) {
      const std::int64_t entry = (params.row_begin[row] + block) * vectors * head_dim;
      double sum = 0, max = -kInfinity, magnitude = 0, largest = 0;
      for (std::int64_t g = 0; g < params.group; ++g) {
        double score = 0, head_magnitude = 0;
        for (std::int64_t d = 0; d < head_dim; ++d) {
          const double q = at(params.queries, (row * params.group + g) * head_dim + d);
          const double a = q * at(params.metadata, entry + d);
          const double b = vectors == 2 ? q * at(params.metadata, entry + head_dim + d) : a;
          score += std::max(a, b);
          head_magnitude += std::max(std::abs(a), std::abs(b));
        }
        sum += score;
        max = std::max(max, score);
        magnitude += head_magnitude;
        largest = std::max(largest, head_magnitude);
      }
      Value& out = result[static_cast<std::size_t>(row * params.row_stride + block)];
      const double terms = 2.0 * params.head_dim + params.group;
      switch (params.reduction) {
        case GroupReduction::kMean:
          out = {sum / params.group, SumBound(terms, magnitude / params.group)};
          break;
        case GroupReduction::kMax:
          out = {max, SumBound(terms, largest)};
          break;
        case GroupReduction::kSum:
          out = {sum, SumBound(terms, magnitude)};
          break;
      }
    }
  }
  return result;
}

std::vector<std::int32_t> TopK(const TopKParams& params) {
  std::vector<std::int32_t> result;
  for (std::int64_t row = 0; row < params.num_rows; ++row) {
    const float* const scores = params.scores + row * params.row_stride;
    const std::int32_t num_blocks = params.row_blocks[row];
    // Ranks: first ones, last ones, then by score; a stable sort keeps lower indices first.
    const auto rank = [&](std::int32_t i) {
      return i < params.num_first ? 0 : i >= num_blocks - params.num_last ? 1 : 2;
    };
    const auto is_better = [&](std::int32_t a, std::int32_t b) {
      if (rank(a) != rank(b)) return rank(a) < rank(b);
      if (rank(a) == 0) return a < b;
      if (rank(a) == 1) return a > b;
      if (std::isnan(scores[a]) || std::isnan(scores[b])) {
        return !std::isnan(scores[a]) && std::isnan(scores[b]);
      }
      return scores[a] > scores[b];
    };
    std::vector<std::int32_t> order(static_cast<std::size_t>(num_blocks));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), is_better);
    order.resize(std::min(order.size(), static_cast<std::size_t>(params.k)));
    std::sort(order.begin(), order.end());
    order.resize(static_cast<std::size_t>(params.k), -1);
    result.insert(result.end(), order.begin(), order.end());
  }
  return result;
}

Attention DecodeAttention(const DecodeParams& params) {
  Attention result;
  const std::int64_t block_tokens = params.layout.block_tokens, head_dim = params.layout.head_dim;
  const QueryShape shape{params.layout.type, params.layout.head_dim, params.scale};
  for (std::int64_t head = 0; head < params.num_requests * params.kv_heads * params.group; ++head) {
    const std::int64_t row = head / params.group;
    std::vector<Key> keys;
    for (std::int32_t i = 0; i < params.row_blocks[row]; ++i) {
      const std::int64_t slot = params.slots[row * params.slots_stride + i];
      const bool is_last = i + 1 == params.row_blocks[row];
      for (std::int64_t t = 0; slot >= 0 && t < (is_last ? params.last_tokens[row] : block_tokens);
           ++t) {
        keys.push_back({(2 * slot * block_tokens + t) * head_dim,
                        ((2 * slot + 1) * block_tokens + t) * head_dim});
      }
    }
    Attend(shape, params.queries, head * head_dim, params.blocks, keys, result);
  }
  return result;
}

Attention PrefillAttention(const PrefillParams& params) {
  Attention result;
  const std::int64_t block_tokens = params.layout.block_tokens, head_dim = params.layout.head_dim;
  const QueryShape shape{params.layout.type, params.layout.head_dim, params.scale};
  const std::int64_t q_heads = std::int64_t{params.kv_heads} * params.group;
  for (std::int64_t query = 0; query < params.num_queries; ++query) {
    const std::int64_t end = std::min(params.key_end, params.query_begin + query + 1);
    for (std::int64_t head = 0; head < q_heads; ++head) {
      std::vector<Key> keys;
      for (std::int64_t token = params.key_begin; token < end; ++token) {
        const std::int64_t slot =
            params.slots[head / params.group * params.slots_stride + token / block_tokens];
        const std::int64_t t = token % block_tokens;
        keys.push_back({(2 * slot * block_tokens + t) * head_dim,
                        ((2 * slot + 1) * block_tokens + t) * head_dim});
      }
      Attend(shape, params.queries, (query * q_heads + head) * head_dim, params.blocks, keys,
             result);
    }
  }
  return result;
}

Attention Merge(const MergeParams& params) {
  Attention result;
  for (std::int64_t row = 0; row < params.num_rows; ++row) {
    const double lse_a = params.lse_a[row], lse_b = params.lse_b[row];
    const double max = std::max(lse_a, lse_b);
    const bool is_empty = max == -kInfinity;
    const double weight_a = is_empty ? 0 : std::exp(lse_a - max);
    const double weight_b = is_empty ? 0 : std::exp(lse_b - max);
    const double sum = weight_a + weight_b;
    // lse_a - max is rounded, and so is the exponential.
    const double error = kFloatUnit * (16 + 4 * (is_empty ? 0 : std::abs(max)));
    for (std::int64_t i = row * params.head_dim; i < (row + 1) * params.head_dim; ++i) {
      // What counts for nothing may hold anything, and an empty row stays as it is.
      const double a = is_empty || weight_a != 0 ? ReadElement(params.a, params.type, i) : 0;
      const double b = weight_b != 0 ? ReadElement(params.b, params.type, i) : 0;
      const double value = is_empty ? a : (weight_a * a + weight_b * b) / sum;
      result.output.push_back(Stored(value, error * (std::abs(a) + std::abs(b)), params.type));
    }
    result.lse.push_back(is_empty ? Value{-kInfinity, 0} : Value{max + std::log(sum), error});
  }
  return result;
}

Values Gemm(const GemmParams& params) {
  Values result;
  for (std::int64_t i = 0; i < params.m; ++i) {
    for (std::int64_t j = 0; j < params.n; ++j) {
      double sum = params.accumulate ? ReadElement(params.y, params.type, i * params.n + j) : 0;
      double magnitude = std::abs(sum);
      for (std::int64_t k = 0; k < params.k; ++k) {
        const double product = ReadElement(params.x, params.type, i * params.k + k) *
                               ReadElement(params.w, params.type, j * params.k + k);
        sum += product;
        magnitude += std::abs(product);
      }
      result.push_back(Stored(sum, SumBound(double(params.k), magnitude), params.type));
    }
  }
  return result;
}

Values Norm(const NormParams& params) {
  Values result;
  for (std::int64_t row = 0; row < params.num_rows; ++row) {
    const auto x = [&](std::int64_t i) {
      return ReadElement(params.x, params.type, row * params.width + i);
    };
    double squares = 0;
    for (std::int64_t i = 0; i < params.width; ++i) squares += x(i) * x(i);
    const double root = std::sqrt(squares / double(params.width) + double(params.epsilon));
    for (std::int64_t i = 0; i < params.width; ++i) {
      const double y = x(i) / root * ReadElement(params.weight, params.type, i);
      result.push_back(Stored(y, SumBound(double(params.width), std::abs(y)), params.type));
    }
  }
  return result;
}

Values GatedActivation(const GatedActivationParams& params) {
  Values result;
  for (std::int64_t row = 0; row < params.num_rows; ++row) {
    for (std::int64_t i = 0; i < params.width; ++i) {
      const double gate = ReadElement(params.x, params.type, 2 * row * params.width + i);
      const double up = ReadElement(params.x, params.type, (2 * row + 1) * params.width + i);
      const double y = gate / (1 + std::exp(-gate)) * up;
      // The argument of the exponential is rounded too.
      result.push_back(Stored(y, (8 + 2 * std::abs(gate)) * kFloatUnit * std::abs(y), params.type));
    }
  }
  return result;
}

Values Rotate(const void* x, ElementType type, std::int64_t offset, std::int32_t head_dim,
              double theta, std::int64_t position) {
  Values result(static_cast<std::size_t>(head_dim));
  const std::int32_t half = head_dim / 2;
  for (std::int32_t i = 0; i < half; ++i) {
    const double angle = double(position) * std::pow(theta, -2.0 * i / head_dim);
    const double a = ReadElement(x, type, offset + i);
    const double b = ReadElement(x, type, offset + i + half);
    const double bound = 8 * kFloatUnit * (std::abs(a) + std::abs(b));
    result[static_cast<std::size_t>(i)] =
        Stored(a * std::cos(angle) - b * std::sin(angle), bound, type);
    result[static_cast<std::size_t>(i + half)] =
        Stored(b * std::cos(angle) + a * std::sin(angle), bound, type);
  }
  return result;
}

std::vector<std::int32_t> Argmax(const ArgmaxParams& params) {
  std::vector<std::int32_t> result;
  for (std::int64_t row = 0; row < params.num_rows; ++row) {
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < params.width; ++i) {
      if (ReadElement(params.logits, params.type, row * params.width + i) >
          ReadElement(params.logits, params.type, row * params.width + best)) {
        best = i;
      }
    }
    result.push_back(static_cast<std::int32_t>(best));
  }
  return result;
}

}  // namespace sparseserve::kernels::reference
