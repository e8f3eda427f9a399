#include "sim/cli/measure.h"

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/bench/calibration_plan.h"
#include "kernels/bench/timer.h"
#include "sim/cli/commit.h"  // written by commit.cmake
#include "sim/core/error.h"
#include "sim/live/host_bench.h"
#include "sim/report/progress.h"

namespace sparseserve::cli {
namespace {

constexpr double kLeastSeconds = 1;  // for the kernels
// Of the budget, before and after the kernels; more where a round takes longer.
constexpr double kHostShare = 0.06;

bench::ModelShape ShapeOf(const llm::Architecture& model, const MeasureRequest& request) {
  bench::ModelShape shape = bench::DefaultModelShape(request.backend);
  const bool latent = model.attention == llm::AttentionKind::kMultiHeadLatent;
  const bool odd = model.num_q_heads % model.num_kv_heads != 0 || model.head_dim % 8 != 0;
  if (latent || odd) {
    throw InputError({{request.model_path, 0, 0},
                      "--model",
                      model.name + (latent ? " has latent attention" : " has odd heads"),
                      "grouped-query attention with a head dim that is a multiple of 8",
                      "the kernels run no other"});
  }
  shape.hidden = model.hidden_size;
  shape.intermediate =
      model.moe.num_experts > 0 ? model.moe.expert_intermediate_size : model.intermediate_size;
  shape.q_heads = static_cast<std::int32_t>(model.num_q_heads);
  shape.kv_heads = static_cast<std::int32_t>(model.num_kv_heads);
  shape.vocabulary = model.vocab_size;
  const llm::Weights weights = llm::ComputeWeights(model);
  const double head =
      static_cast<double>(model.vocab_size * model.hidden_size) * model.bytes_per_embedding_weight;
  shape.weight_bytes = (weights.attention + weights.mlp).value() + static_cast<std::int64_t>(head);
  shape.num_layers = model.num_layers;
  shape.layout.type = model.bytes_per_kv_element > 2 ? kernels::ElementType::kFloat32
                                                     : kernels::ElementType::kBfloat16;
  shape.layout.head_dim = static_cast<std::int32_t>(model.head_dim);
  return shape;
}

// Its heads decide; the sizes are those of the harness where no model is given.
llm::Architecture HostModel(const MeasureRequest& request) {
  llm::Architecture model;
  if (request.model) {
    model = *request.model;
    model.moe = {};
    return model;
  }
  const bench::ModelShape shape = bench::DefaultModelShape(request.backend);
  model.hidden_size = shape.hidden;
  model.intermediate_size = shape.intermediate;
  model.num_q_heads = shape.q_heads;
  model.num_kv_heads = shape.kv_heads;
  model.head_dim = shape.layout.head_dim;
  model.vocab_size = shape.vocabulary;
  const double bytes = shape.layout.type == kernels::ElementType::kFloat32 ? 4 : 2;
  model.bytes_per_weight = model.bytes_per_embedding_weight = bytes;
  model.bytes_per_kv_element = bytes;
  return model;
}

bench::MeasureOptions OptionsOf(const MeasureRequest& request,
                                const kernels::BackendConfig& config) {
  bench::MeasureOptions options;
  options.budget_s = request.budget.value();
  options.seed = request.seed;
  options.commit = SPARSESERVE_COMMIT;
  options.ring.num_slots = config.num_staging_slots;
  options.ring.slot = config.staging_slot;
  options.ring.scatter_threads = config.scatter_threads;
  options.model =
      request.model ? ShapeOf(*request.model, request) : bench::DefaultModelShape(request.backend);
  options.model->layout.block_tokens = static_cast<std::int32_t>(request.block_tokens);
  return options;
}

}  // namespace

calibration::MeasurementSet MeasureThisMachine(const MeasureRequest& request) {
  const kernels::BackendConfig config = kernels::DefaultBackendConfig();
  bench::MeasureOptions options = OptionsOf(request, config);
  report::JobProgress progress;
  options.progress = [&](const std::string& what, double done) {
    progress.Show(what, kHostShare + done * (1 - 2 * kHostShare));
  };
  try {
    const auto backend = kernels::MakeBackend(request.backend, config);
    constexpr Seconds kQuick{60};
    live::HostBench host(*backend, HostModel(request), request.budget < kQuick);
    const Seconds begin = bench::Now();
    const auto run_host = [&](double from) {
      const Seconds end = bench::Now() + request.budget * kHostShare;
      do {
        host.Run([&](double done) { progress.Show("host work", from + done * kHostShare); });
      } while (bench::Now() < end);
    };
    run_host(0);
    const double each = (bench::Now() - begin).value();
    options.budget_s = std::max(options.budget_s - 2 * each, kLeastSeconds);
    calibration::MeasurementSet set = bench::MeasureDevice(*backend, options);
    run_host(1 - kHostShare);
    const std::vector<calibration::Measurement> points = host.points();
    set.points.insert(set.points.end(), points.begin(), points.end());
    set.values.merge(host.values());
    return set;
  } catch (const kernels::BackendUnavailable& error) {
    throw InputError({{}, "--backend", error.what(), "", "measure on a machine that has it"});
  }
}

}  // namespace sparseserve::cli
