#include "kernels/bench/model_shape.h"

namespace sparseserve::bench {

ModelShape DefaultModelShape(std::string_view backend) {
  if (backend == "cuda") return {};
  ModelShape shape;
  shape.hidden = 512;
  shape.intermediate = 1536;
  shape.q_heads = 8;
  shape.kv_heads = 2;
  shape.vocabulary = 8192;
  shape.layout = {kernels::ElementType::kFloat32, 16, 64};
  return shape;
}

}  // namespace sparseserve::bench
