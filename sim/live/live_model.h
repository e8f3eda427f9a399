// A real model of a given architecture on a backend: weights drawn from a seed, sizes as the
// simulator counts them, and the pieces of a layer that are the same for prefill and decode.
//
// The weights are random (uniform, variance 1 / fan-in), so the tokens mean nothing; the work, the
// bytes and the numerics are those of the architecture. Dense gated decoders with rotary embedding
// and MHA or GQA only.
//
// All calls enqueue on Lane::kCompute; pointers are device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "models/llm/architecture.h"
#include "sim/live/arena.h"

namespace sparseserve::live {

class LiveModel {
 public:
  // `max_rows`: tokens that pass a GEMM at once; longer batches go in slices. Throws InputError
  // when the architecture has parts that no kernel runs, std::bad_alloc when memory is short.
  LiveModel(kernels::Backend& backend, const llm::Architecture& model, std::uint64_t seed,
            std::int64_t max_rows, std::int64_t max_outputs);

  kernels::ElementType type() const { return type_; }
  std::int64_t row_bytes() const { return hidden_ * kernels::ElementBytes(type_); }  // hidden state
  std::int64_t qkv_width() const { return qkv_width_; }
  std::int64_t max_rows() const { return max_rows_; }

  // hidden[i] = embedding of tokens[i].
  void Embed(const std::int32_t* tokens, std::int64_t num_tokens, void* hidden);
  // Norm and q, k, v of at most max_rows rows; returns them: [rows, q_heads + 2 kv_heads,
  // head_dim], valid until the next call.
  const void* Project(std::int64_t layer, const void* hidden, std::int64_t rows);
  // hidden += attention W_o; hidden += MLP(norm(hidden)), any number of rows.
  void OutputAndMlp(std::int64_t layer, const void* attention, void* hidden, std::int64_t rows);
  // Final norm, logits and the likeliest token of each of at most max_outputs rows.
  void Head(const void* hidden, std::int64_t rows, std::int32_t* tokens);

 private:
  struct Layer {
    std::byte *qkv, *output, *up, *down, *attention_norm, *mlp_norm;
  };

  std::byte* TakeElements(std::int64_t rows, std::int64_t width);
  std::byte* RandomMatrix(std::int64_t rows, std::int64_t columns);
  std::byte* Upload(const std::vector<float>& values);
  void Norm(const void* x, const void* weight, std::int64_t rows, void* y);
  void Gemm(const void* x, const void* w, void* y, std::int64_t m, std::int64_t n, std::int64_t k,
            bool accumulate);

  kernels::Backend& backend_;
  kernels::ElementType type_;
  std::int64_t hidden_, intermediate_, vocab_, q_width_, qkv_width_, max_rows_, max_outputs_;
  std::vector<float> pool_;  // random numbers that the matrices are cut from
  std::size_t pool_at_ = 0;
  kernels::Buffer staging_;  // host
  Arena memory_;
  std::byte *embedding_, *head_, *final_norm_;
  std::vector<Layer> layers_;
  std::byte *normed_, *qkv_, *up_, *inner_, *logits_;
};

}  // namespace sparseserve::live
