#include "sim/serving/system.h"

#include <algorithm>

#include "sim/core/error.h"

namespace sparseserve::serving {
namespace {

std::int64_t GpusOnHost(const SystemConfig& config) {
  return std::min(config.machine.num_gpus, config.replicas * config.tensor_parallel);
}

// Peak of the tensors alive in one layer, T = max_batch_tokens: hidden state, residual and normed
// input (3 x hidden), queries and attention output (2 x q heads x head dim), gate, up and their
// product (3 x intermediate); and fp32 logits with a copy of activation width for max_requests.
// Mixtures keep one expert-sized MLP per routed token.
Bytes ActivationBytes(const SystemConfig& config) {
  const llm::Architecture& m = config.model;
  const std::int64_t tp = config.tensor_parallel;
  const std::int64_t intermediate =
      std::max(m.intermediate_size, m.moe.num_experts > 0
                                        ? m.moe.expert_intermediate_size *
                                              (m.moe.experts_per_token + m.moe.num_shared_experts)
                                        : 0);
  const std::int64_t element = llm::ActivationElementBytes(m);
  const std::int64_t per_token =
      element * (3 * m.hidden_size + (2 * m.num_q_heads * m.head_dim + 3 * intermediate) / tp);
  const std::int64_t logits = config.scheduling.max_requests * m.vocab_size / tp * (4 + element);
  return Bytes(per_token * config.scheduling.max_batch_tokens.value() + logits);
}

// REQUIRES: the geometry is complete but for the sampling.
scheduler::LaneSampling SamplingOf(const SystemConfig& config,
                                   const scheduler::KvGeometry& geometry) {
  const double share = config.fidelity.share;
  const auto sampling = scheduler::SampleLanes(geometry.num_layers, geometry.heads, share);
  const std::string lanes = std::to_string(geometry.lanes()) + " lanes (" +
                            std::to_string(geometry.num_layers) + " layers of " +
                            std::to_string(geometry.heads) + ")";
  if (sampling.scale() == 0) {
    throw InputError(
        {.where = {},
         .key = "fidelity.share",
         .what = "leaves none of the " + lanes,
         .expected = "at least " + std::to_string(1.0 / static_cast<double>(geometry.lanes())),
         .hint = ""});
  }
  const std::int64_t dense = geometry.dense_layers;
  if (sampling.layer_stride > 1 && dense > 0 && dense < geometry.num_layers) {
    throw InputError({.where = {},
                      .key = "fidelity.share",
                      .what = "leaves out layers of the " + lanes +
                              ": dense and sparse ones would lose their proportion",
                      .expected = "at least one head a layer, " +
                                  std::to_string(1.0 / static_cast<double>(geometry.heads)),
                      .hint = "or set selection.dense_layers to 0"});
  }
  return sampling;
}

}  // namespace

HbmBudget ComputeHbmBudget(const SystemConfig& config) {
  HbmBudget b;
  b.capacity = config.machine.gpu.hbm_capacity;
  b.usable = Bytes(static_cast<std::int64_t>(static_cast<double>(b.capacity.value()) *
                                             config.memory.hbm_utilization));
  b.weights =
      Bytes(CeilDiv(llm::ComputeWeights(config.model).total.value(), config.tensor_parallel));
  b.activations = ActivationBytes(config);
  b.framework = config.memory.framework;
  b.kv = b.usable - b.weights - b.activations - b.framework;
  const Bytes wanted = config.memory.kv_pool;
  const std::string name = config.model.name + " on " + config.machine.name;
  if (b.kv <= Bytes(0)) {
    throw InputError({.where = {},
                      .key = "model",
                      .what = name + " leaves no KV memory: " + b.Explain(),
                      .expected = "",
                      .hint = "use a larger GPU, tensor_parallel, or a smaller model"});
  }
  if (wanted > b.kv) {
    throw InputError({.where = {},
                      .key = "memory.kv_pool",
                      .what = ToString(wanted) + " are more than " + name + " leaves",
                      .expected = "at most " + ToString(b.kv),
                      .hint = b.Explain()});
  }
  if (wanted > Bytes(0)) b.kv = wanted;
  return b;
}

std::string HbmBudget::Explain() const {
  const Bytes rest = usable - weights - activations - framework;
  return "KV memory = usable " + ToString(usable) + " of " + ToString(capacity) + " - weights " +
         ToString(weights) + " - activations " + ToString(activations) + " - framework " +
         ToString(framework) + " = " + ToString(rest) +
         (kv < rest && kv > Bytes(0) ? ", of which memory.kv_pool takes " + ToString(kv) : "");
}

scheduler::KvGeometry ComputeGeometry(const SystemConfig& config) {
  const llm::Architecture& model = config.model;
  const selection::SelectionPolicy& policy = config.selection;
  const bool sparse = config.choice.attention == Attention::kSparse;
  const std::int64_t kv_units = llm::KvUnitsPerLayer(model);
  const std::int64_t units_per_gpu = std::max<std::int64_t>(1, kv_units / config.tensor_parallel);
  scheduler::KvGeometry g;
  g.num_layers = model.num_layers;
  g.block_tokens = policy.block_tokens;
  // One choice for a whole layer makes one unit of all its heads.
  const bool per_layer = policy.granularity == selection::Granularity::kLayer;
  g.heads = per_layer ? 1 : units_per_gpu;
  g.unit_bytes = llm::KvBytesPerTokenPerUnit(model) *
                 (policy.block_tokens.value() * (per_layer ? units_per_gpu : 1));
  const std::int64_t element = llm::ActivationElementBytes(model);
  g.hidden_bytes = Bytes(element * model.hidden_size);
  if (sparse) {
    g.metadata_bytes = selection::MetadataBytesPerBlock(policy, model.head_dim, element) *
                       (per_layer ? units_per_gpu : 1);
    g.budget_blocks = selection::BudgetBlocks(policy);
    g.reuse_interval = policy.reuse_interval;
    g.dense_layers = std::min(policy.dense_layers, model.num_layers);
  }
  if (config.fidelity.sampled && config.choice.kv_home == KvHome::kDram)
    g.sampling = SamplingOf(config, g);
  return g;
}

Bytes DramForKv(const SystemConfig& config) {
  if (config.memory.dram > Bytes(0))
    return Bytes(config.memory.dram.value() / config.tensor_parallel);
  const double share = config.memory.dram_utilization / static_cast<double>(GpusOnHost(config));
  return Bytes(static_cast<std::int64_t>(
      static_cast<double>(config.machine.host.dram_capacity.value()) * share));
}

}  // namespace sparseserve::serving
