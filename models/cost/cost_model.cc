#include "models/cost/cost_model.h"

#include <algorithm>

#include "models/cost/cost_model_builder.h"
#include "sim/core/check.h"

namespace sparseserve::cost {
namespace {

Bytes Truncate(double bytes) { return Bytes(static_cast<std::int64_t>(bytes)); }

double Real(Tokens tokens) { return static_cast<double>(tokens.value()); }

template <typename Method>
std::size_t Index(Method method) {
  return static_cast<std::size_t>(method);
}

}  // namespace

CostModel::CostModel(const llm::Architecture& model, const hardware::Machine& machine,
                     const calibration::Record& record, CostConfig config)
    : model_(model), tensor_parallel_(config.tensor_parallel) {
  Builder builder(*this, machine, record, config);
  builder.CheckConfig();
  builder.BuildCompute();
  builder.BuildLayers();
  builder.BuildElementwise();
  builder.BuildAttention();
  builder.BuildTransfers();
  builder.BuildHost();
}

Estimate CostModel::GemmTime(const Gemm& gemm, double weight_bytes, Tokens tokens) const {
  if (tokens.value() <= 0) return {};
  const double n = Real(tokens);
  Estimate estimate = gemm_.Time({tokens.value(), Truncate(weight_bytes),
                                  Truncate(weight_bytes + gemm.io_bytes_per_token * n),
                                  Flops(gemm.flops_per_token * n)});
  return estimate += ElementwiseTime(gemm, tokens);
}

// A measured curve is that of a whole layer, of which these kernels take the share of their bytes.
Estimate CostModel::ElementwiseTime(const Gemm& gemm, Tokens tokens) const {
  const double bytes = gemm.elementwise_bytes_per_token;
  if (layer_elementwise_bytes_ == 0) {
    return {kernel_ * gemm.elementwise_kernels +
                Seconds(bytes * Real(tokens) * elementwise_seconds_per_byte_),
            false};
  }
  if (bytes == 0) return {};
  Estimate estimate = elementwise_.Time(Work::Fragments(tokens.value(), layer_elementwise_item_));
  estimate.time = estimate.time * (bytes / layer_elementwise_bytes_);
  return estimate;
}

Estimate CostModel::MlpTime(const Mlp& mlp, Tokens tokens) const {
  double up_bytes = mlp.up.weight_bytes;
  double down_bytes = mlp.down.weight_bytes;
  if (mlp.is_mixture && tokens.value() > 0) {
    const auto touched = static_cast<double>(MlpWeightBytes(model_, mlp.layer, tokens).value()) /
                         static_cast<double>(tensor_parallel_);
    up_bytes = touched * up_share_;
    down_bytes = touched * (1 - up_share_);
  }
  Estimate estimate = GemmTime(mlp.up, up_bytes, tokens);
  return estimate += GemmTime(mlp.down, down_bytes, tokens);
}

// A ring sends 2 (tp - 1) / tp of the message over each link.
Estimate CostModel::AllReduce(Tokens tokens) const {
  if (tensor_parallel_ == 1 || tokens.value() <= 0) return {};
  const double message = hidden_bytes_per_token_ * Real(tokens);
  const auto gpus = static_cast<double>(tensor_parallel_);
  return allreduce_.Time(
      {tensor_parallel_, Truncate(message), Truncate(2 * (gpus - 1) / gpus * message), Flops()});
}

Estimate CostModel::Projection(Tokens tokens) const {
  return GemmTime(projection_, projection_.weight_bytes, tokens);
}

Estimate CostModel::OutputAndMlp(std::int64_t layer, Tokens tokens) const {
  Estimate estimate = GemmTime(output_, output_.weight_bytes, tokens);
  estimate += MlpTime(mlp_[static_cast<std::size_t>(LayerKind(layer))], tokens);
  const Estimate all_reduce = AllReduce(tokens);
  estimate += all_reduce;
  return estimate += all_reduce;
}

std::int64_t CostModel::LayerKind(std::int64_t layer) const {
  return layer >= first_layer_of_last_kind_ ? num_layer_kinds_ - 1 : 0;
}

// Compute: exactly the query-key pairs of the spans, e (e + 1) / 2 - b (b + 1) / 2, plus the tail
// of the launch: query tiles are spread over the SMs, and on average the last ones leave half a
// tile's time of the GPU idle (never more than half of the whole work, because short launches split
// the keys as well). This is what makes short chunks against long contexts dear. Memory: the keys
// and values of [0, e) come from HBM once per span, and once more for every num_sms query tiles,
// which is how many run at a time and share them through L2; GQA heads of a group share them as
// well. Not modelled: slower ramps of the FlashAttention kernels at head dims other than 64 and
// 128.
Estimate CostModel::PrefillAttention(std::span<const PrefillSpan> spans) const {
  double pairs = 0;
  double bytes = 0;
  double longest = 0;
  std::int64_t queries = 0;
  for (const PrefillSpan& span : spans) {
    const double begin = Real(span.begin);
    const double end = Real(span.end);
    if (end <= begin) continue;
    pairs += (end * (end + 1) - begin * (begin + 1)) / 2;
    const double passes = std::max(1.0, (end - begin) / query_tokens_per_pass_);
    bytes += kv_bytes_per_token_ * end * passes + query_bytes_per_token_ * (end - begin);
    longest = std::max(longest, end);
    queries += (span.end - span.begin).value();
  }
  if (queries == 0) return {};
  const double flops = pairs * prefill_flops_per_pair_;
  const double tail = std::min(tile_flops_per_key_ * longest, flops) / 2;
  return prefill_.Time({queries, Truncate(bytes / static_cast<double>(queries)), Truncate(bytes),
                        Flops(flops + tail)});
}

Estimate CostModel::DecodeAttention(std::int64_t num_requests, Tokens kv_tokens,
                                    bool sparse) const {
  if (num_requests <= 0) return {};
  const auto requests = static_cast<double>(num_requests);
  const double bytes = kv_bytes_per_token_ * Real(kv_tokens) + query_bytes_per_token_ * requests;
  const Operation& operation = sparse ? decode_sparse_ : decode_full_;
  return operation.Time({num_requests, Truncate(bytes / requests), Truncate(bytes),
                         Flops(decode_flops_per_pair_ * Real(kv_tokens))});
}

Estimate CostModel::Score(std::int64_t num_units, Bytes metadata_bytes) const {
  return score_.Time(Work::Fragments(num_units, metadata_bytes));
}

Estimate CostModel::TopK(std::int64_t rows, std::int64_t blocks_per_row) const {
  constexpr Bytes kScoreBytes{4};  // fp32
  if (blocks_per_row <= 0) return {};
  return topk_.Time(Work::Fragments(rows, kScoreBytes * blocks_per_row));
}

Estimate CostModel::Head(Tokens tokens) const {
  return GemmTime(head_, head_.weight_bytes, tokens);
}

Estimate CostModel::Load(LoadMethod method, Bytes block_bytes, std::int64_t num_blocks) const {
  return load_[Index(method)].Time(Work::Fragments(num_blocks, block_bytes));
}

Estimate CostModel::Save(SaveMethod method, Bytes block_bytes, std::int64_t num_blocks) const {
  return save_[Index(method)].Time(Work::Fragments(num_blocks, block_bytes));
}

Estimate CostModel::Scatter(Bytes bytes, Bytes block_bytes) const {
  SPARSESERVE_CHECK(block_bytes.value() > 0, "a fragment has bytes");
  const Work work{CeilDiv(bytes.value(), block_bytes.value()), block_bytes, bytes, Flops()};
  return scatter_.Time(work);
}

Estimate CostModel::HostIteration(std::int64_t requests) const {
  return host_iteration_.Time(Work::Fragments(requests, Bytes(0)));
}

Estimate CostModel::HostSelect(std::int64_t units) const {
  return host_select_.Time(Work::Fragments(units, Bytes(0)));
}

Estimate CostModel::HostAttend(std::int64_t units) const {
  return host_attend_.Time(Work::Fragments(units, Bytes(0)));
}

Estimate CostModel::HostAttendResident(std::int64_t units) const {
  return host_attend_resident_.Time(Work::Fragments(units, Bytes(0)));
}

double CostModel::ComputeSlowdown(LoadMethod method) const { return load_slowdown_[Index(method)]; }

double CostModel::AfterLoad(LoadMethod method, double loaded_share) const {
  return 1 - std::clamp(loaded_share, 0.0, 1.0) * (1 - 1 / cold_read_[Index(method)]);
}

double CostModel::ComputeSlowdown(SaveMethod method) const { return save_slowdown_[Index(method)]; }

}  // namespace sparseserve::cost
