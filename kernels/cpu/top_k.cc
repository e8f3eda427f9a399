// The k best KV blocks of each row in rising order: indices [num_rows, k] from scores
// [num_rows, row_stride].
//
// Score and index are packed into one integer that orders as the contract asks, so no two keys are
// equal and the selected set is unique. nth_element finds the k-th largest key in linear time, a
// second pass writes what is not below it, in index order. Threads: rows are cut into ranges.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cpu/compute.h"

namespace sparseserve::kernels::cpu {
namespace {

// Larger for higher scores, and of equal scores for the lower index.
std::uint64_t PackKey(float score, std::uint32_t index) {
  std::uint32_t order = 0;  // NaN
  if (score == score) {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes 0
    order = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  }
  return std::uint64_t{order} << 32 | ~index;
}

void SelectRow(const float* scores, std::int32_t num_blocks, const TopKParams& params,
               std::vector<std::uint64_t>& keys, std::int32_t* indices) {
  const std::int32_t num_selected = std::min(params.k, num_blocks);
  const std::int32_t num_first = std::min(params.num_first, num_selected);
  const std::int32_t num_last = std::min(params.num_last, num_selected - num_first);
  const std::int32_t num_best = num_selected - num_first - num_last;
  const std::int32_t last = num_blocks - num_last;

  std::int32_t* out = indices;
  for (std::int32_t i = 0; i < num_first; ++i) *out++ = i;
  if (num_best > 0) {
    keys.clear();
    for (std::int32_t i = num_first; i < last; ++i) {
      keys.push_back(PackKey(scores[i], static_cast<std::uint32_t>(i)));
    }
    const auto worst = keys.begin() + (num_best - 1);
    std::nth_element(keys.begin(), worst, keys.end(), std::greater<>());
    const std::uint64_t threshold = *worst;
    for (std::int32_t i = num_first; i < last; ++i) {
      if (PackKey(scores[i], static_cast<std::uint32_t>(i)) >= threshold) *out++ = i;
    }
  }
  for (std::int32_t i = last; i < num_blocks; ++i) *out++ = i;
  std::fill(out, indices + params.k, -1);
}

}  // namespace

void TopK(const TopKParams& params, ThreadPool& pool) {
  pool.ParallelFor(params.num_rows, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint64_t> keys;
    for (std::int64_t row = begin; row < end; ++row) {
      SelectRow(params.scores + row * params.row_stride, params.row_blocks[row], params, keys,
                params.indices + row * params.k);
    }
  });
}

}  // namespace sparseserve::kernels::cpu
