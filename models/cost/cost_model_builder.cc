#include "models/cost/cost_model_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/hardware/topology.h"
#include "sim/core/error.h"

namespace sparseserve::cost {
namespace {

using calibration::Curve;

// Of FlashAttention-2 and -3 at head dim 128 (arXiv 2307.08691, 2407.08608).
constexpr double kQueryTileRows = 128;
// Kernels around the GEMMs of a layer when the usual ones are fused (vLLM): norm with residual,
// rotation with cache write, gated activation; a mixture adds router, top-k, permute and combine.
constexpr double kProjectionKernels = 2;
constexpr double kUpKernels = 2;
constexpr double kMixtureUpKernels = 5;
constexpr double kHeadKernels = 3;    // norm, conversion to fp32, sampling
constexpr double kDecodeKernels = 2;  // over splits of the keys, and their merge

double Real(Bytes bytes) { return static_cast<double>(bytes.value()); }
double Real(std::int64_t count) { return static_cast<double>(count); }

// The same operation on fewer threads: everything takes `factor` times as long.
Curve Stretched(Curve curve, double factor) {
  curve.launch = curve.launch * factor;
  curve.per_item = curve.per_item * factor;
  curve.bandwidth = curve.bandwidth / factor;
  for (double& time : curve.grid.times_s) time *= factor;
  return curve;
}

}  // namespace

void CostModel::Builder::Fail(std::string key, std::string what, std::string expected) const {
  throw InputError({{record_.file.empty() ? record_.name : record_.file, 0, 0},
                    std::move(key),
                    std::move(what),
                    std::move(expected),
                    ""});
}

void CostModel::Builder::CheckConfig() const {
  const std::int64_t tp = config_.tensor_parallel;
  const auto fail = [](std::string key, std::string what, std::string expected) {
    throw InputError({{}, std::move(key), std::move(what), std::move(expected), ""});
  };
  if (tp < 1 || tp > machine_.num_gpus) {
    fail("tensor_parallel", fmt::format("'{}' is out of range", tp),
         fmt::format("1 to the {} GPUs of {}", machine_.num_gpus, machine_.name));
  }
  if (cost_.model_.num_q_heads % tp != 0) {
    fail("tensor_parallel",
         fmt::format("{} does not divide the {} query heads of {}", tp, cost_.model_.num_q_heads,
                     cost_.model_.name),
         "a divisor");
  }
  if (tp > 1 && machine_.gpu.gpu_link_bandwidth.value() <= 0) {
    fail("tensor_parallel", fmt::format("{} has no link between its GPUs", machine_.name),
         "a machine with gpu_link_bandwidth");
  }
  if (config_.gpus_sharing_host < 1 || config_.gpus_sharing_host > machine_.num_gpus) {
    fail("gpus_sharing_host", fmt::format("'{}' is out of range", config_.gpus_sharing_host),
         fmt::format("1 to the {} GPUs of {}", machine_.num_gpus, machine_.name));
  }
}

void CostModel::Builder::Note(std::string_view name, const calibration::Source& source) {
  cost_.provenance_.push_back(
      fmt::format("{}: {}, {}", name, calibration::KindName(source.kind), source.text));
}

double CostModel::Builder::Get(const ValueMap& map, std::string_view map_name,
                               std::string_view name) {
  const auto found = map.find(name);
  if (found == map.end()) {
    Fail(fmt::format("{}.{}", map_name, name), "missing key", "a value; the cost model needs it");
  }
  Note(fmt::format("{}.{}", map_name, name), found->second.source);
  return found->second.value;
}

const Curve* CostModel::Builder::FindCurve(std::string_view name) {
  const auto found = record_.operations.find(name);
  if (found == record_.operations.end()) return nullptr;
  Note(name, found->second.source);
  return &found->second;
}

Operation CostModel::Builder::Required(std::string_view name, Limits floor) {
  const Curve* curve = FindCurve(name);
  if (curve == nullptr) {
    Fail(fmt::format("operations.{}", name), "missing key", "a curve; the cost model needs it");
  }
  return Operation(*curve, floor);
}

Operation CostModel::Builder::CurveOrRoofline(std::string_view name, double kernels, Limits peak,
                                              std::string_view compute_efficiency,
                                              std::string_view memory_efficiency) {
  if (const Curve* curve = FindCurve(name)) return Operation(*curve, peak);
  const auto efficiency = [&](std::string_view key) { return key.empty() ? 1.0 : Efficiency(key); };
  const double compute = efficiency(compute_efficiency);
  const double memory = efficiency(memory_efficiency);
  return Operation(cost_.kernel_ * kernels, peak.Reaching(compute, memory), peak);
}

void CostModel::Builder::BuildCompute() {
  const hardware::Gpu& gpu = machine_.gpu;
  // Weights of one byte run on the fp8 units where there are any.
  const bool fp8 = cost_.model_.bytes_per_weight <= 1 && gpu.fp8_flops.value() > 0;
  const Limits dense = Limits::Of(fp8 ? gpu.fp8_flops : gpu.bf16_flops, gpu.hbm_bandwidth);
  const Limits attention = Limits::Of(gpu.bf16_flops, gpu.hbm_bandwidth);
  cost_.kernel_ = Seconds(Get(record_.latencies, "latencies", "kernel"));
  cost_.elementwise_seconds_per_byte_ =
      1 / (gpu.hbm_bandwidth.value() * Efficiency("elementwise.memory"));
  cost_.gemm_ = CurveOrRoofline("gemm", 1, dense, "gemm.compute", "gemm.memory");
  cost_.prefill_ = CurveOrRoofline("attention.prefill", 1, attention, "attention.prefill.compute",
                                   "attention.prefill.memory");
  cost_.decode_full_ = CurveOrRoofline("attention.decode_full", kDecodeKernels, attention,
                                       "attention.decode.compute", "attention.decode_full.memory");
  cost_.decode_sparse_ =
      CurveOrRoofline("attention.decode_sparse", kDecodeKernels, attention,
                      "attention.decode.compute", "attention.decode_sparse.memory");
  const Limits hbm = Limits::Of(FlopsPerSecond(), gpu.hbm_bandwidth);
  cost_.score_ = CurveOrRoofline("score", 1, hbm, "", "score.memory");
  cost_.topk_ = Required("topk", hbm);
  if (config_.tensor_parallel > 1) {
    const Limits link = Limits::Of(FlopsPerSecond(), gpu.gpu_link_bandwidth);
    if (const Curve* curve = FindCurve("allreduce")) {
      cost_.allreduce_ = Operation(*curve, link);
    } else {
      cost_.allreduce_ = Operation(cost_.kernel_ + gpu.gpu_link_latency,
                                   link.Reaching(1, Efficiency("allreduce.link")), link);
    }
  }
}

double CostModel::Builder::OutputWidth() const {
  const llm::Architecture& model = cost_.model_;
  const bool latent = model.attention == llm::AttentionKind::kMultiHeadLatent;
  return Real(model.num_q_heads * (latent ? model.latent.v_head_dim : model.head_dim));
}

double CostModel::Builder::ProjectionWidth() const {
  const llm::Architecture& model = cost_.model_;
  if (model.attention == llm::AttentionKind::kMultiHeadLatent) {
    const llm::LatentAttention& latent = model.latent;
    return Real(model.num_q_heads * (latent.qk_nope_head_dim + latent.qk_rope_head_dim) +
                latent.q_lora_rank + latent.kv_lora_rank + latent.qk_rope_head_dim);
  }
  return Real((model.num_q_heads + 2 * model.num_kv_heads) * model.head_dim);
}

// Gate and up are one GEMM, down the other; of a mixture each is a grouped GEMM over the experts.
CostModel::Mlp CostModel::Builder::BuildMlp(std::int64_t layer) const {
  const llm::Architecture& model = cost_.model_;
  const double tp = Real(config_.tensor_parallel);
  const bool mixture = model.moe.num_experts > 0 && layer >= model.moe.num_dense_layers;
  const double copies =
      mixture ? Real(model.moe.experts_per_token + model.moe.num_shared_experts) : 1;
  const double hidden = copies * Real(model.hidden_size);
  const double inner =
      copies / tp * Real(mixture ? model.moe.expert_intermediate_size : model.intermediate_size);
  const double up_width = (model.gated_mlp ? 2 : 1) * inner;
  const double flops = MlpFlopsPerToken(model, layer).value() / tp;
  const double weights =
      mixture ? 0 : Real(MlpWeightBytes(model, layer, Tokens(1))) / tp;  // mixture: by batch

  Mlp mlp;
  mlp.is_mixture = mixture;
  mlp.layer = layer;
  mlp.up.flops_per_token = flops * cost_.up_share_;
  mlp.up.weight_bytes = weights * cost_.up_share_;
  mlp.up.io_bytes_per_token = activation_bytes_ * (hidden + up_width);
  // Norm and residual: two rows read, two written; the activation reads up_width, writes inner; a
  // mixture also copies each token to its experts and adds what comes back.
  const double spread = mixture ? 2 * (hidden + Real(model.hidden_size)) : 0;
  mlp.up.elementwise_bytes_per_token =
      activation_bytes_ * (4 * Real(model.hidden_size) + up_width + inner + spread);
  mlp.up.elementwise_kernels = mixture ? kMixtureUpKernels : kUpKernels;
  mlp.down.flops_per_token = flops * (1 - cost_.up_share_);
  mlp.down.weight_bytes = weights * (1 - cost_.up_share_);
  mlp.down.io_bytes_per_token = activation_bytes_ * (inner + hidden);
  return mlp;
}

void CostModel::Builder::BuildLayers() {
  const llm::Architecture& model = cost_.model_;
  const double tp = Real(config_.tensor_parallel);
  const double hidden = Real(model.hidden_size);
  const double width = ProjectionWidth() / tp;
  cost_.hidden_bytes_per_token_ = activation_bytes_ * hidden;
  cost_.up_share_ = model.gated_mlp ? 2.0 / 3 : 0.5;

  // Elementwise: norm and residual on the hidden state, rotation and cache write on the result.
  cost_.projection_ = {ProjectionFlopsPerToken(model).value() / tp,
                       Real(ProjectionWeightBytes(model)) / tp,
                       activation_bytes_ * (hidden + width),
                       activation_bytes_ * (4 * hidden + 2 * width), kProjectionKernels};
  cost_.output_ = {OutputFlopsPerToken(model).value() / tp, Real(OutputWeightBytes(model)) / tp,
                   activation_bytes_ * (OutputWidth() / tp + hidden), 0, 0};

  const std::int64_t dense_layers =
      model.moe.num_experts > 0 ? std::min(model.moe.num_dense_layers, model.num_layers) : 0;
  const bool two_kinds = dense_layers > 0 && dense_layers < model.num_layers;
  cost_.num_layer_kinds_ = two_kinds ? 2 : 1;
  cost_.first_layer_of_last_kind_ = two_kinds ? dense_layers : 0;
  cost_.mlp_[0] = BuildMlp(0);
  if (two_kinds) cost_.mlp_[1] = BuildMlp(dense_layers);

  // Sampling: logits become fp32 (one element read, 4 B written) and are read once more.
  const double vocab = Real(model.vocab_size) / tp;
  cost_.head_ = {HeadFlopsPerToken(model).value() / tp, Real(HeadWeightBytes(model)) / tp,
                 activation_bytes_ * (hidden + vocab),
                 activation_bytes_ * 4 * hidden + (activation_bytes_ + 8) * vocab, kHeadKernels};
}

void CostModel::Builder::BuildElementwise() {
  const Curve* curve = FindCurve("elementwise");
  if (curve == nullptr) return;
  const llm::Architecture& model = cost_.model_;
  const double tp = Real(config_.tensor_parallel);
  const double hidden = Real(model.hidden_size);
  const double queries = Real(model.num_q_heads * model.head_dim);
  const double keys_values = Real(2 * model.num_kv_heads * model.head_dim);
  const double inner = Real(model.moe.num_experts > 0 ? model.moe.expert_intermediate_size
                                                      : model.intermediate_size);
  cost_.elementwise_ = Operation(*curve, Limits());
  // As the bench counts: two norms, rotation with a copy of keys and values to save, activation.
  cost_.layer_elementwise_item_ = Bytes(static_cast<std::int64_t>(
      activation_bytes_ * (4 * hidden + (2 * queries + 3 * keys_values + 3 * inner) / tp)));
  cost_.layer_elementwise_bytes_ = cost_.projection_.elementwise_bytes_per_token +
                                   activation_bytes_ * (4 * hidden + 3 * inner / tp);
}

void CostModel::Builder::BuildAttention() {
  const llm::Architecture& model = cost_.model_;
  const double tp = Real(config_.tensor_parallel);
  const double tile_rows = record_.counts.contains("attention.query_tile_rows")
                               ? Get(record_.counts, "counts", "attention.query_tile_rows")
                               : kQueryTileRows;
  // Of all workers at once.
  const double rows = tile_rows * Real(std::max<std::int64_t>(machine_.gpu.num_sms, 1));
  const double prefill_flops = PrefillAttentionFlopsPerQueryKey(model).value();
  const std::int64_t units = CeilDiv(KvUnitsPerLayer(model), config_.tensor_parallel);
  cost_.decode_flops_per_pair_ = AttentionFlopsPerQueryKey(model).value() / tp;
  cost_.prefill_flops_per_pair_ = prefill_flops / tp;
  cost_.tile_flops_per_key_ = rows * prefill_flops / Real(model.num_q_heads);
  cost_.kv_bytes_per_token_ = Real(KvBytesPerTokenPerUnit(model) * units);
  cost_.query_bytes_per_token_ = activation_bytes_ * 2 * OutputWidth() / tp;
  cost_.query_tokens_per_pass_ = rows;
}

void CostModel::Builder::BuildTransfers() {
  // GPUs that share a root port, a switch or the DRAM get less than the link alone would give.
  // Loads contend with loads and saves with saves; one direction against the other is left out.
  const auto share = [&](hardware::Transfers transfers, double dram_touches_per_byte) {
    const hardware::SharedBandwidth fair =
        ShareHostLinks(machine_, config_.gpus_sharing_host, dram_touches_per_byte, transfers);
    const bool loads = transfers == hardware::Transfers::kLoads;
    return Limits::Of(FlopsPerSecond(), loads ? fair.h2d : fair.d2h);
  };
  constexpr double kDirect = 1;  // the DMA is the only access
  constexpr double kStaged = 3;  // DMA write; scatter reads and writes past the caches
  const auto load = [&](std::string_view name) {
    return Required(name, share(hardware::Transfers::kLoads, kDirect));
  };
  const auto save = [&](std::string_view name, double touches) {
    return Required(name, share(hardware::Transfers::kSaves, touches));
  };
  cost_.load_ = {load("h2d.memcpy"), load("h2d.flash")};
  cost_.save_ = {save("d2h.memcpy", kDirect), save("d2h.direct", kDirect),
                 save("d2h.flash", kStaged)};
  const auto slowdown = [&](std::string_view name) {
    return Get(record_.slowdowns, "slowdowns", name);
  };
  cost_.load_slowdown_ = {slowdown("h2d.memcpy"), slowdown("h2d.flash")};
  cost_.save_slowdown_ = {slowdown("d2h.memcpy"), slowdown("d2h.direct"), slowdown("d2h.flash")};
  const auto cold_read = [&](std::string_view name) {
    return record_.slowdowns.contains(name) ? slowdown(name) : 1;
  };
  cost_.cold_read_ = {cold_read("cold.h2d.memcpy"), cold_read("cold.h2d.flash")};

  BuildScatter();
}

void CostModel::Builder::BuildHost() {
  const auto build = [&](std::string_view name, Operation& operation) {
    if (const Curve* curve = FindCurve(name)) operation = Operation(*curve, Limits());
  };
  build("host.iteration", cost_.host_iteration_);
  build("host.select", cost_.host_select_);
  build("host.attend", cost_.host_attend_);
  cost_.host_attend_resident_ = cost_.host_attend_;
  build("host.attend_resident", cost_.host_attend_resident_);
  const auto find = [&](const std::string& name, Seconds& latency) {
    if (record_.latencies.contains(name))
      latency = Seconds(Get(record_.latencies, "latencies", name));
  };
  find("handover", cost_.handover_);
  find("save_handover", cost_.save_handover_);
}

void CostModel::Builder::BuildScatter() {
  const hardware::Host& host = machine_.host;
  const double active = Real(config_.gpus_sharing_host);
  // Threads: the GPUs split the cores evenly.
  const double threads = Get(record_.counts, "counts", "cpu.scatter.threads");
  const double cores = std::max(Real(host.num_cores) / active, 1.0);
  // DRAM: a byte is read and written, in the memory of the socket, which its GPUs share.
  const BytesPerSecond dram =
      host.dram_reached_bandwidth.value() > 0 ? host.dram_reached_bandwidth : host.dram_bandwidth;
  const double on_socket =
      std::min(active, std::ceil(Real(machine_.num_gpus) / Real(host.num_sockets)));
  const Limits floor =
      Limits::Of(FlopsPerSecond(), dram / (2 * Real(host.num_sockets) * on_socket));
  const Curve* curve = FindCurve("cpu.scatter");
  if (curve == nullptr)
    Fail("operations.cpu.scatter", "missing key", "a curve; the cost model needs it");
  cost_.scatter_ = Operation(Stretched(*curve, std::max(1.0, threads / cores)), floor);
}

}  // namespace sparseserve::cost
