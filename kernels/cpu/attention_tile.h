// The step that decode and prefill share: some query rows attend to one tile of up to 32 tokens of
// a KV block, with the running maximum and sum of online softmax (Milakov and Gimelshein, 2018).
//
// A row's result depends on the row and on the sequence of tiles alone. Scores are sums over lanes
// of channels; weights of tokens that a row does not see are 0 and change nothing.
//
// Registers: eight accumulators. Scores: 4 rows x 2 tokens, 2 x 4 or 1 x 8. Values: 4 rows x 16
// channels, 2 x 32 or 1 x 64. So with 4 rows there are six loads for eight multiply-adds.
#pragma once

#include <cstdint>

#include "kernels/cpu/compute.h"
#include "kernels/cpu/vector.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {

inline constexpr int kTileTokens = 32;  // K and V of a tile are 32 KiB in float: L1
inline constexpr int kMaxRows = kQueryTileRows;
inline constexpr int kMaxHeadDim = 256;
// Blocks lie anywhere, so that no hardware finds the next one, and one block of a decode is
// computed in less time than memory takes to answer. Asked for so much ahead, attention of decodes
// takes 26 to 32 % less when nothing is cached, and is within 5 % of what it takes when much is;
// prefill takes 2 to 14 % less (blocks of 4 KiB, an AMD EPYC, 2026-11).
inline constexpr std::int64_t kBytesAhead = 4096;

struct AttentionRows {
  int num_rows = 0;
  float queries[kMaxRows * kMaxHeadDim];  // [row, head_dim], times scale * log2(e)
  float output[kMaxRows * kMaxHeadDim];   // [row, head_dim], not yet divided by `sum`
  float weights[kMaxRows][kTileTokens];   // scores first
  float max[kMaxRows];                    // of the scores, in powers of 2
  float sum[kMaxRows];
  float rescale[kMaxRows];
};

template <typename T>
void AddRow(const T* query, int head_dim, float scale, AttentionRows& rows) {
  const int row = rows.num_rows++;
  for (int d = 0; d < head_dim; d += kLanes) {
    Store(rows.queries + row * head_dim + d, Load(query + d) * (scale * kLog2E));
    Store(rows.output + row * head_dim + d, Broadcast(0));
  }
  rows.max[row] = kMinusInfinity;
  rows.sum[row] = 0;
}

// Scores of kRows rows for 8 / kRows tokens from `token` on; beyond the last token it repeats the
// last, for Softmax to hide.
template <int kRows, typename T>
SPARSESERVE_INLINE void ScoreTokens(int row, const T* keys, int token, int num_tokens, int head_dim,
                                    AttentionRows& rows) {
  constexpr int kTokens = kLanes / kRows;
  const T* key[kTokens];
  for (int t = 0; t < kTokens; ++t) {
    key[t] = keys + (token + t < num_tokens ? token + t : num_tokens - 1) * head_dim;
  }
  const float* const query = rows.queries + row * head_dim;
  Vector sums[kLanes] = {};
  for (int d = 0; d < head_dim; d += kLanes) {
    Vector k[kTokens];
    for (int t = 0; t < kTokens; ++t) k[t] = Load(key[t] + d);
    for (int r = 0; r < kRows; ++r) {
      Vector q = Load(query + r * head_dim + d);
      KeepInRegister(q);
      for (int t = 0; t < kTokens; ++t) {
        sums[r * kTokens + t] = MultiplyAdd(q, k[t], sums[r * kTokens + t]);
      }
    }
  }
  float scores[kLanes];
  Store(scores, ReduceEight(sums));
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(rows.weights[row + r] + token, scores + r * kTokens, sizeof(float) * kTokens);
  }
}

// Meanwhile asks for the values of the same tokens, unless `prefetch` is null.
template <int kRows, typename T>
SPARSESERVE_INLINE void ScoreTile(int row, const T* keys, int num_tokens, int head_dim,
                                  const T* prefetch, AttentionRows& rows) {
  for (int token = 0; token < num_tokens; token += kLanes / kRows) {
    if (prefetch != nullptr) Prefetch(prefetch + token * head_dim, kLanes / kRows * head_dim);
    ScoreTokens<kRows>(row, keys, token, num_tokens, head_dim, rows);
  }
}

// Turns scores of the first `num_visible` tokens into weights, those of the others into 0.
SPARSESERVE_INLINE void Softmax(int row, int num_visible, AttentionRows& rows) {
  float* const weights = rows.weights[row];
  rows.rescale[row] = 1;
  if (num_visible <= 0) {
    for (int t = 0; t < kTileTokens; t += kLanes) Store(weights + t, Broadcast(0));
    return;
  }
  for (int t = num_visible; t < kTileTokens; ++t) weights[t] = kMinusInfinity;
  Vector x[4];
  for (int i = 0; i < 4; ++i) x[i] = Load(weights + i * kLanes);
  const float tile_max = MaxLanes(Max(Max(x[0], x[1]), Max(x[2], x[3])));
  const float old_max = rows.max[row];
  const float new_max = tile_max > old_max ? tile_max : old_max;
  for (int i = 0; i < 4; ++i) {
    x[i] = Exp2(x[i] - new_max);
    Store(weights + i * kLanes, x[i]);
  }
  // The first tile has nothing to rescale; a maximum of -infinity would make it NaN.
  if (new_max > old_max) rows.rescale[row] = Exp2(Broadcast(old_max - new_max))[0];
  rows.max[row] = new_max;
  rows.sum[row] = rows.sum[row] * rows.rescale[row] + SumLanes((x[0] + x[1]) + (x[2] + x[3]));
}

