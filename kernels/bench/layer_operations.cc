// Matrix products and the small kernels around them, which a layer cannot hide.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "kernels/bench/check.h"
#include "kernels/bench/operations.h"

namespace sparseserve::bench {
namespace {

using calibration::Work;
using kernels::Buffer;
using kernels::Lane;

constexpr std::byte kNan{0xff};
// A CPU takes a second for more.
constexpr std::int64_t kMostTokens = 8192;
constexpr std::int64_t kMostHostTokens = 2048;
// Batches of decodes, which a kernel cuts into tiles of a few rows, and pieces of prefill.
const std::vector<std::int64_t> kTokenLines = {2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64, 128, 256, 512};
double Real(std::int64_t value) { return static_cast<double>(value); }

std::shared_ptr<Buffer> Share(Buffer buffer) { return std::make_shared<Buffer>(std::move(buffer)); }

const std::byte* Shift(const void* base, std::int64_t bytes) {
  return static_cast<const std::byte*>(base) + bytes;
}

Call MakeElementwise(std::int64_t tokens, std::int64_t token_bytes) {
  Call call;
  call.operation = "elementwise";
  call.work = Work::Fragments(tokens, Bytes(token_bytes));
  call.lane = Lane::kCompute;
  return call;
}

Call MakeNorm(Workbench& workbench, std::int64_t tokens) {
  const ModelShape& model = workbench.model();
  const std::int64_t row_bytes = model.hidden * model.element_bytes();
  Call call = MakeElementwise(tokens, 2 * row_bytes);
  const auto params = [&workbench, &model, tokens, row_bytes](std::int64_t variant) {
    kernels::NormParams norm;
    norm.type = model.layout.type;
    norm.num_rows = tokens;
    norm.width = model.hidden;
    norm.x = workbench.Input(variant, tokens * row_bytes);
    norm.weight = workbench.Input(0, row_bytes);
    norm.y = workbench.Output(variant, tokens * row_bytes);
    return norm;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().Norm(params(variant));
  };
  call.check = [&workbench, &model, params, tokens, row_bytes] {
    const kernels::NormParams norm = params(1);
    workbench.backend().Fill(Lane::kCompute, norm.y, kNan, Bytes(tokens * row_bytes));
    workbench.backend().Norm(norm);
    const std::int64_t last = (tokens - 1) * row_bytes;
    const auto x = workbench.DownloadElements(Shift(norm.x, last), model.hidden);
    const auto weight = workbench.DownloadElements(norm.weight, model.hidden);
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    const double factor = 1 / std::sqrt(squares / Real(model.hidden) + double{norm.epsilon});
    std::vector<double> want(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) want[i] = x[i] * factor * weight[i];
    ExpectClose("norm", model.layout.type,
                workbench.DownloadElements(Shift(norm.y, last), model.hidden), want);
  };
  return call;
}

Call MakeActivation(Workbench& workbench, std::int64_t tokens) {
  const ModelShape& model = workbench.model();
  const std::int64_t row_bytes = model.intermediate * model.element_bytes();
  Call call = MakeElementwise(tokens, 3 * row_bytes);
  const auto params = [&workbench, &model, tokens, row_bytes](std::int64_t variant) {
    return kernels::GatedActivationParams{model.layout.type, tokens, model.intermediate,
                                          workbench.Input(variant, 2 * tokens * row_bytes),
                                          workbench.Output(variant, tokens * row_bytes)};
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().GatedActivation(params(variant));
  };
  call.check = [&workbench, &model, params, tokens, row_bytes] {
    const kernels::GatedActivationParams activation = params(0);
    workbench.backend().Fill(Lane::kCompute, activation.y, kNan, Bytes(tokens * row_bytes));
    workbench.backend().GatedActivation(activation);
    const std::int64_t width = model.intermediate;
    const auto x =
        workbench.DownloadElements(Shift(activation.x, 2 * (tokens - 1) * row_bytes), 2 * width);
    std::vector<double> want(static_cast<std::size_t>(width));
    for (std::int64_t i = 0; i < width; ++i) {
      const double gate = x[i];
      want[i] = gate / (1 + std::exp(-gate)) * x[width + i];
    }
    ExpectClose("gated activation", model.layout.type,
                workbench.DownloadElements(Shift(activation.y, (tokens - 1) * row_bytes), width),
                want);
  };
  return call;
}

// One head's vector rotated by its position.
std::vector<double> RotateInDouble(const float* x, std::int64_t width, std::int64_t position,
                                   double theta) {
  std::vector<double> y(static_cast<std::size_t>(width));
  for (std::int64_t i = 0; i < width / 2; ++i) {
    const double angle = Real(position) * std::pow(theta, -2 * Real(i) / Real(width));
    y[i] = x[i] * std::cos(angle) - x[i + width / 2] * std::sin(angle);
    y[i + width / 2] = x[i + width / 2] * std::cos(angle) + x[i] * std::sin(angle);
  }
  return y;
}

Call MakeRotation(Workbench& workbench, std::int64_t tokens) {
  const ModelShape& model = workbench.model();
  const std::int64_t element = model.element_bytes();
  const std::int64_t block_tokens = model.layout.block_tokens;
  const std::int64_t token_bytes =
      (model.projection_width() + model.query_width() + 4 * model.kv_width()) * element;
  // Token i is the i-th of its blocks; positions stay small, where angles are exact in float.
  std::vector<std::int64_t> positions;
  std::vector<std::int32_t> slots;
  for (std::int64_t i = 0; i < tokens; ++i) {
    positions.push_back(i % (8 * block_tokens));
    for (std::int64_t head = 0; head < model.kv_heads; ++head) {
      slots.push_back(static_cast<std::int32_t>(i / block_tokens * model.kv_heads + head));
    }
  }
  const auto device_positions = Share(workbench.Upload(positions));
  const auto device_slots = Share(workbench.Upload(slots));
  const std::int64_t queries_bytes = tokens * model.query_width() * element;
  const std::int64_t fragments_bytes = 2 * tokens * model.kv_width() * element;
  const std::int64_t blocks_bytes =
      CeilDiv(tokens, block_tokens) * model.kv_heads * model.layout.BlockBytes().value();
  const std::int64_t written = queries_bytes + fragments_bytes + blocks_bytes;

  Call call = MakeElementwise(tokens, token_bytes);
  call.memory = {device_positions, device_slots};
  const auto params = [&workbench, &model, device_positions, device_slots, tokens, element,
                       queries_bytes, fragments_bytes, written](std::int64_t variant) {
    std::byte* output = workbench.Output(variant, written);
    kernels::RotateStoreParams rotate;
    rotate.layout = model.layout;
    rotate.num_tokens = tokens;
    rotate.kv_heads = model.kv_heads;
    rotate.group = model.group();
    rotate.qkv = workbench.Input(variant, tokens * model.projection_width() * element);
    rotate.positions = device_positions->As<std::int64_t>();
    rotate.slots = device_slots->As<std::int32_t>();
    rotate.queries = output;
    rotate.fragments = output + queries_bytes;
    rotate.blocks = output + queries_bytes + fragments_bytes;
    return rotate;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().RotateStore(params(variant));
  };
  call.check = [&workbench, &model, params, positions, slots, tokens, element, written] {
    const kernels::RotateStoreParams rotate = params(0);
    workbench.backend().Fill(Lane::kCompute, rotate.queries, kNan, Bytes(written));
    workbench.backend().RotateStore(rotate);
    const std::int64_t width = model.layout.head_dim;
    const std::int64_t last = tokens - 1;
    const std::int64_t position = positions.back();
    const auto qkv = workbench.DownloadElements(
        Shift(rotate.qkv, last * model.projection_width() * element), model.projection_width());
    const auto expect = [&](const void* base, std::int64_t at, const std::vector<double>& want) {
      ExpectClose("rotation", model.layout.type,
                  workbench.DownloadElements(Shift(base, at * element), width), want);
    };
    // The last query head; key and value of the last KV head, in their block and as fragments.
    expect(rotate.queries, (last + 1) * model.query_width() - width,
           RotateInDouble(qkv.data() + model.query_width() - width, width, position,
                          double{rotate.theta}));
    const float* key = qkv.data() + model.query_width() + model.kv_width() - width;
    const auto rotated = RotateInDouble(key, width, position, double{rotate.theta});
    const float* value = key + model.kv_width();
    const std::vector<double> kept(value, value + width);
    const std::int64_t in_block = position % model.layout.block_tokens;
    const std::int64_t block = slots.back() * 2 * model.layout.block_tokens;
    expect(rotate.blocks, (block + in_block) * width, rotated);
    expect(rotate.blocks, (block + model.layout.block_tokens + in_block) * width, kept);
    expect(rotate.fragments, ((2 * model.kv_heads - 1) * tokens - 1) * width, rotated);
    expect(rotate.fragments, (2 * model.kv_heads * tokens - 1) * width, kept);
  };
  return call;
}

// What a layer does beside its GEMMs and attention, as one piece of work: two norms, the rotation
// and the activation.
Call MakeElementwiseOfLayer(Workbench& workbench, std::int64_t tokens) {
  const auto parts = std::make_shared<std::vector<Call>>();
  for (const auto make : {MakeNorm, MakeRotation, MakeNorm, MakeActivation})
    parts->push_back(make(workbench, tokens));
  std::int64_t token_bytes = 0;
  for (const Call& part : *parts) token_bytes += part.work.item_bytes.value();
  Call call = MakeElementwise(tokens, token_bytes);
  call.enqueue = [parts](std::int64_t variant) {
    for (const Call& part : *parts) part.enqueue(variant);
  };
  call.check = [parts] {
    for (const Call& part : *parts) part.check();
  };
  return call;
}

// Nine elements of the result, from corners, edges and middle.
void CheckGemm(Workbench& workbench, const kernels::GemmParams& gemm) {
  const std::int64_t element = workbench.model().element_bytes();
  workbench.backend().Fill(Lane::kCompute, gemm.y, kNan, Bytes(gemm.m * gemm.n * element));
  workbench.backend().Gemm(gemm);
  std::vector<float> got;
  std::vector<double> want;
  for (const std::int64_t row : {std::int64_t{0}, gemm.m / 2, gemm.m - 1}) {
    const auto x = workbench.DownloadElements(Shift(gemm.x, row * gemm.k * element), gemm.k);
    for (const std::int64_t column : {std::int64_t{0}, gemm.n / 2, gemm.n - 1}) {
      const auto w = workbench.DownloadElements(Shift(gemm.w, column * gemm.k * element), gemm.k);
      want.push_back(std::inner_product(x.begin(), x.end(), w.begin(), 0.0));
      got.push_back(
          workbench.DownloadElements(Shift(gemm.y, (row * gemm.n + column) * element), 1).front());
    }
  }
  ExpectClose("gemm", gemm.type, got, want);
}

}  // namespace

std::vector<std::pair<std::int64_t, std::int64_t>> ProjectionShapes(const ModelShape& model) {
  return {{model.projection_width(), model.hidden},
          {model.hidden, model.query_width()},
          {2 * model.intermediate, model.hidden},
          {model.hidden, model.intermediate}};
}

Call MakeGemm(Workbench& workbench, std::int64_t tokens, std::int64_t n, std::int64_t k) {
  const ModelShape& model = workbench.model();
  const std::int64_t element = model.element_bytes();
  Call call;
  call.operation = "gemm";
  call.work = {tokens, Bytes(n * k * element), Bytes((n * k + tokens * (n + k)) * element),
               Flops(2 * Real(n) * Real(k) * Real(tokens))};
  call.lane = Lane::kCompute;
  const auto params = [&workbench, &model, n, k, element](std::int64_t variant, std::int64_t rows) {
    return kernels::GemmParams{model.layout.type,
                               rows,
                               n,
                               k,
                               workbench.Input(variant + 1, rows * k * element),
                               workbench.Weights(variant, n * k * element),
                               workbench.Output(variant, rows * n * element),
                               false};
  };
  call.enqueue = [&workbench, params, tokens](std::int64_t variant) {
    workbench.backend().Gemm(params(variant, tokens));
  };
  if (workbench.keeps_weights()) {
    // By the lane that computes: its core stays awake, as in a forward pass.
    call.settle = [&workbench, params, size = n * k * element](std::int64_t variant) {
      const std::int64_t first = std::max<std::int64_t>(variant - workbench.NumWeights(size), 0);
      for (std::int64_t i = first; i < variant; ++i) workbench.backend().Gemm(params(i, 1));
    };
  }
  call.check = [&workbench, params, tokens] { CheckGemm(workbench, params(0, tokens)); };
  return call;
}

void ReadWeights(Workbench& workbench) {
  const ModelShape& model = workbench.model();
  const auto [n, k] = ProjectionShapes(model).back();
  const Call gemm = MakeGemm(workbench, 1, n, k);
  const std::int64_t num_weights = workbench.NumWeights(n * k * model.element_bytes());
  for (std::int64_t i = 0; i < num_weights; ++i) gemm.enqueue(i);
}

std::vector<OperationPlan> PlanLayer(Workbench& workbench) {
  const ModelShape& model = workbench.model();
  const std::int64_t element = model.element_bytes();
  const std::int64_t step = 64;
  // Columns of the weights: a share of a small projection under tensor parallelism up to the head.
  const std::int64_t columns_that_fit = workbench.input_bytes() / 2 / (model.hidden * element);
  Axis columns{std::max(model.hidden / 4 / step * step, step),
               std::max(std::min(model.vocabulary, columns_that_fit) / step * step, 2 * step),
               step};
  const std::vector<std::pair<std::int64_t, std::int64_t>> shapes = ProjectionShapes(model);
  std::set<std::int64_t> sizes;  // of the model's weights, as columns of `hidden`
  for (const auto& [n, k] : shapes) sizes.insert(n * k / model.hidden / step * step);
  sizes.insert(model.vocabulary / step * step);
  std::erase_if(sizes, [&](std::int64_t size) { return size > columns.most; });
  columns.lines.assign(sizes.begin(), sizes.end());
  const std::int64_t widest = std::max(columns.most, 2 * model.intermediate);
  const Axis tokens{1,
                    std::min<std::int64_t>(workbench.is_host() ? kMostHostTokens : kMostTokens,
                                           workbench.output_bytes() / (widest * element)),
                    1,
                    {},
                    kTokenLines};
  OperationPlan gemm{"gemm", tokens, columns, [&workbench](std::int64_t x, std::int64_t y) {
                       return MakeGemm(workbench, x, y, workbench.model().hidden);
                     }};
  for (const auto& [n, k] : shapes) {
    gemm.extras.push_back(
        [&workbench, n = n, k = k](std::int64_t x) { return MakeGemm(workbench, x, n, k); });
  }
  OperationPlan elementwise{
      "elementwise", tokens, {1, 1, 1, {1}}, [&workbench](std::int64_t x, std::int64_t) {
        return MakeElementwiseOfLayer(workbench, x);
      }};
  std::vector<OperationPlan> plans;
  plans.push_back(std::move(gemm));
  plans.push_back(std::move(elementwise));
  return plans;
}

std::vector<OperationPlan> PlanOperations(Workbench& workbench) {
  std::vector<OperationPlan> plans;
  for (const auto plan : {PlanTransfers, PlanLayer, PlanAttention, PlanSelection}) {
    for (OperationPlan& operation : plan(workbench)) plans.push_back(std::move(operation));
  }
  return plans;
}

}  // namespace sparseserve::bench
