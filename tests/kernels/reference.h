// What each operation of kernels/operations.h should give, by plain loops in double precision, with
// an error bound for kernels that compute in float and store in the element type.
//
// Functions take the parameters of the operation with pointers to host memory, and return the
// output instead of writing it.
//
// Bounds. A sum of n float products is off by at most n 2^-24 times the sum of their magnitudes in
// any order (Higham, Accuracy and Stability, 2002, ch. 3), here (n + 8) for what surrounds it. A
// result is then rounded to its type: 2^-24 or 2^-8 of its value.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/operations.h"

namespace sparseserve::kernels::reference {

struct Value {
  double value;
  double bound;
};
using Values = std::vector<Value>;

double ReadElement(const void* data, ElementType type, std::int64_t index);

struct Attention {
  Values output;
  Values lse;
};

// Entries [i] of the result are those of entries[i]: [num_blocks, vectors, head_dim].
Values BuildMetadata(const MetadataParams& params);
// [num_rows, row_stride]; value NaN where nothing is written.
Values Score(const ScoreParams& params);
std::vector<std::int32_t> TopK(const TopKParams& params);
Attention DecodeAttention(const DecodeParams& params);
Attention PrefillAttention(const PrefillParams& params);
Attention Merge(const MergeParams& params);
Values Gemm(const GemmParams& params);
Values Norm(const NormParams& params);
Values GatedActivation(const GatedActivationParams& params);
// x [head_dim] of one head, rotated to `position`.
Values Rotate(const void* x, ElementType type, std::int64_t offset, std::int32_t head_dim,
              double theta, std::int64_t position);
std::vector<std::int32_t> Argmax(const ArgmaxParams& params);

}  // namespace sparseserve::kernels::reference
