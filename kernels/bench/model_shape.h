// The shapes of the model that a device is calibrated for: they decide which sizes are measured.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/operations.h"

namespace sparseserve::bench {

struct ModelShape {
  std::int64_t hidden = 4096;
  std::int64_t intermediate = 14336;
  std::int32_t q_heads = 32;
  std::int32_t kv_heads = 8;
  std::int64_t vocabulary = 128256;
  // That one forward pass reads; 0: many times what the caches hold.
  std::int64_t weight_bytes = 0;
  std::int64_t num_layers = 1;  // whose KV one forward pass reads beside them
  kernels::KvLayout layout;     // its element type is that of weights and activations too

  std::int32_t group() const { return q_heads / kv_heads; }
  std::int64_t element_bytes() const { return kernels::ElementBytes(layout.type); }
  std::int64_t query_width() const { return std::int64_t{q_heads} * layout.head_dim; }
  std::int64_t kv_width() const { return std::int64_t{kv_heads} * layout.head_dim; }
  std::int64_t projection_width() const { return query_width() + 2 * kv_width(); }
  // One layer, all KV heads: keys and values of a token; a query read and its output written.
  std::int64_t kv_token_bytes() const { return 2 * kv_width() * element_bytes(); }
  std::int64_t query_token_bytes() const { return 2 * query_width() * element_bytes(); }
};

// Llama-3-8B in bf16 for "cuda" (meta-llama/Meta-Llama-3-8B, config.json); a model that a CPU can
// run, in fp32, for "cpu".
ModelShape DefaultModelShape(std::string_view backend);

}  // namespace sparseserve::bench
