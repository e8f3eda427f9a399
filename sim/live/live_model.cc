#include "sim/live/live_model.h"

#include <algorithm>
#include <cmath>

#include "kernels/bfloat16.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"

namespace sparseserve::live {
namespace {

using kernels::ElementBytes;
using kernels::ElementType;
using kernels::Lane;

// Matrices are runs of this pool of uniform numbers, each starting elsewhere: drawing billions of
// numbers one by one would take longer than the run.
constexpr std::size_t kPoolSize = (std::size_t{1} << 22) + 3;
constexpr std::int64_t kStagingBytes = std::int64_t{8} << 20;

[[noreturn]] void Refuse(const llm::Architecture& model, const std::string& what) {
  throw InputError({.where = {},
                    .key = "model",
                    .what = model.name + " cannot run live: " + what,
                    .expected = "a dense gated decoder with MHA or GQA in 16 or 32 bits",
                    .hint = "simulate runs it"});
}

ElementType TypeOf(const llm::Architecture& model) {
  if (model.attention != llm::AttentionKind::kMultiHead) Refuse(model, "latent attention");
  if (model.moe.num_experts > 0) Refuse(model, "a mixture of experts");
  if (!model.gated_mlp) Refuse(model, "an MLP without gate");
  const double bytes = model.bytes_per_kv_element;
  if (model.bytes_per_weight != bytes || model.bytes_per_embedding_weight != bytes)
    Refuse(model, "weights and KV of different widths");
  if (bytes == 4) return ElementType::kFloat32;
  if (bytes == 2) return ElementType::kBfloat16;
  Refuse(model, "elements of neither 2 nor 4 bytes");
}

}  // namespace

LiveModel::LiveModel(kernels::Backend& backend, const llm::Architecture& model, std::uint64_t seed,
                     std::int64_t max_rows, std::int64_t max_outputs)
    : backend_(backend),
      type_(TypeOf(model)),
      hidden_(model.hidden_size),
      intermediate_(model.intermediate_size),
      vocab_(model.vocab_size),
      q_width_(model.num_q_heads * model.head_dim),
      qkv_width_((model.num_q_heads + 2 * model.num_kv_heads) * model.head_dim),
      max_rows_(max_rows),
      max_outputs_(max_outputs),
      memory_(backend, Place::kDevice) {
  if (!backend.Supports(type_))
    Refuse(model, "this element type on " + std::string(backend.name()));
  CounterRng rng(seed);
  pool_.resize(kPoolSize);
  for (float& x : pool_) x = static_cast<float>(2 * rng.Uniform() - 1);
  staging_ = backend.AllocateHost(Bytes(kStagingBytes));

  embedding_ = RandomMatrix(vocab_, hidden_);
  head_ = model.tied_embeddings ? embedding_ : RandomMatrix(vocab_, hidden_);
  const std::vector<float> ones(static_cast<std::size_t>(hidden_), 1.0f);
  final_norm_ = Upload(ones);
  layers_.resize(static_cast<std::size_t>(model.num_layers));
  for (Layer& layer : layers_) {
    layer.qkv = RandomMatrix(qkv_width_, hidden_);
    layer.output = RandomMatrix(hidden_, q_width_);
    layer.up = RandomMatrix(2 * intermediate_, hidden_);
    layer.down = RandomMatrix(hidden_, intermediate_);
    layer.attention_norm = Upload(ones);
    layer.mlp_norm = Upload(ones);
  }
  pool_ = {};
  staging_ = {};

  normed_ = TakeElements(std::max(max_rows_, max_outputs_), hidden_);
  qkv_ = TakeElements(max_rows_, qkv_width_);
  up_ = TakeElements(max_rows_, 2 * intermediate_);
  inner_ = TakeElements(max_rows_, intermediate_);
  logits_ = TakeElements(max_outputs_, vocab_);
}

std::byte* LiveModel::TakeElements(std::int64_t rows, std::int64_t width) {
  return memory_.Take<std::byte>(rows * width * ElementBytes(type_));
}

std::byte* LiveModel::RandomMatrix(std::int64_t rows, std::int64_t columns) {
  const auto scale = static_cast<float>(std::sqrt(3.0 / static_cast<double>(columns)));
  std::byte* const matrix = TakeElements(rows, columns);
  const std::int64_t step = kStagingBytes / ElementBytes(type_);
  for (std::int64_t begin = 0; begin < rows * columns; begin += step) {
    const std::int64_t count = std::min(step, rows * columns - begin);
    for (std::int64_t i = 0; i < count; ++i) {
      const float x = scale * pool_[pool_at_];
      if (++pool_at_ == kPoolSize) pool_at_ = 0;
      if (type_ == ElementType::kFloat32) {
        staging_.As<float>()[i] = x;
      } else {
        staging_.As<kernels::Bfloat16>()[i] = kernels::ToBfloat16(x);
      }
    }
    backend_.Copy(Lane::kCompute, matrix + begin * ElementBytes(type_), staging_.data(),
                  Bytes(count * ElementBytes(type_)));
    backend_.Record(Lane::kCompute)->Synchronize();
  }
  return matrix;
}

std::byte* LiveModel::Upload(const std::vector<float>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  std::byte* const row = TakeElements(1, count);
  for (std::int64_t i = 0; i < count; ++i) {
    if (type_ == ElementType::kFloat32) {
      staging_.As<float>()[i] = values[static_cast<std::size_t>(i)];
    } else {
      staging_.As<kernels::Bfloat16>()[i] =
          kernels::ToBfloat16(values[static_cast<std::size_t>(i)]);
    }
  }
  backend_.Copy(Lane::kCompute, row, staging_.data(), Bytes(count * ElementBytes(type_)));
  backend_.Record(Lane::kCompute)->Synchronize();
  return row;
}

void LiveModel::Norm(const void* x, const void* weight, std::int64_t rows, void* y) {
  backend_.Norm(
      {.type = type_, .num_rows = rows, .width = hidden_, .x = x, .weight = weight, .y = y});
}

void LiveModel::Gemm(const void* x, const void* w, void* y, std::int64_t m, std::int64_t n,
                     std::int64_t k, bool accumulate) {
  backend_.Gemm(
      {.type = type_, .m = m, .n = n, .k = k, .x = x, .w = w, .y = y, .accumulate = accumulate});
}

void LiveModel::Embed(const std::int32_t* tokens, std::int64_t num_tokens, void* hidden) {
  backend_.Embed({.type = type_,
                  .num_tokens = num_tokens,
                  .width = hidden_,
                  .tokens = tokens,
                  .table = embedding_,
                  .y = hidden});
}

const void* LiveModel::Project(std::int64_t layer, const void* hidden, std::int64_t rows) {
  const Layer& weights = layers_[static_cast<std::size_t>(layer)];
  Norm(hidden, weights.attention_norm, rows, normed_);
  Gemm(normed_, weights.qkv, qkv_, rows, qkv_width_, hidden_, false);
  return qkv_;
}

void LiveModel::OutputAndMlp(std::int64_t layer, const void* attention, void* hidden,
                             std::int64_t rows) {
  const Layer& weights = layers_[static_cast<std::size_t>(layer)];
  const std::int64_t element = ElementBytes(type_);
  for (std::int64_t begin = 0; begin < rows; begin += max_rows_) {
    const std::int64_t m = std::min(max_rows_, rows - begin);
    std::byte* x = static_cast<std::byte*>(hidden) + begin * row_bytes();
    const std::byte* attended =
        static_cast<const std::byte*>(attention) + begin * q_width_ * element;
    Gemm(attended, weights.output, x, m, hidden_, q_width_, true);
    Norm(x, weights.mlp_norm, m, normed_);
    Gemm(normed_, weights.up, up_, m, 2 * intermediate_, hidden_, false);
    backend_.GatedActivation(
        {.type = type_, .num_rows = m, .width = intermediate_, .x = up_, .y = inner_});
    Gemm(inner_, weights.down, x, m, hidden_, intermediate_, true);
  }
}

void LiveModel::Head(const void* hidden, std::int64_t rows, std::int32_t* tokens) {
  Norm(hidden, final_norm_, rows, normed_);
  Gemm(normed_, head_, logits_, rows, vocab_, hidden_, false);
  backend_.Argmax(
      {.type = type_, .num_rows = rows, .width = vocab_, .logits = logits_, .indices = tokens});
}

}  // namespace sparseserve::live
