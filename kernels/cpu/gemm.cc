// y = x w^T: x [m, k], w [n, k], y [m, n].
//
// Bound. 2 m n k FLOPs; few rows read w once (n * k elements) from memory, many rows multiply.
//
// Both operands are rows along k, so lanes run along k and nothing is packed: a tile of 4 x 2
// elements has eight accumulators, joined at the end of each 512 channels. An element is the sum
// over slices of k of one tree of lanes: the same bits in every shape and place. A packing GEMM
// such as Eigen's chooses the slices of k by m and n, and gives up that promise.
//
// One tile for all: rows that it lacks repeat the first and are dropped. Few rows wait for w, so
// one costs what four do, and a batch never gets faster by one more row. Tiles of 1 x 8 and 2 x 4
// read more columns at once, each too short for the hardware to prefetch.
//
// Loops: panel of 64 columns, slice of 512 channels (128 KiB of w in L2; 16-bit values are
// converted once if there are rows enough), eight rows of x (16 KiB, in L1), columns. Threads:
// panels, and chunks of 256 rows, are cut into ranges.
//
// Time over Eigen's (AVX2, one thread, fp32, 4096 x 4096): 1.57 at one row, 0.31 at 2 and 4, 0.39
// at 8, 0.71 at 32, 1.14 at 256 (2026-11, virtual machine with two cores of an AMD EPYC).
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/levels.h"
#include "kernels/cpu/vector.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

constexpr std::int64_t kChunkRows = 256;
constexpr std::int64_t kPanel = 64;
constexpr std::int64_t kSlice = 512;
constexpr std::int64_t kBlockRows = 8;
constexpr std::int64_t kStride = kSlice + 16;  // of the float copies: off the multiples of a page
constexpr int kTileRows = 4, kTileColumns = 2;
constexpr std::int64_t kAhead = 32;  // columns, 64 KiB of a slice; 2 to 16 were slower
// L1 has no room: where k is a power of two, columns map to few of its sets.
constexpr CacheLevel kInto = CacheLevel::kL2;

template <typename T>
SPARSESERVE_INLINE void Convert(const T* data, std::int64_t count, float* floats) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Store(floats + i, Load(data + i));
  for (; i < count; ++i) floats[i] = ToFloat(data[i]);
}

// sums[r * kPanel + c] += x_r w_c over `depth` channels, for a tile of which `num_rows` rows and
// `num_columns` columns exist. Meanwhile asks for the columns that are read soon.
template <typename W>
void AddDots(const float* x, std::int64_t num_rows, const W* w, std::int64_t w_stride,
             std::int64_t num_columns, std::int64_t depth, float* sums) {
  const float* row[kTileRows];
  const W* column[kTileColumns];
  for (int r = 0; r < kTileRows; ++r) row[r] = x + (r < num_rows ? r : 0) * kStride;
  for (int c = 0; c < kTileColumns; ++c) column[c] = w + (c < num_columns ? c : 0) * w_stride;
  Vector tile[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= depth; i += kLanes) {
    Vector b[kTileColumns];
    for (int c = 0; c < kTileColumns; ++c) {
      b[c] = Load(column[c] + i);
      if (i % kPerLine<W> == 0) Prefetch<kInto>(column[c] + kAhead * w_stride + i, kLanes);
    }
    for (int r = 0; r < kTileRows; ++r) {
      Vector a = Load(row[r] + i);
      KeepInRegister(a);
      for (int c = 0; c < kTileColumns; ++c) {
        tile[r * kTileColumns + c] = MultiplyAdd(a, b[c], tile[r * kTileColumns + c]);
      }
    }
  }
  if (i < depth) {
    for (int r = 0; r < kTileRows; ++r) {
      const Vector a = LoadFirst(row[r] + i, depth - i);
      for (int c = 0; c < kTileColumns; ++c) {
        tile[r * kTileColumns + c] =
            MultiplyAdd(a, LoadFirst(column[c] + i, depth - i), tile[r * kTileColumns + c]);
      }
    }
  }
  const Vector result = ReduceEight(tile);
  for (int r = 0; r < num_rows && r < kTileRows; ++r) {
    for (int c = 0; c < num_columns && c < kTileColumns; ++c) {
      sums[r * kPanel + c] += result[r * kTileColumns + c];
    }
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
    for (std::int64_t c = 0; c < num_columns; c += kTileColumns) {
      for (std::int64_t r = 0; r < count; r += kTileRows) {
        AddDots(floats + r * kStride, count - r, w + c * w_stride, w_stride, num_columns - c, depth,
                sums + (row + r) * kPanel + c);
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
  constexpr bool kConverts = !std::is_same_v<T, float>;
  float panel[kConverts ? kPanel * kStride : 1];
  for (std::int64_t begin = 0; begin < params.k; begin += kSlice) {
    const std::int64_t depth = params.k - begin < kSlice ? params.k - begin : kSlice;
    const T* const x = static_cast<const T*>(params.x) + row * params.k + begin;
    const T* const w = static_cast<const T*>(params.w) + column * params.k + begin;
    if (!kConverts || num_rows <= kBlockRows) {
      AddSlice(x, params.k, num_rows, w, params.k, num_columns, depth, sums);
      continue;
    }
    for (std::int64_t c = 0; c < num_columns; ++c) {
      Prefetch<kInto>(w + (c + kAhead) * params.k, depth);
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
