// Which lanes of a model are tracked unit by unit. A lane is one (layer, KV head).
//
// Fidelity `exact` tracks all. `sampled` tracks the first heads of a layer, and if the share gives
// less than one head a layer, one head in one layer of every `layer_stride`: in which one depends
// on the request, so that together the requests visit every layer in order, as a cache that is used
// in cycles needs it. Selection and cache handle these lanes alone, in HBM divided by scale(); what
// they count times scale() stands for all lanes. The pattern is fixed: the locality model draws
// heads independently and alike, so that no choice is better than another.
//
// Both strides divide what they thin out. So scale() is an integer, every layer is stood for by
// equally many lanes, and a reservation of n units takes n / scale() slots, rounded down: what fits
// in full fits in the sample too. The rounding hides less than one slot per reservation.
//
// Error: a sample mean is noisier (a layer's loads are those of few heads), and with layers left
// out a batch smaller than `layer_stride` holds a larger proportion of HBM in use at a time than it
// should. results/bench/fidelity.md measures the sum.
#pragma once

#include <cstdint>

namespace sparseserve::scheduler {

struct LaneSampling {
  std::int64_t head_stride = 1;   // heads of a layer for each tracked one
  std::int64_t layer_stride = 1;  // layers for each tracked one

  // Lanes for each tracked one.
  std::int64_t scale() const { return head_stride * layer_stride; }
  // Consecutive layers of which a request has one tracked: their number in order, the layer of the
  // cache.
  std::int64_t StratumOf(std::int64_t layer) const { return layer / layer_stride; }
  // Whether `layer` is the first of its stratum.
  bool Leads(std::int64_t layer) const { return layer % layer_stride == 0; }
  // Which layer of each stratum the request has tracked, counted from the first.
  std::int64_t OffsetOf(std::int64_t request_id) const { return request_id % layer_stride; }
};

// At most `share` of the lanes, as many as divide heads and layers evenly; scale() is 0 when that
// is less than one lane.
LaneSampling SampleLanes(std::int64_t num_layers, std::int64_t heads, double share);

}  // namespace sparseserve::scheduler
