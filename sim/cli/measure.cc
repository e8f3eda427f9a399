#include "sim/cli/measure.h"

#include "kernels/backend.h"
#include "kernels/bench/calibration_plan.h"
#include "sim/cli/commit.h"  // written by commit.cmake
#include "sim/core/error.h"
#include "sim/report/progress.h"

namespace sparseserve::cli {
namespace {

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
  shape.layout.type = model.bytes_per_kv_element > 2 ? kernels::ElementType::kFloat32
                                                     : kernels::ElementType::kBfloat16;
  shape.layout.head_dim = static_cast<std::int32_t>(model.head_dim);
  return shape;
}

}  // namespace

calibration::MeasurementSet MeasureThisMachine(const MeasureRequest& request) {
  const kernels::BackendConfig config = kernels::DefaultBackendConfig();
  bench::MeasureOptions options;
  options.budget_s = request.budget.value();
  options.seed = request.seed;
  options.commit = SPARSESERVE_COMMIT;
  options.ring.num_slots = config.num_staging_slots;
  options.ring.slot = config.staging_slot;
  options.ring.scatter_threads = config.scatter_threads;
  if (request.model) options.model = ShapeOf(*request.model, request);
  report::JobProgress progress;
  options.progress = [&](const std::string& what, double done) { progress.Show(what, done); };
  try {
    const auto backend = kernels::MakeBackend(request.backend, config);
    return bench::MeasureDevice(*backend, options);
  } catch (const kernels::BackendUnavailable& error) {
    throw InputError({{}, "--backend", error.what(), "", "measure on a machine that has it"});
  }
}

}  // namespace sparseserve::cli
