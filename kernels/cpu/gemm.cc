// y = x w^T: x [m, k], w [n, k], y [m, n].
//
// Bound. 2 m n k FLOPs; few rows read w once (n * k elements) from memory, many rows multiply.
//
// Both operands are rows along k, so lanes run along k and nothing is packed: a tile of 4 x 2, 2 x
// 4 or 1 x 8 elements has eight accumulators, joined at the end of each 512 channels. An element
// is the sum over slices of k of one tree of lanes: the same bits in every shape and place. A
// packing GEMM such as Eigen's chooses the slices of k by m and n, and gives up that promise.
//
// Loops: panel of 64 columns, slice of 512 channels (128 KiB of w in L2, converted to float once if
// there are rows enough), eight rows of x (16 KiB, in L1), columns. Threads: panels, and chunks of
// 256 rows, are cut into ranges. Against Eigen (AVX2, one thread, 4096 x 4096): 11 % slower at 256
// rows, 44 % at one, equal at 32, twice as fast at 4 (2026-11, 2-core EPYC).
#include <cstdint>

#include "kernels/cpu/levels.h"
#include "kernels/cpu/vector.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

constexpr std::int64_t kChunkRows = 256;
constexpr std::int64_t kPanel = 64;
constexpr std::int64_t kSlice = 512;
constexpr std::int64_t kBlockRows = 8;
constexpr std::int64_t kStride = kSlice + 16;  // of the float copies: off the multiples of a page

template <typename T>
SPARSESERVE_INLINE void Convert(const T* data, std::int64_t count, float* floats) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Store(floats + i, Load(data + i));
  for (; i < count; ++i) floats[i] = ToFloat(data[i]);
}

// sums[r * row_stride + c] += x_r w_c over `depth` channels, for kRows rows and 8 / kRows columns
// of which `num_columns` exist.
template <int kRows, typename W>
void AddDots(const float* x, const W* w, std::int64_t w_stride, std::int64_t num_columns,
             std::int64_t depth, float* sums) {
  constexpr int kColumns = kLanes / kRows;
  const W* column[kColumns];
  for (int c = 0; c < kColumns; ++c) {
    column[c] = w + (c < num_columns ? c : num_columns - 1) * w_stride;
  }
  Vector tile[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= depth; i += kLanes) {
    Vector b[kColumns];
    for (int c = 0; c < kColumns; ++c) b[c] = Load(column[c] + i);
    for (int r = 0; r < kRows; ++r) {
      Vector a = Load(x + r * kStride + i);
      KeepInRegister(a);
      for (int c = 0; c < kColumns; ++c) {
        tile[r * kColumns + c] = MultiplyAdd(a, b[c], tile[r * kColumns + c]);
      }
    }
  }
  if (i < depth) {
    for (int r = 0; r < kRows; ++r) {
      const Vector a = LoadFirst(x + r * kStride + i, depth - i);
      for (int c = 0; c < kColumns; ++c) {
        tile[r * kColumns + c] =
            MultiplyAdd(a, LoadFirst(column[c] + i, depth - i), tile[r * kColumns + c]);
      }
    }
  }
  const Vector result = ReduceEight(tile);
  for (int j = 0; j < kLanes; ++j) {
    if (j % kColumns < num_columns) sums[j / kColumns * kPanel + j % kColumns] += result[j];
  }
}

// Multiplies `num_rows` rows, from `x` on, with a slice of a panel.
template <typename T, typename W>
void AddSlice(const T* x, std::int64_t x_stride, std::int64_t num_rows, const W* w,
              std::int64_t w_stride, std::int64_t num_columns, std::int64_t depth, float* sums) {
  float floats[kBlockRows * kStride];
  for (std::int64_t row = 0; row < num_rows; row += kBlockRows) {
    const std::int64_t count = num_rows - row < kBlockRows ? num_rows - row : kBlockRows;
    for (std::int64_t r = 0; r < count; ++r) {
      Convert(x + (row + r) * x_stride, depth, floats + r * kStride);
    }
    float* const out = sums + row * kPanel;
    std::int64_t r = 0;
    if (count >= 4) {
      for (std::int64_t c = 0; c < num_columns; c += 2) {
        for (r = 0; r + 4 <= count; r += 4) {
          AddDots<4>(floats + r * kStride, w + c * w_stride, w_stride, num_columns - c, depth,
                     out + r * kPanel + c);
        }
      }
    }
    for (; r + 2 <= count; r += 2) {
      for (std::int64_t c = 0; c < num_columns; c += 4) {
        AddDots<2>(floats + r * kStride, w + c * w_stride, w_stride, num_columns - c, depth,
                   out + r * kPanel + c);
      }
    }
    for (; r < count; ++r) {
      for (std::int64_t c = 0; c < num_columns; c += 8) {
        AddDots<1>(floats + r * kStride, w + c * w_stride, w_stride, num_columns - c, depth,
                   out + r * kPanel + c);
      }
    }
  }
}

// y[row .. row + num_rows, column .. column + num_columns].
template <typename T>
void MultiplyPanel(const GemmParams& params, std::int64_t row, std::int64_t num_rows,
                   std::int64_t column, std::int64_t num_columns) {
  float sums[kChunkRows * kPanel];
  for (std::int64_t i = 0; i < num_rows * kPanel; ++i) sums[i] = 0;
  float panel[kPanel * kStride];
  for (std::int64_t begin = 0; begin < params.k; begin += kSlice) {
    const std::int64_t depth = params.k - begin < kSlice ? params.k - begin : kSlice;
    const T* const x = static_cast<const T*>(params.x) + row * params.k + begin;
    const T* const w = static_cast<const T*>(params.w) + column * params.k + begin;
    if (num_rows <= kBlockRows) {
      AddSlice(x, params.k, num_rows, w, params.k, num_columns, depth, sums);
      continue;
    }
    for (std::int64_t c = 0; c < num_columns; ++c) {
      Convert(w + c * params.k, depth, panel + c * kStride);
    }
    AddSlice(x, params.k, num_rows, panel, kStride, num_columns, depth, sums);
  }
  for (std::int64_t r = 0; r < num_rows; ++r) {
    T* const y = static_cast<T*>(params.y) + (row + r) * params.n + column;
    for (std::int64_t c = 0; c < num_columns; ++c) {
      const float sum = sums[r * kPanel + c];
      StoreValue(y + c, params.accumulate ? ToFloat(y[c]) + sum : sum);
    }
  }
}

template <typename T>
void Run(const GemmParams& params, ThreadPool& pool) {
  const std::int64_t num_chunks = (params.m + kChunkRows - 1) / kChunkRows;
  const std::int64_t num_panels = (params.n + kPanel - 1) / kPanel;
  pool.ParallelFor(num_chunks * num_panels, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i % num_chunks * kChunkRows, column = i / num_chunks * kPanel;
      const std::int64_t rows = params.m - row, columns = params.n - column;
      MultiplyPanel<T>(params, row, rows < kChunkRows ? rows : kChunkRows, column,
                       columns < kPanel ? columns : kPanel);
    }
  });
}

}  // namespace

void Gemm(const GemmParams& params, ThreadPool& pool) {
  params.type == ElementType::kFloat32 ? Run<float>(params, pool) : Run<Bfloat16>(params, pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
