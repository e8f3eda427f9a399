#include "models/cost/operation.h"

namespace sparseserve::cost {

Limits Limits::Of(FlopsPerSecond compute, BytesPerSecond bandwidth) {
  Limits limits;
  if (compute.value() > 0) limits.seconds_per_flop = 1 / compute.value();
  if (bandwidth.value() > 0) limits.seconds_per_byte = 1 / bandwidth.value();
  return limits;
}

}  // namespace sparseserve::cost
