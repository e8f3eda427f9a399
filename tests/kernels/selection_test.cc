// Metadata, scores and top-k of KV blocks against the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/backend_test.h"

namespace sparseserve::kernels {
namespace {

constexpr MetadataKind kKinds[] = {MetadataKind::kMinMax, MetadataKind::kCuboidMean,
                                   MetadataKind::kMean};
constexpr GroupReduction kReductions[] = {GroupReduction::kMean, GroupReduction::kMax,
                                          GroupReduction::kSum};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class SelectionTest : public BackendTest {
 protected:
  void CheckMetadata(MetadataKind kind, const KvLayout& layout);
  void CheckScores(ScoreParams shape);
  void CheckTopK(const std::vector<std::vector<float>>& rows, TopKParams shape);
};

void SelectionTest::CheckMetadata(MetadataKind kind, const KvLayout& layout) {
  const std::int64_t entry_size = std::int64_t{MetadataVectors(kind)} * layout.head_dim;
  // A block listed twice, entries out of order with gaps between.
  const std::vector<std::int32_t> slot_values = {4, 0, 2, 4};
  const std::vector<std::int64_t> entry_values = {1, 6, 0, 3};
  Mirror blocks = MakeRandom(5 * 2 * layout.block_tokens * layout.head_dim, 3);
  Mirror slots = MakeArray(slot_values), entries = MakeArray(entry_values);
  Mirror metadata = MakePoisonedElements(8 * entry_size);
  const auto on = [&](Side side) {
    return MetadataParams{.layout = layout,
                          .kind = kind,
                          .blocks = blocks.On(side),
                          .slots = slots.On<std::int32_t>(side),
                          .entries = entries.On<std::int64_t>(side),
                          .num_blocks = 4,
                          .metadata = metadata.On(side)};
  };
  backend_->BuildMetadata(on(Side::kDevice));
  const std::vector<double> actual = ReadElements(metadata);
  const reference::Values built = reference::BuildMetadata(on(Side::kHost));
  reference::Values expected(static_cast<std::size_t>(8 * entry_size), {kNaN, 0});
  for (std::size_t i = 0; i < entry_values.size(); ++i) {
    std::copy_n(built.begin() + static_cast<std::int64_t>(i) * entry_size, entry_size,
                expected.begin() + entry_values[i] * entry_size);
  }
  ExpectNear(expected, actual,
             "kind " + std::to_string(int(kind)) + ", head_dim " + std::to_string(layout.head_dim) +
                 ", block_tokens " + std::to_string(layout.block_tokens));
}

TEST_P(SelectionTest, MetadataOfEveryKind) {
  for (const MetadataKind kind : kKinds) {
    for (const std::int32_t head_dim : HeadDims()) {
      for (const std::int32_t block_tokens : {16, 32, 64}) {
        CheckMetadata(kind, {type(), block_tokens, head_dim});
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(SelectionTest, MetadataOfNoBlocksWritesNothing) {
  Mirror metadata = MakePoisonedElements(128);
  backend_->BuildMetadata({.layout = {type(), 32, 64}, .metadata = metadata.On(Side::kDevice)});
  EXPECT_EQ(ReadBytes(metadata), metadata.host);
}

// Rows of different lengths, an empty one among them.
void SelectionTest::CheckScores(ScoreParams shape) {
  const std::vector<std::int32_t> lengths = {0, 1, 7, 8, 300, 33};
  std::vector<std::int64_t> begins;
  std::int64_t num_entries = 3;
  for (const std::int32_t length : lengths) {
    begins.push_back(num_entries);
    num_entries += length + 2;
  }
  shape.type = type();
  shape.num_rows = static_cast<std::int64_t>(lengths.size());
  shape.row_stride = 303;
  const std::int64_t vectors = MetadataVectors(shape.kind);
  Mirror queries = MakeRandom(shape.num_rows * shape.group * shape.head_dim, 2);
  Mirror metadata = MakeRandom(num_entries * vectors * shape.head_dim);
  Mirror row_begin = MakeArray(begins), row_blocks = MakeArray(lengths);
  Mirror scores = MakePoisoned(shape.num_rows * shape.row_stride * 4);
  const auto on = [&](Side side) {
    ScoreParams params = shape;
    params.queries = queries.On(side);
    params.metadata = metadata.On(side);
    params.row_begin = row_begin.On<std::int64_t>(side);
    params.row_blocks = row_blocks.On<std::int32_t>(side);
    params.scores = scores.On<float>(side);
    return params;
  };
  const std::string what = "kind " + std::to_string(int(shape.kind)) + ", head_dim " +
                           std::to_string(shape.head_dim) + ", group " +
                           std::to_string(shape.group) + ", reduction " +
                           std::to_string(int(shape.reduction));
  backend_->Score(on(Side::kDevice));
  const auto bytes = ReadBytes(scores);
  const auto actual = ReadArray<float>(scores);
  ExpectNear(reference::Score(on(Side::kHost)), {actual.begin(), actual.end()}, what);
  Reset(scores);
  backend_->Score(on(Side::kDevice));
  EXPECT_EQ(ReadBytes(scores), bytes) << what << ", a second run";
}

TEST_P(SelectionTest, ScoresOfEveryKind) {
  for (const MetadataKind kind : kKinds) {
    for (const std::int32_t head_dim : HeadDims()) {
      for (const std::int32_t group : Groups()) {
        for (const GroupReduction reduction : kReductions) {
          if (IsEmulated() && (group != 4 || head_dim == 64) && reduction != kReductions[0])
            continue;
          CheckScores({.head_dim = head_dim, .group = group, .kind = kind, .reduction = reduction});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

void SelectionTest::CheckTopK(const std::vector<std::vector<float>>& rows, TopKParams shape) {
  shape.num_rows = static_cast<std::int64_t>(rows.size());
  std::vector<std::int32_t> lengths;
  for (const auto& row : rows) {
    lengths.push_back(static_cast<std::int32_t>(row.size()));
    shape.row_stride = std::max(shape.row_stride, static_cast<std::int64_t>(row.size()));
  }
  std::vector<float> score_values;
  for (auto row : rows) {
    row.resize(static_cast<std::size_t>(shape.row_stride), kInfinity);  // nobody may look here
    score_values.insert(score_values.end(), row.begin(), row.end());
  }
  Mirror scores = MakeArray(score_values), row_blocks = MakeArray(lengths);
  Mirror indices = MakePoisoned(shape.num_rows * shape.k * 4);
  const auto on = [&](Side side) {
    TopKParams params = shape;
    params.scores = scores.On<float>(side);
    params.row_blocks = row_blocks.On<std::int32_t>(side);
    params.indices = indices.On<std::int32_t>(side);
    return params;
  };
  backend_->TopK(on(Side::kDevice));
  EXPECT_EQ(ReadArray<std::int32_t>(indices), reference::TopK(on(Side::kHost)))
      << "k " << shape.k << ", first " << shape.num_first << ", last " << shape.num_last;
}

TEST_P(SelectionTest, TopKOfAdversarialScores) {
  const std::size_t size = IsEmulated() ? 700 : 5000;
  std::vector<float> random, clustered, coarse;
  for (std::size_t i = 0; i < size; ++i) {
    random.push_back(static_cast<float>(random_.Normal(0, 1)));
    clustered.push_back(1 + static_cast<float>(random_.UniformInt(0, 3)) * 0x1p-23f);
    coarse.push_back(static_cast<float>(random_.UniformInt(-2, 2)));
  }
  std::vector<float> rising(random), falling(random), odd(random);
  std::sort(rising.begin(), rising.end());
  std::sort(falling.rbegin(), falling.rend());
  for (std::size_t i = 0; i < size; i += 3) odd[i] = i % 2 == 0 ? kNaN : -kInfinity;
  odd[5] = kInfinity;
  const std::vector<std::vector<float>> rows = {random,
                                                clustered,
                                                coarse,
                                                rising,
                                                falling,
                                                odd,
                                                std::vector<float>(size, 2.5f),
                                                std::vector<float>(size, kNaN),
                                                std::vector<float>(size, -kInfinity),
                                                {0.0f, -0.0f, 0.0f, -0.0f, -1.0f},
                                                {kNaN, -kInfinity, kNaN, -kInfinity},
                                                {7.0f},
                                                {}};
  for (const std::int32_t k : {1, 3, 64, 700}) {
    CheckTopK(rows, {.k = k});
    CheckTopK(rows, {.k = k, .num_first = 2, .num_last = 3});
  }
}

TEST_P(SelectionTest, TopKOfForcedBlocksWhereKHasNoRoom) {
  const std::vector<std::vector<float>> rows = {{5, 4, 3, 2, 1, 0}, {1, 2}, {1, 2, 3}};
  for (std::int32_t k = 0; k <= 8; ++k) {
    CheckTopK(rows, {.k = k, .num_first = 2, .num_last = 2});
    CheckTopK(rows, {.k = k, .num_first = 0, .num_last = 4});
    CheckTopK(rows, {.k = k, .num_first = 9, .num_last = 9});
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SelectionTest, testing::ValuesIn(ListBackendCases()), NameCase);

}  // namespace
}  // namespace sparseserve::kernels