// output := output * rescale + weights * values, for kRows rows and kVectors * 8 channels.
template <int kRows, int kVectors, typename T>
SPARSESERVE_INLINE void AddValues(int row, const T* values, int channel, int num_tokens,
                                  int head_dim, AttentionRows& rows) {
  float* const output = rows.output + row * head_dim + channel;
  Vector sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kVectors; ++c) {
      sums[r][c] = Load(output + r * head_dim + c * kLanes) * rows.rescale[row + r];
    }
  }
  for (int t = 0; t < num_tokens; ++t) {
    Vector v[kVectors];
    for (int c = 0; c < kVectors; ++c) {
      v[c] = Load(values + t * head_dim + channel + c * kLanes);
      if constexpr (kRows > 1) KeepInRegister(v[c]);
    }
    for (int r = 0; r < kRows; ++r) {
      const Vector weight = Broadcast(rows.weights[row + r][t]);
      for (int c = 0; c < kVectors; ++c) sums[r][c] = MultiplyAdd(weight, v[c], sums[r][c]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kVectors; ++c) Store(output + r * head_dim + c * kLanes, sums[r][c]);
  }
}

// Meanwhile asks for a tile at `prefetch`, unless it is null.
template <int kRows, typename T>
SPARSESERVE_INLINE void AddTile(int row, const T* values, int num_tokens, int head_dim,
                                const T* prefetch, AttentionRows& rows) {
  constexpr int kVectors = kLanes / kRows;
  int channel = 0;
  for (; channel + kVectors * kLanes <= head_dim; channel += kVectors * kLanes) {
    if (prefetch != nullptr) {
      Prefetch(prefetch + channel * num_tokens, kVectors * kLanes * num_tokens);
    }
    AddValues<kRows, kVectors>(row, values, channel, num_tokens, head_dim, rows);
  }
  for (; channel < head_dim; channel += kLanes) {
    AddValues<kRows, 1>(row, values, channel, num_tokens, head_dim, rows);
  }
}

// Calls body.template operator()<n>(row) for runs of n = 4, 2 and 1 rows.
template <typename Body>
SPARSESERVE_INLINE void ForRows(int num_rows, const Body& body) {
  int row = 0;
  for (; row + 4 <= num_rows; row += 4) body.template operator()<4>(row);
  for (; row + 2 <= num_rows; row += 2) body.template operator()<2>(row);
  for (; row < num_rows; ++row) body.template operator()<1>(row);
}

// All rows attend to tokens [0, num_tokens) of a tile; row r sees num_visible(r) of them.
// `next_keys` is where the next tile begins, or null to prefetch nothing. Without it a pass over
// K or V waits for memory and then computes, one after the other.
template <int kHeadDim, typename T, typename NumVisible>
SPARSESERVE_INLINE void AttendTile(const T* keys, const T* values, int num_tokens, int head_dim,
                                   const T* next_keys, const NumVisible& num_visible,
                                   AttentionRows& rows) {
  if constexpr (kHeadDim > 0) head_dim = kHeadDim;  // known to the compiler: loops unroll
  const T* const own_values = next_keys != nullptr ? values : nullptr;
  ForRows(
      rows.num_rows, [&]<int kRows>(int row) __attribute__((always_inline)) {
        ScoreTile<kRows>(row, keys, num_tokens, head_dim, row == 0 ? own_values : nullptr, rows);
      });
  for (int row = 0; row < rows.num_rows; ++row) Softmax(row, num_visible(row), rows);
  ForRows(
      rows.num_rows, [&]<int kRows>(int row) __attribute__((always_inline)) {
        AddTile<kRows>(row, values, num_tokens, head_dim, row == 0 ? next_keys : nullptr, rows);
      });
}

// How many blocks of `count` elements ahead those are.
template <typename T>
std::int64_t BlocksAhead(std::int64_t count) {
  const auto bytes = count * static_cast<std::int64_t>(sizeof(T));
  return bytes < kBytesAhead ? kBytesAhead / bytes : 1;
}

// Writes the row's output and, unless null, its log-sum-exp.
template <typename T>
void WriteRow(int row, int head_dim, const AttentionRows& rows, T* output, float* lse) {
  const float sum = rows.sum[row];
  const bool is_empty = rows.max[row] == kMinusInfinity && sum == 0;
  const Vector inverse = Broadcast(is_empty ? 0 : 1 / sum);
  for (int d = 0; d < head_dim; d += kLanes) {
    Store(output + d, Load(rows.output + row * head_dim + d) * inverse);
  }
  if (lse != nullptr) {
    *lse = is_empty ? kMinusInfinity : rows.max[row] * kLn2 + __builtin_logf(sum);
  }
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
