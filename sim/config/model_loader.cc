#include "sim/config/model_loader.h"

namespace sparseserve::config {
namespace {

void ReadLatent(MapReader reader, llm::LatentAttention& out) {
  reader.Optional("q_lora_rank", out.q_lora_rank, {.doc = "0: queries are projected directly"});
  reader.Required("kv_lora_rank", out.kv_lora_rank, {.doc = "width of the latent", .min = 1});
  reader.Required("qk_rope_head_dim", out.qk_rope_head_dim,
                  {.doc = "shared by the heads", .min = 1});
  reader.Required("qk_nope_head_dim", out.qk_nope_head_dim, {.doc = "per head", .min = 1});
  reader.Required("v_head_dim", out.v_head_dim, {.doc = "per head", .min = 1});
}

void ReadMoe(MapReader reader, llm::MixtureOfExperts& out) {
  reader.Required("num_experts", out.num_experts, {.doc = "routed", .min = 1});
  reader.Required("experts_per_token", out.experts_per_token, {.doc = "routed", .min = 1});
  reader.Optional("num_shared_experts", out.num_shared_experts, {.doc = "always active"});
  reader.Required("expert_intermediate_size", out.expert_intermediate_size,
                  {.doc = "of one expert", .min = 1});
  reader.Optional("num_dense_layers", out.num_dense_layers,
                  {.doc = "first layers with a dense MLP"});
}

void ReadIndexer(MapReader reader, llm::SparseIndexer& out) {
  reader.Required("top_k_tokens", out.top_k_tokens, {.doc = "selected per query", .min = 1});
  reader.Required("num_heads", out.num_heads, {.doc = "indexer heads", .min = 1});
  reader.Required("head_dim", out.head_dim, {.doc = "of its one key per token", .min = 1});
}

llm::Architecture LoadYamlModel(const std::string& path, Schema* schema) {
  const Node root = LoadYamlFile(path);
  MapReader reader(root, schema);
  llm::Architecture m;
  reader.Required("name", m.name, {.doc = "as results print it"});
  reader.Required("source", m.source, {.doc = "where the numbers come from"});
  reader.Required("num_layers", m.num_layers, {.doc = "decoder layers", .min = 1});
  reader.Required("hidden_size", m.hidden_size, {.doc = "width of the residual stream", .min = 1});
  reader.Required("num_q_heads", m.num_q_heads, {.doc = "query heads", .min = 1});
  m.num_kv_heads = m.num_q_heads;
  reader.Optional("num_kv_heads", m.num_kv_heads, {.doc = "KV heads", .min = 1});
  m.head_dim = m.num_q_heads > 0 ? m.hidden_size / m.num_q_heads : 0;
  reader.Optional("head_dim", m.head_dim, {.doc = "of one head", .min = 1});
  reader.Required("intermediate_size", m.intermediate_size, {.doc = "of a dense MLP", .min = 1});
  reader.Required("vocab_size", m.vocab_size, {.doc = "rows of the embedding", .min = 1});
  reader.Required("max_context_tokens", m.max_context_tokens,
                  {.doc = "longest sequence", .min = 1});
  reader.Optional("tied_embeddings", m.tied_embeddings,
                  {.doc = "head and embedding are one table"});
  reader.Optional("qkv_bias", m.qkv_bias, {.doc = "biases on q, k and v"});
  reader.Optional("gated_mlp", m.gated_mlp, {.doc = "three matrices instead of two"});
  reader.Optional("bytes_per_weight", m.bytes_per_weight,
                  {.doc = "layers", .max = 8, .positive = true});
  reader.Optional("bytes_per_embedding_weight", m.bytes_per_embedding_weight,
                  {.doc = "embedding and head", .max = 8, .positive = true});
  reader.Optional("bytes_per_kv_element", m.bytes_per_kv_element,
                  {.doc = "1 with a latent: the 656 B layout", .max = 8, .positive = true});
  if (reader.Has("latent")) m.attention = llm::AttentionKind::kMultiHeadLatent;
  ReadLatent(reader.OptionalMap("latent", "multi-head latent attention"), m.latent);
  ReadMoe(reader.OptionalMap("moe", "mixture of experts"), m.moe);
  ReadIndexer(reader.OptionalMap("indexer", "sparse attention built into the model"), m.indexer);
  reader.Finish();
  return m;
}

// What no single key can show, for both formats.
void Validate(const llm::Architecture& m, const std::string& path) {
  const auto fail = [&](const char* key, std::string what, std::string expected) {
    throw InputError({{path, 0, 0}, key, std::move(what), std::move(expected), ""});
  };
  if (m.num_q_heads % m.num_kv_heads != 0) {
    fail("num_kv_heads", FormatText(m.num_kv_heads) + " KV heads",
         "a divisor of the " + FormatText(m.num_q_heads) + " query heads");
  }
  if (m.head_dim < 1) fail("head_dim", "hidden_size / query heads is 0", "a head_dim");
  if (m.moe.experts_per_token > m.moe.num_experts) {
    fail("experts_per_token", FormatText(m.moe.experts_per_token) + " active experts",
         "at most the " + FormatText(m.moe.num_experts) + " experts");
  }
  if (m.moe.num_dense_layers > m.num_layers) {
    fail("num_dense_layers", FormatText(m.moe.num_dense_layers) + " dense layers",
         "at most the " + FormatText(m.num_layers) + " layers");
  }
}

}  // namespace

llm::Architecture LoadModel(const std::string& path, Schema* schema) {
  llm::Architecture model =
      path.ends_with(".json") ? LoadHuggingFaceConfig(path) : LoadYamlModel(path, schema);
  Validate(model, path);
  return model;
}

}  // namespace sparseserve::config
