#include "sim/scheduler/lane_sampling.h"

namespace sparseserve::scheduler {
namespace {

// The largest divisor of `count` that is at most `wanted`, as a stride; 0 if there is none.
std::int64_t StrideFor(std::int64_t count, double wanted) {
  for (std::int64_t stride = 1; stride <= count; ++stride) {
    // A share such as 1/3 is not exact in binary.
    if (count % stride == 0 && static_cast<double>(count / stride) <= wanted * (1 + 1e-9))
      return stride;
  }
  return 0;
}

}  // namespace

LaneSampling SampleLanes(std::int64_t num_layers, std::int64_t heads, double share) {
  const double heads_per_layer = share * static_cast<double>(heads);
  if (const std::int64_t stride = StrideFor(heads, heads_per_layer); stride > 0)
    return {.head_stride = stride, .layer_stride = 1};
  return {.head_stride = heads,
          .layer_stride = StrideFor(num_layers, heads_per_layer * static_cast<double>(num_layers))};
}

}  // namespace sparseserve::scheduler
