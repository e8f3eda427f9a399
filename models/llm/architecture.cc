#include "models/llm/architecture.h"

#include <fmt/format.h>

#include <cmath>

#include "sim/core/check.h"

namespace sparseserve::llm {
namespace {

Bytes ToBytes(double weights, double bytes_per_weight) {
  return Bytes(std::llround(weights * bytes_per_weight));
}

// Number of weights of the matrices of one layer. In double: products of up to four dimensions stay
// exact below 2^53.
struct AttentionMatrices {
  double projection = 0;  // what runs before the attention
  double output = 0;      // what runs after it
  double vectors = 0;     // norms and biases
};

AttentionMatrices CountAttention(const Architecture& m) {
  const auto hidden = static_cast<double>(m.hidden_size);
  const auto q_heads = static_cast<double>(m.num_q_heads);
  AttentionMatrices count;
  count.vectors = hidden;
  if (m.attention == AttentionKind::kMultiHead) {
    const auto head_dim = static_cast<double>(m.head_dim);
    const double qkv = (q_heads + 2 * static_cast<double>(m.num_kv_heads)) * head_dim;
    count.projection = hidden * qkv;
    count.output = q_heads * head_dim * hidden;
    if (m.qkv_bias) count.vectors += qkv;
  } else {
    const auto q_rank = static_cast<double>(m.latent.q_lora_rank);
    const auto kv_rank = static_cast<double>(m.latent.kv_lora_rank);
    const auto rope = static_cast<double>(m.latent.qk_rope_head_dim);
    const auto nope = static_cast<double>(m.latent.qk_nope_head_dim);
    const auto v_dim = static_cast<double>(m.latent.v_head_dim);
    const double q_out = q_heads * (nope + rope);
    const double q = q_rank > 0 ? hidden * q_rank + q_rank * q_out : hidden * q_out;
    count.projection = q + hidden * (kv_rank + rope) + kv_rank * q_heads * nope;
    count.output = kv_rank * q_heads * v_dim + q_heads * v_dim * hidden;
    count.vectors += q_rank + kv_rank;
  }
  if (m.indexer.top_k_tokens > 0) {
    // DeepSeek-V3.2, inference/model.py, class Indexer: wq_b, wk, weights_proj.
    const auto heads = static_cast<double>(m.indexer.num_heads);
    const auto head_dim = static_cast<double>(m.indexer.head_dim);
    const auto q_in =
        static_cast<double>(m.latent.q_lora_rank > 0 ? m.latent.q_lora_rank : m.hidden_size);
    count.projection += q_in * heads * head_dim + hidden * head_dim + hidden * heads;
  }
  return count;
}

bool IsMoeLayer(const Architecture& m, std::int64_t layer) {
  SPARSESERVE_CHECK(0 <= layer && layer < m.num_layers, "layer out of range");
  return m.moe.num_experts > 0 && layer >= m.moe.num_dense_layers;
}

double MlpMatrices(const Architecture& m) { return m.gated_mlp ? 3 : 2; }

double ExpertWeights(const Architecture& m) {
  return MlpMatrices(m) * static_cast<double>(m.hidden_size) *
         static_cast<double>(m.moe.expert_intermediate_size);
}

// Weights of the MLP of `layer` of which `num_routed` routed experts count.
double MlpWeights(const Architecture& m, std::int64_t layer, double num_routed) {
  const auto hidden = static_cast<double>(m.hidden_size);
  if (!IsMoeLayer(m, layer)) {
    return MlpMatrices(m) * hidden * static_cast<double>(m.intermediate_size);
  }
  const double router = hidden * static_cast<double>(m.moe.num_experts);
  return router + (num_routed + static_cast<double>(m.moe.num_shared_experts)) * ExpertWeights(m);
}

bool HasFp8Latent(const Architecture& m) {
  return m.attention == AttentionKind::kMultiHeadLatent && m.bytes_per_kv_element == 1;
}

constexpr std::int64_t kScaleGroup = 128;  // fp8 elements that share one fp32 scale

}  // namespace

std::int64_t ActivationElementBytes(const Architecture& model) {
  return model.bytes_per_weight > 2 ? 4 : 2;
}

std::int64_t KvUnitsPerLayer(const Architecture& m) {
  return m.attention == AttentionKind::kMultiHeadLatent ? 1 : m.num_kv_heads;
}

Bytes KvBytesPerTokenPerUnit(const Architecture& m) {
  if (HasFp8Latent(m)) {
    const std::int64_t scales = CeilDiv(m.latent.kv_lora_rank, kScaleGroup);
    return Bytes(m.latent.kv_lora_rank + 4 * scales + 2 * m.latent.qk_rope_head_dim);
  }
  const std::int64_t elements = m.attention == AttentionKind::kMultiHeadLatent
                                    ? m.latent.kv_lora_rank + m.latent.qk_rope_head_dim
                                    : 2 * m.head_dim;
  return ToBytes(static_cast<double>(elements), m.bytes_per_kv_element);
}

Bytes KvBytesPerTokenPerLayer(const Architecture& m) {
  return KvBytesPerTokenPerUnit(m) * KvUnitsPerLayer(m);
}

Bytes KvBytesPerToken(const Architecture& m) { return KvBytesPerTokenPerLayer(m) * m.num_layers; }

Bytes IndexerBytesPerTokenPerLayer(const Architecture& m) {
  return m.indexer.top_k_tokens > 0 ? Bytes(m.indexer.head_dim + 4) : Bytes(0);
}

Weights ComputeWeights(const Architecture& m) {
  const auto hidden = static_cast<double>(m.hidden_size);
  const auto layers = static_cast<double>(m.num_layers);
  const AttentionMatrices per_layer = CountAttention(m);
  const double table = static_cast<double>(m.vocab_size) * hidden;
  const double embedding = table * (m.tied_embeddings ? 1 : 2) + hidden;
  const double attention = layers * (per_layer.projection + per_layer.output + per_layer.vectors);
  double mlp = layers * hidden;
  double active_mlp = mlp;
  for (std::int64_t layer = 0; layer < m.num_layers; ++layer) {
    mlp += MlpWeights(m, layer, static_cast<double>(m.moe.num_experts));
    active_mlp += MlpWeights(m, layer, static_cast<double>(m.moe.experts_per_token));
  }
  Weights weights;
  weights.embedding = ToBytes(embedding, m.bytes_per_embedding_weight);
  weights.attention = ToBytes(attention, m.bytes_per_weight);
  weights.mlp = ToBytes(mlp, m.bytes_per_weight);
  weights.total = weights.embedding + weights.attention + weights.mlp;
  weights.parameters = embedding + attention + mlp;
  weights.active_parameters = table + hidden + attention + active_mlp;
  return weights;
}

Flops ProjectionFlopsPerToken(const Architecture& m) {
  return Flops(2 * CountAttention(m).projection);
}

Flops OutputFlopsPerToken(const Architecture& m) { return Flops(2 * CountAttention(m).output); }

Flops MlpFlopsPerToken(const Architecture& m, std::int64_t layer) {
  return Flops(2 * MlpWeights(m, layer, static_cast<double>(m.moe.experts_per_token)));
}

Flops HeadFlopsPerToken(const Architecture& m) {
  return Flops(2 * static_cast<double>(m.vocab_size) * static_cast<double>(m.hidden_size));
}

Bytes ProjectionWeightBytes(const Architecture& m) {
  return ToBytes(CountAttention(m).projection, m.bytes_per_weight);
}

Bytes OutputWeightBytes(const Architecture& m) {
  return ToBytes(CountAttention(m).output, m.bytes_per_weight);
}

Bytes MlpWeightBytes(const Architecture& m, std::int64_t layer, Tokens tokens) {
  const auto experts = static_cast<double>(m.moe.num_experts);
  double hit = 0;
  if (IsMoeLayer(m, layer)) {
    const double miss_one = 1 - static_cast<double>(m.moe.experts_per_token) / experts;
    hit = experts * (1 - std::pow(miss_one, static_cast<double>(tokens.value())));
  }
  return ToBytes(MlpWeights(m, layer, hit), m.bytes_per_weight);
}

Bytes HeadWeightBytes(const Architecture& m) {
  return ToBytes(static_cast<double>(m.vocab_size) * static_cast<double>(m.hidden_size),
                 m.bytes_per_embedding_weight);
}

Flops AttentionFlopsPerQueryKey(const Architecture& m) {
  if (m.attention == AttentionKind::kMultiHead) return PrefillAttentionFlopsPerQueryKey(m);
  const std::int64_t score = m.latent.kv_lora_rank + m.latent.qk_rope_head_dim;
  return Flops(2.0 * static_cast<double>(m.num_q_heads * (score + m.latent.kv_lora_rank)));
}

Flops PrefillAttentionFlopsPerQueryKey(const Architecture& m) {
  const bool is_latent = m.attention == AttentionKind::kMultiHeadLatent;
  const std::int64_t score =
      is_latent ? m.latent.qk_nope_head_dim + m.latent.qk_rope_head_dim : m.head_dim;
  const std::int64_t value = is_latent ? m.latent.v_head_dim : m.head_dim;
  return Flops(2.0 * static_cast<double>(m.num_q_heads * (score + value)));
}

Flops IndexerFlopsPerQueryKey(const Architecture& m) {
  if (m.indexer.top_k_tokens == 0) return Flops(0);
  return Flops(2.0 * static_cast<double>(m.indexer.num_heads * m.indexer.head_dim));
}

std::string ExplainKvBytes(const Architecture& m) {
  std::string per_layer;
  if (HasFp8Latent(m)) {
    per_layer = fmt::format("({} x 1 B + {} scales x 4 B + {} x 2 B)", m.latent.kv_lora_rank,
                            CeilDiv(m.latent.kv_lora_rank, kScaleGroup), m.latent.qk_rope_head_dim);
  } else if (m.attention == AttentionKind::kMultiHeadLatent) {
    per_layer = fmt::format("({} latent + {} rope) x {} B", m.latent.kv_lora_rank,
                            m.latent.qk_rope_head_dim, m.bytes_per_kv_element);
  } else {
    per_layer = fmt::format("2 (K, V) x {} KV heads x {} x {} B", m.num_kv_heads, m.head_dim,
                            m.bytes_per_kv_element);
  }
  const Bytes total = KvBytesPerToken(m);
  return fmt::format("{} x {} layers = {} B ({}) per token", per_layer, m.num_layers, total.value(),
                     ToString(total));
}

}  // namespace sparseserve::llm
