// Scores of all blocks with metadata: scores [num_rows, row_stride] from metadata
// [entry, vectors, head_dim] and queries [num_rows, group, head_dim].
//
// Bound. The metadata of a row is read once from memory, for 4 * group FLOPs an element: memory,
// up to a group of about 4.
//
// sum_i max(q_i a_i, q_i b_i) is one dot product of twice the length: with lo, hi = min, max of a
// and b it is sum_i min(q_i, 0) lo_i + max(q_i, 0) hi_i, so that a query head costs two
// multiply-adds for two elements.
// Threads: pieces of 256 entries of a row. Heads and entries make eight accumulators as in
// attention_tile.h.
#include <cstdint>

#include "kernels/cpu/levels.h"
#include "kernels/cpu/vector.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL {
namespace {

constexpr std::int64_t kPieceEntries = 256;
constexpr int kMaxGroup = 32;
constexpr int kMaxHeadDim = 256;

struct GroupQueries {
  float positive[kMaxGroup * kMaxHeadDim];  // [group, head_dim]; the query itself for kMean
  float negative[kMaxGroup * kMaxHeadDim];
};

// scores[h][e] of kHeads heads for the entries [0, 8), of which those from `count` on repeat the
// last.
template <int kHeads, bool kBounds, typename T>
SPARSESERVE_INLINE void ScoreHeads(const GroupQueries& queries, int head, const T* metadata,
                                   std::int64_t count, int head_dim, float scores[][kLanes]) {
  constexpr int kEntries = kLanes / kHeads;
  constexpr int kVectors = kBounds ? 2 : 1;
  for (int first = 0; first < kLanes && first < count; first += kEntries) {
    if (head == 0) {  // twice eight entries ahead: their streams are too short for the hardware
      Prefetch(metadata + (first + 2 * kLanes) * kVectors * head_dim,
               kEntries * kVectors * head_dim);
    }
    const T* entry[kEntries];
    for (int e = 0; e < kEntries; ++e) {
      const std::int64_t index = first + e < count ? first + e : count - 1;
      entry[e] = metadata + index * kVectors * head_dim;
    }
    Vector sums[kLanes] = {};
    for (int d = 0; d < head_dim; d += kLanes) {
      Vector low[kEntries], high[kEntries];
      for (int e = 0; e < kEntries; ++e) {
        high[e] = Load(entry[e] + d);
        if constexpr (kBounds) {
          const Vector other = Load(entry[e] + head_dim + d);
          low[e] = Min(high[e], other);
          high[e] = Max(high[e], other);
        }
      }
      for (int h = 0; h < kHeads; ++h) {
        Vector q = Load(queries.positive + (head + h) * head_dim + d);
        KeepInRegister(q);
        for (int e = 0; e < kEntries; ++e) {
          Vector& sum = sums[h * kEntries + e];
          sum = MultiplyAdd(q, high[e], sum);
        }
        if constexpr (kBounds) {
          Vector negative = Load(queries.negative + (head + h) * head_dim + d);
          KeepInRegister(negative);
          for (int e = 0; e < kEntries; ++e) {
            Vector& sum = sums[h * kEntries + e];
            sum = MultiplyAdd(negative, low[e], sum);
          }
        }
      }
    }
    const Vector result = ReduceEight(sums);
    for (int i = 0; i < kLanes; ++i) {
      scores[head + i / kEntries][first + i % kEntries] = result[i];
    }
  }
}

SPARSESERVE_INLINE Vector ReduceGroup(GroupReduction reduction, int group,
                                      const float scores[][kLanes]) {
  Vector result = Load(scores[0]);
  for (int g = 1; g < group; ++g) {
    const Vector other = Load(scores[g]);
    result = reduction == GroupReduction::kMax ? Max(result, other) : result + other;
  }
  return reduction == GroupReduction::kMean ? result / static_cast<float>(group) : result;
}

template <bool kBounds, typename T>
void ScorePiece(const ScoreParams& params, std::int64_t row, std::int64_t begin, std::int64_t end) {
  const int head_dim = params.head_dim, group = params.group;
  const T* const query = static_cast<const T*>(params.queries) + row * group * head_dim;
  GroupQueries queries;
  for (int i = 0; i < group * head_dim; i += kLanes) {
    const Vector q = Load(query + i);
    Store(queries.positive + i, kBounds ? Max(q, Broadcast(0)) : q);
    Store(queries.negative + i, Min(q, Broadcast(0)));
  }
  constexpr int kVectors = kBounds ? 2 : 1;
  const T* const metadata =
      static_cast<const T*>(params.metadata) + params.row_begin[row] * kVectors * head_dim;
  float* const out = params.scores + row * params.row_stride;
  for (std::int64_t i = begin; i < end; i += kLanes) {
    float scores[kMaxGroup][kLanes] = {};
    const T* const entries = metadata + i * kVectors * head_dim;
    const std::int64_t count = end - i < kLanes ? end - i : kLanes;
    int head = 0;
    for (; head + 4 <= group; head += 4) {
      ScoreHeads<4, kBounds>(queries, head, entries, count, head_dim, scores);
    }
    for (; head + 2 <= group; head += 2) {
      ScoreHeads<2, kBounds>(queries, head, entries, count, head_dim, scores);
    }
    for (; head < group; ++head) {
      ScoreHeads<1, kBounds>(queries, head, entries, count, head_dim, scores);
    }
    const Vector result = ReduceGroup(params.reduction, group, scores);
    if (count == kLanes) {
      Store(out + i, result);
    } else {
      StoreFirst(out + i, result, count);
    }
  }
}

template <typename T>
void Run(const ScoreParams& params, ThreadPool& pool) {
  const auto score =
      params.kind == MetadataKind::kMean ? ScorePiece<false, T> : ScorePiece<true, T>;
  const std::int64_t row_pieces = (params.row_stride + kPieceEntries - 1) / kPieceEntries;
  pool.ParallelFor(params.num_rows * row_pieces, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t row = piece / row_pieces;
      const std::int64_t first = piece % row_pieces * kPieceEntries;
      const std::int64_t num_blocks = params.row_blocks[row];
      const std::int64_t last =
          first + kPieceEntries < num_blocks ? first + kPieceEntries : num_blocks;
      if (first < last) score(params, row, first, last);
    }
  });
}

}  // namespace

void Score(const ScoreParams& params, ThreadPool& pool) {
  SPARSESERVE_CHECK(params.head_dim % kLanes == 0 && params.head_dim <= kMaxHeadDim,
                    "head_dim is a multiple of 8 up to 256");
  SPARSESERVE_CHECK(params.group <= kMaxGroup, "a KV head serves at most 32 query heads");
  params.type == ElementType::kFloat32 ? Run<float>(params, pool) : Run<Bfloat16>(params, pool);
}

}  // namespace sparseserve::kernels::cpu::SPARSESERVE_CPU_LEVEL
