// Norm, rotary embedding with its stores, gated activation, embedding and argmax against the
// reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/backend_test.h"

namespace sparseserve::kernels {
namespace {

class LayerTest : public BackendTest {
 protected:
  std::vector<std::int64_t> Widths() const {
    if (IsCpu()) return {1, 7, 8, 64, 100, 4096};
    return {8, 64, 1024, 4096};
  }
};

TEST_P(LayerTest, NormOfEveryWidth) {
  for (const std::int64_t width : Widths()) {
    for (const std::int64_t num_rows : {0, 1, 3}) {
      Mirror x = MakeRandom(num_rows * width, 5), weight = MakeRandom(width);
      Mirror y = MakePoisonedElements(num_rows * width);
      const auto on = [&](Side side) {
        return NormParams{.type = type(),
                          .num_rows = num_rows,
                          .width = width,
                          .x = x.On(side),
                          .weight = weight.On(side),
                          .y = y.On(side)};
      };
      backend_->Norm(on(Side::kDevice));
      const auto bytes = ReadBytes(y);
      ExpectNear(reference::Norm(on(Side::kHost)), ReadElements(y),
                 "width " + std::to_string(width));
      NormParams in_place = on(Side::kDevice);
      in_place.y = x.On(Side::kDevice);
      backend_->Norm(in_place);
      EXPECT_EQ(ReadBytes(x), bytes) << "in place, width " << width;
    }
  }
}

TEST_P(LayerTest, NormOfZerosIsZero) {
  Mirror x = MakeElements(std::vector<double>(64, 0)), weight = MakeRandom(64);
  Mirror y = MakePoisonedElements(64);
  backend_->Norm({.type = type(),
                  .num_rows = 1,
                  .width = 64,
                  .x = x.On(Side::kDevice),
                  .weight = weight.On(Side::kDevice),
                  .y = y.On(Side::kDevice)});
  for (const double value : ReadElements(y)) EXPECT_EQ(value, 0);
}

TEST_P(LayerTest, GatedActivationOfEveryWidth) {
  for (const std::int64_t width : Widths()) {
    const std::int64_t num_rows = 3;
    Mirror x = MakeRandom(num_rows * 2 * width, 30), y = MakePoisonedElements(num_rows * width);
    const auto on = [&](Side side) {
      return GatedActivationParams{
          .type = type(), .num_rows = num_rows, .width = width, .x = x.On(side), .y = y.On(side)};
    };
    backend_->GatedActivation(on(Side::kDevice));
    ExpectNear(reference::GatedActivation(on(Side::kHost)), ReadElements(y),
               "width " + std::to_string(width));
  }
}

TEST_P(LayerTest, GatedActivationOfExtremeGates) {
  // Gates, then ups. Far out e^-gate overflows, which must not make a NaN.
  Mirror x = MakeElements({-300, -90, -0.0, 0, 90, 300, 1e-30, -1e-30, 1, 1, 1, 1, 1, 1, 1, 1});
  Mirror y = MakePoisonedElements(8);
  const auto on = [&](Side side) {
    return GatedActivationParams{
        .type = type(), .num_rows = 1, .width = 8, .x = x.On(side), .y = y.On(side)};
  };
  backend_->GatedActivation(on(Side::kDevice));
  reference::Values expected = reference::GatedActivation(on(Side::kHost));
  expected[1].bound = 1e-36;  // 90 e^-90 is below the normal numbers; a kernel may flush it to 0
  ExpectNear(expected, ReadElements(y), "extreme gates");
}

TEST_P(LayerTest, RotateStoreWritesQueriesBlocksAndFragments) {
  for (const std::int32_t head_dim : HeadDims()) {
    for (const std::int32_t block_tokens : {16, 32}) {
      const std::int32_t kv_heads = 2, group = 3;
      const std::int64_t q_heads = kv_heads * group, num_slots = 8;
      const KvLayout layout{type(), block_tokens, head_dim};
      // Decodes of some requests and two tokens of a prefill; one token is stored in no block.
      const std::vector<std::int64_t> positions = {0, 5, 131071, 1000, 1001};
      const std::vector<std::int32_t> slots = {3, 1, 0, 2, 5, 6, -1, 7, 4, -1};
      const auto num_tokens = static_cast<std::int64_t>(positions.size());
      const std::int64_t token_size = (q_heads + 2 * kv_heads) * head_dim;
      Mirror qkv = MakeRandom(num_tokens * token_size, 3);
      Mirror position_array = MakeArray(positions), slot_array = MakeArray(slots);
      Mirror queries = MakePoisonedElements(num_tokens * q_heads * head_dim);
      Mirror blocks = MakePoisonedElements(num_slots * 2 * block_tokens * head_dim);
      Mirror fragments = MakePoisonedElements(kv_heads * 2 * num_tokens * head_dim);
      RotateStoreParams params{.layout = layout,
                               .num_tokens = num_tokens,
                               .kv_heads = kv_heads,
                               .group = group,
                               .theta = 500000,
                               .qkv = qkv.On(Side::kDevice),
                               .positions = position_array.On<std::int64_t>(Side::kDevice),
                               .slots = slot_array.On<std::int32_t>(Side::kDevice),
                               .queries = queries.On(Side::kDevice),
                               .blocks = blocks.On(Side::kDevice),
                               .fragments = fragments.On(Side::kDevice)};
      backend_->RotateStore(params);

      const double nan = std::numeric_limits<double>::quiet_NaN();
      const auto poisoned = [nan](const Mirror& mirror, ElementType type) {
        const auto bytes = static_cast<std::int64_t>(mirror.host.size());
        return reference::Values(static_cast<std::size_t>(bytes / ElementBytes(type)), {nan, 0});
      };
      reference::Values expected_queries, expected_blocks = poisoned(blocks, type()),
                                          expected_fragments = poisoned(fragments, type());
      const auto put = [](reference::Values& target, std::int64_t at, const reference::Values& x) {
        std::copy(x.begin(), x.end(), target.begin() + at);
      };
      for (std::int64_t t = 0; t < num_tokens; ++t) {
        const std::int64_t position = positions[static_cast<std::size_t>(t)];
        const auto rotate = [&](std::int64_t head) {
          return reference::Rotate(qkv.host.data(), type(), t * token_size + head * head_dim,
                                   head_dim, 500000, position);
        };
        for (std::int64_t h = 0; h < q_heads; ++h) {
          const reference::Values query = rotate(h);
          expected_queries.insert(expected_queries.end(), query.begin(), query.end());
        }
        for (std::int64_t h = 0; h < kv_heads; ++h) {
          const reference::Values key = rotate(q_heads + h);
          reference::Values value;
          for (std::int64_t d = 0; d < head_dim; ++d) {
            const std::int64_t i = t * token_size + (q_heads + kv_heads + h) * head_dim + d;
            value.push_back({reference::ReadElement(qkv.host.data(), type(), i), 0});
          }
          put(expected_fragments, ((2 * h) * num_tokens + t) * head_dim, key);
          put(expected_fragments, ((2 * h + 1) * num_tokens + t) * head_dim, value);
          const std::int64_t slot = slots[static_cast<std::size_t>(t * kv_heads + h)];
          if (slot < 0) continue;
          const std::int64_t in_block = position % block_tokens;
          put(expected_blocks, (2 * slot * block_tokens + in_block) * head_dim, key);
          put(expected_blocks, ((2 * slot + 1) * block_tokens + in_block) * head_dim, value);
        }
      }
      ExpectNear(expected_queries, ReadElements(queries), "queries");
      ExpectNear(expected_blocks, ReadElements(blocks), "blocks");
      ExpectNear(expected_fragments, ReadElements(fragments), "fragments");

      const auto bytes = ReadBytes(blocks);
      Reset(blocks);
      params.fragments = nullptr;
      backend_->RotateStore(params);
      EXPECT_EQ(ReadBytes(blocks), bytes) << "without fragments";
    }
  }
}

TEST_P(LayerTest, EmbedCopiesRowsOfTheTable) {
  for (const std::int64_t width : {std::int64_t{8}, std::int64_t{64}, std::int64_t{1032}}) {
    const std::vector<std::int32_t> tokens = {6, 0, 3, 3, 1};
    Mirror table = MakeRandom(7 * width), token_array = MakeArray(tokens);
    Mirror y = MakePoisonedElements(5 * width);
    backend_->Embed({.type = type(),
                     .num_tokens = 5,
                     .width = width,
                     .tokens = token_array.On<std::int32_t>(Side::kDevice),
                     .table = table.On(Side::kDevice),
                     .y = y.On(Side::kDevice)});
    const auto row_bytes = width * ElementBytes(type());
    std::vector<std::byte> expected;
    for (const std::int32_t token : tokens) {
      const auto row = table.host.begin() + token * row_bytes;
      expected.insert(expected.end(), row, row + row_bytes);
    }
    EXPECT_EQ(ReadBytes(y), expected) << "width " << width;
  }
}

TEST_P(LayerTest, ArgmaxTakesTheFirstOfTheLargest) {
  const std::int64_t width = IsEmulated() ? 1000 : 32000;
  const std::int64_t num_rows = 6;
  std::vector<double> values;
  const auto row = [&](std::int64_t i) { return values.begin() + i * width; };
  for (std::int64_t i = 0; i < num_rows * width; ++i) values.push_back(random_.Uniform());
  *(row(0) + width - 1) = 2;
  *row(1) = 2;
  *(row(2) + 700) = *(row(2) + 300) = *(row(2) + 301) = 2;
  std::fill(row(3), row(4), 1.5);
  std::fill(row(4), row(5), -std::numeric_limits<double>::infinity());
  std::fill(row(5), row(5) + width, -3.0);
  *(row(5) + 17) = -2;
  Mirror logits = MakeElements(values), indices = MakePoisoned(num_rows * 4);
  const auto on = [&](Side side) {
    return ArgmaxParams{.type = type(),
                        .num_rows = num_rows,
                        .width = width,
                        .logits = logits.On(side),
                        .indices = indices.On<std::int32_t>(side)};
  };
  backend_->Argmax(on(Side::kDevice));
  const auto actual = ReadArray<std::int32_t>(indices);
  EXPECT_EQ(actual, reference::Argmax(on(Side::kHost)));
  EXPECT_EQ(actual,
            (std::vector<std::int32_t>{static_cast<std::int32_t>(width - 1), 0, 300, 0, 0, 17}));
}

INSTANTIATE_TEST_SUITE_P(Backends, LayerTest, testing::ValuesIn(ListBackendCases()), NameCase);

}  // namespace
}  // namespace sparseserve::kernels
