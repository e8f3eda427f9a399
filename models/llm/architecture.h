// The architecture of a decoder-only language model, and what follows from it: weights, KV bytes,
// FLOPs. A plain description; it knows no clock, no hardware and no file format.
//
// Conventions: one multiply-add is two FLOPs; "per token" is one token through the layer in one
// forward pass; the KV bytes of a layer are what the attention of one later query has to keep, all
// KV heads together. Under tensor parallelism the callers divide.
//
// Not modelled: sliding-window and linear-attention layers (the loader refuses them), multi-token
// prediction heads, vision towers.
#pragma once

#include <cstdint>
#include <string>

#include "sim/core/units.h"

namespace sparseserve::llm {

enum class AttentionKind : std::uint8_t { kMultiHead, kMultiHeadLatent };  // GQA is kMultiHead

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
struct LatentAttention {
  std::int64_t q_lora_rank = 0;  // 0: queries are projected directly
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t v_head_dim = 0;
};

struct MixtureOfExperts {
  std::int64_t num_experts = 0;  // routed; 0: the model is dense
  std::int64_t experts_per_token = 0;
  std::int64_t num_shared_experts = 0;
  std::int64_t expert_intermediate_size = 0;
  std::int64_t num_dense_layers = 0;  // the first layers that keep a dense MLP
};

// The indexer of DeepSeek sparse attention: its key cache stays in HBM.
struct SparseIndexer {
  std::int64_t top_k_tokens = 0;  // 0: the model has none
  std::int64_t num_heads = 0;
  std::int64_t head_dim = 0;  // of its one key per token
};

struct Architecture {
  std::string name;
  std::int64_t num_layers = 0;
  std::int64_t hidden_size = 0;
  std::int64_t num_q_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate_size = 0;  // of a dense (gated, three-matrix) MLP
  std::int64_t vocab_size = 0;
  std::int64_t max_context_tokens = 0;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool gated_mlp = true;                  // SwiGLU: three matrices; otherwise two
  double bytes_per_weight = 2;            // of the layers; 1 for fp8
  double bytes_per_embedding_weight = 2;  // quantised checkpoints keep these tables in 16 bits
  double bytes_per_kv_element = 2;
  AttentionKind attention = AttentionKind::kMultiHead;
  LatentAttention latent;
  MixtureOfExperts moe;
  SparseIndexer indexer;
  std::string source;  // where the numbers come from
};

// Norm weights are counted with the part that follows them.
struct Weights {
  Bytes embedding;  // input embedding and output head
  Bytes attention;  // all layers, indexers included
  Bytes mlp;        // all layers, all experts
  Bytes total;
  double parameters = 0;
  double active_parameters = 0;  // that one token meets: its experts, the head, no input embedding
};

// Of the hidden state, queries and metadata: as wide as the weights, but 16 bits where those are
// quantised.
std::int64_t ActivationElementBytes(const Architecture& model);
// KV heads as units of the cache: MLA has one latent "head" that all query heads share.
std::int64_t KvUnitsPerLayer(const Architecture& model);
// KV bytes of one token in one layer for one KV unit. MHA/GQA: 2 x head_dim x element. MLA:
// (kv_lora_rank + qk_rope_head_dim) x element; with 1-byte elements the layout of DeepSeek's sparse
// kernels: kv_lora_rank fp8 + one fp32 scale per 128 + qk_rope_head_dim bf16, 656 B for 512 and 64.
Bytes KvBytesPerTokenPerUnit(const Architecture& model);
Bytes KvBytesPerTokenPerLayer(const Architecture& model);
Bytes KvBytesPerToken(const Architecture& model);
// Indexer keys of one token in one layer: head_dim fp8 + one fp32 scale. Zero without an indexer.
Bytes IndexerBytesPerTokenPerLayer(const Architecture& model);
Weights ComputeWeights(const Architecture& model);

// Linear (GEMM) work of one token in one layer: two FLOPs per weight, attention scores left out.
// MLA is counted in its absorbed form, where the key half of the up-projection meets the query and
// the value half meets the output; expanding keys and values instead costs the same per token.
Flops ProjectionFlopsPerToken(const Architecture& model);               // q, k, v, indexer
Flops OutputFlopsPerToken(const Architecture& model);                   // attention output
Flops MlpFlopsPerToken(const Architecture& model, std::int64_t layer);  // active experts, router
Flops HeadFlopsPerToken(const Architecture& model);                     // logits
// Weight bytes that a batch of `tokens` has to read in `layer`; for MoE the expected number of
// distinct experts hit under uniform, independent routing: E (1 - (1 - k/E)^tokens).
Bytes ProjectionWeightBytes(const Architecture& model);
Bytes OutputWeightBytes(const Architecture& model);
Bytes MlpWeightBytes(const Architecture& model, std::int64_t layer, Tokens tokens);
Bytes HeadWeightBytes(const Architecture& model);
// Attention work of one query token against one cached token in one layer (scores and values). MLA:
// in the latent space, as decode and sparse kernels do it.
Flops AttentionFlopsPerQueryKey(const Architecture& model);
// The same for dense prefill, where MLA kernels expand keys and values first. Equal for MHA/GQA.
Flops PrefillAttentionFlopsPerQueryKey(const Architecture& model);
// The indexer's score of one query token against one cached token. Zero without an indexer.
Flops IndexerFlopsPerQueryKey(const Architecture& model);

// The equation of the KV bytes per token with its numbers, for people: "2 x 8 KV heads x 128 x 2 B
// x 32 layers = ...".
std::string ExplainKvBytes(const Architecture& model);

}  // namespace sparseserve::llm
