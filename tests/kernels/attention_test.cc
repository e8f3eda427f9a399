// Decode and prefill attention and their merge against the reference, and against each other.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/attention_cases.h"

namespace sparseserve::kernels {
namespace {

using Rows = std::vector<std::vector<std::int32_t>>;

std::vector<std::int32_t> Range(std::int32_t begin, std::int32_t end) {
  std::vector<std::int32_t> values;
  for (std::int32_t i = begin; i < end; ++i) values.push_back(i);
  return values;
}

std::string Describe(const KvLayout& layout, std::int32_t group) {
  return "head_dim " + std::to_string(layout.head_dim) + ", block_tokens " +
         std::to_string(layout.block_tokens) + ", group " + std::to_string(group);
}

TEST_P(AttentionTest, DecodeOfEveryKindOfRow) {
  // Two requests of four KV heads: empty, one token, one block, a partial block, missing blocks in
  // the middle and at the end, nothing but missing blocks, repeated blocks, many blocks.
  const Rows rows = {{}, {3}, {0}, {5, 2}, {1, -1, 4, -1}, {-1, -1}, {2, 2, 2}, Range(0, 11)};
  for (const std::int32_t head_dim : HeadDims()) {
    for (const std::int32_t block_tokens : {16, 32, 64}) {
      for (const std::int32_t group : Groups()) {
        if (IsEmulated() && (block_tokens == 64 || head_dim == 64) && group != 4) continue;
        const KvLayout layout = Layout(block_tokens, head_dim);
        const std::vector<std::int32_t> last_tokens = {
            block_tokens, 1, block_tokens, 5, 7, 9, 13, block_tokens - 1};
        DecodeCase decode = MakeDecode(layout, 4, group, rows, last_tokens, 11);
        CheckDecode(decode, Describe(layout, group));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(AttentionTest, DecodeOfLongRows) {
  const std::int32_t num_blocks = IsEmulated() ? 40 : 500;
  const KvLayout layout = Layout(32, 128);
  Rows rows = {Range(0, num_blocks), Range(num_blocks / 3, num_blocks), Range(0, 1)};
  DecodeCase decode = MakeDecode(layout, 1, 4, rows, {32, 17, 4}, num_blocks);
  CheckDecode(decode, "long rows");
}

TEST_P(AttentionTest, DecodeWithoutLseGivesTheSameOutput) {
  DecodeCase decode = MakeDecode(Layout(16, 64), 1, 4, {Range(0, 5)}, {11}, 5);
  backend_->DecodeAttention(decode.On(Side::kDevice));
  const auto output = ReadBytes(decode.output);
  Reset(decode.output);
  DecodeParams params = decode.On(Side::kDevice);
  params.lse = nullptr;
  backend_->DecodeAttention(params);
  EXPECT_EQ(ReadBytes(decode.output), output);
}

TEST_P(AttentionTest, DecodeKeepsLargeScoresFinite) {
  // Scores reach a thousand, where exp overflows unless the maximum is taken off first.
  const KvLayout layout = Layout(32, 64);
  DecodeCase decode = MakeDecode(layout, 1, 4, {Range(0, 6)}, {20}, 6);
  decode.shape.scale = 20;
  CheckDecode(decode, "large scores");
  for (const float lse : ReadArray<float>(decode.lse)) EXPECT_GT(lse, 100);
}

TEST_P(AttentionTest, PrefillOfEveryShape) {
  struct Shape {
    std::int64_t query_begin, num_tokens;
  };
  const std::vector<Shape> shapes = {{0, 0}, {0, 1}, {0, 33}, {40, 41}, {37, 100}};
  for (const std::int32_t head_dim : HeadDims()) {
    for (const std::int32_t block_tokens : {16, 32, 64}) {
      for (const std::int32_t group : Groups()) {
        if (IsEmulated() && (block_tokens != 32 || head_dim == 64) && group != 4) continue;
        for (const Shape& shape : shapes) {
          const KvLayout layout = Layout(block_tokens, head_dim);
          PrefillCase prefill = MakePrefill(layout, 2, group, shape.query_begin, shape.num_tokens);
          CheckPrefill(prefill, Describe(layout, group) + ", tokens " +
                                    std::to_string(shape.query_begin) + " to " +
                                    std::to_string(shape.num_tokens));
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(AttentionTest, PrefillSeesNoKeyBeyondItsRange) {
  PrefillCase prefill = MakePrefill(Layout(16, 64), 1, 4, 0, 100);
  prefill.shape.key_begin = 32;  // queries below see nothing
  prefill.shape.key_end = 71;    // those above not all before them
  CheckPrefill(prefill, "keys 32 to 71");
  EXPECT_EQ(ReadArray<float>(prefill.lse)[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(ReadElements(prefill.output)[0], 0);
}

TEST_P(AttentionTest, MergedPartsAreTheWhole) {
  const KvLayout layout = Layout(32, 64);
  const std::int64_t num_tokens = 150;
  PrefillCase prefill = MakePrefill(layout, 2, 4, 0, num_tokens);
  Mirror output = MakePoisonedElements(num_tokens * 8 * layout.head_dim);
  Mirror lse = MakePoisoned(num_tokens * 8 * 4);

  PrefillParams first = prefill.On(Side::kDevice), second = first;
  first.key_end = second.key_begin = 64;
  second.output = output.On(Side::kDevice);
  second.lse = lse.On<float>(Side::kDevice);
  backend_->PrefillAttention(first);
  backend_->PrefillAttention(second);
  backend_->Merge({.type = type(),
                   .num_rows = num_tokens * 8,
                   .head_dim = layout.head_dim,
                   .a = first.output,
                   .lse_a = first.lse,
                   .b = second.output,
                   .lse_b = second.lse});
  reference::Attention whole = reference::PrefillAttention(prefill.On(Side::kHost));
  // The parts are stored once more than the whole, and no part is larger than the largest value.
  const double unit = type() == ElementType::kFloat32 ? 0x1p-22 : 0x1p-7;
  for (auto& value : whole.output) value.bound += unit * 2;
  for (auto& value : whole.lse) value.bound += 0x1p-18;
  ExpectNear(whole.output, ReadElements(prefill.output), "output");
  const auto joined = ReadArray<float>(prefill.lse);
  ExpectNear(whole.lse, {joined.begin(), joined.end()}, "lse");
}

TEST_P(AttentionTest, MergeOfEveryKindOfRow) {
  const float none = -std::numeric_limits<float>::infinity();
  const std::vector<float> lse_a = {1, 3, none, 2, none, -80, 500};
  const std::vector<float> lse_b = {1, -2, 4, none, none, 80, 499.5f};
  for (const std::int32_t head_dim : HeadDims()) {
    const auto num_rows = static_cast<std::int64_t>(lse_a.size());
    Mirror a = MakeRandom(num_rows * head_dim), b = MakeRandom(num_rows * head_dim);
    Mirror first = MakeArray(lse_a), second = MakeArray(lse_b);
    const auto on = [&](Side side) {
      return MergeParams{.type = type(),
                         .num_rows = num_rows,
                         .head_dim = head_dim,
                         .a = a.On(side),
                         .lse_a = first.On<float>(side),
                         .b = b.On(side),
                         .lse_b = second.On<float>(side)};
    };
    backend_->Merge(on(Side::kDevice));
    const reference::Attention expected = reference::Merge(on(Side::kHost));
    ExpectNear(expected.output, ReadElements(a), "output");
    const auto lse = ReadArray<float>(first);
    ExpectNear(expected.lse, {lse.begin(), lse.end()}, "lse");
  }
}

TEST_P(AttentionTest, MergeReadsNothingOfARowThatCountsForNothing) {
  const float none = -std::numeric_limits<float>::infinity();
  Mirror a = MakePoisonedElements(2 * 64), b = MakeRandom(2 * 64);
  Mirror lse_a = MakeArray<float>({none, none}), lse_b = MakeArray<float>({2, -3});
  backend_->Merge({.type = type(),
                   .num_rows = 2,
                   .head_dim = 64,
                   .a = a.On(Side::kDevice),
                   .lse_a = lse_a.On<float>(Side::kDevice),
                   .b = b.On(Side::kDevice),
                   .lse_b = lse_b.On<float>(Side::kDevice)});
  EXPECT_EQ(ReadElements(a), ReadElements(b));
  EXPECT_EQ(ReadArray<float>(lse_a), (std::vector<float>{2, -3}));
}

// --- equal bits

TEST_P(AttentionTest, DecodeOfARowDoesNotDependOnTheOthers) {
  if (!IsCpu()) GTEST_SKIP() << "a GPU splits rows by how many there are";
  const KvLayout layout = Layout(32, 128);
  DecodeCase many =
      MakeDecode(layout, 2, 4, {Range(0, 9), {1}, Range(3, 8), Range(2, 12)}, {7, 32, 20, 32}, 12);
  backend_->DecodeAttention(many.On(Side::kDevice));
  const auto expected = ReadBytes(many.output);

  DecodeParams last = many.On(Side::kDevice);  // the second request alone
  const std::int64_t request_bytes = 8 * layout.head_dim * ElementBytes(type());
  last.num_requests = 1;
  last.queries = many.queries.On<std::byte>(Side::kDevice) + request_bytes;
  last.output = many.output.On<std::byte>(Side::kDevice) + request_bytes;
  last.lse = nullptr;
  last.slots += 2 * last.slots_stride;
  last.row_blocks += 2;
  last.last_tokens += 2;
  Reset(many.output);
  backend_->DecodeAttention(last);
  const auto alone = ReadBytes(many.output);
  EXPECT_TRUE(
      std::equal(alone.begin() + request_bytes, alone.end(), expected.begin() + request_bytes));
}

TEST_P(AttentionTest, ChunkedPrefillHasTheBitsOfWholePrefill) {
  if (!IsCpu()) GTEST_SKIP() << "promised by the CPU backend";
  for (const std::int32_t block_tokens : {16, 32, 64}) {
    const KvLayout layout = Layout(block_tokens, 128);
    const std::int64_t num_tokens = 203, token_size = 2 * 4 * layout.head_dim;
    PrefillCase prefill = MakePrefill(layout, 2, 4, 0, num_tokens);
    backend_->PrefillAttention(prefill.On(Side::kDevice));
    const auto whole = ReadBytes(prefill.output);
    const auto whole_lse = ReadBytes(prefill.lse);
    Reset(prefill.output);
    Reset(prefill.lse);
    for (std::int64_t begin = 0; begin < num_tokens;) {
      const std::int64_t end = std::min(num_tokens, begin + 1 + begin / 2);
      PrefillParams chunk = prefill.On(Side::kDevice);
      chunk.query_begin = begin;
      chunk.num_queries = end - begin;
      chunk.key_end = end;
      const std::int64_t offset = begin * token_size * ElementBytes(type());
      chunk.queries = prefill.queries.On<std::byte>(Side::kDevice) + offset;
      chunk.output = prefill.output.On<std::byte>(Side::kDevice) + offset;
      chunk.lse += begin * 8;
      backend_->PrefillAttention(chunk);
      begin = end;
    }
    EXPECT_EQ(ReadBytes(prefill.output), whole);
    EXPECT_EQ(ReadBytes(prefill.lse), whole_lse);
  }
}

TEST_P(AttentionTest, DecodeOverAllBlocksHasTheBitsOfPrefill) {
  if (!IsCpu()) GTEST_SKIP() << "promised by the CPU backend";
  for (const std::int32_t block_tokens : {16, 32, 64}) {
    const KvLayout layout = Layout(block_tokens, 64);
    PrefillCase prefill = MakePrefill(layout, 3, 2, 148, 149);
    backend_->PrefillAttention(prefill.On(Side::kDevice));
    const auto expected = ReadBytes(prefill.output);
    Reset(prefill.output);

    const PrefillParams& shape = prefill.shape;
    const auto num_blocks = static_cast<std::int32_t>(shape.slots_stride);
    const std::int32_t last = 149 - (num_blocks - 1) * block_tokens;
    Mirror row_blocks = MakeArray(std::vector<std::int32_t>(3, num_blocks));
    Mirror last_tokens = MakeArray(std::vector<std::int32_t>(3, last));
    backend_->DecodeAttention({.layout = layout,
                               .num_requests = 1,
                               .kv_heads = 3,
                               .group = 2,
                               .scale = shape.scale,
                               .queries = prefill.queries.On(Side::kDevice),
                               .blocks = prefill.blocks.On(Side::kDevice),
                               .slots = prefill.slots.On<std::int32_t>(Side::kDevice),
                               .slots_stride = shape.slots_stride,
                               .row_blocks = row_blocks.On<std::int32_t>(Side::kDevice),
                               .last_tokens = last_tokens.On<std::int32_t>(Side::kDevice),
                               .max_row_blocks = num_blocks,
                               .output = prefill.output.On(Side::kDevice)});
    EXPECT_EQ(ReadBytes(prefill.output), expected);
  }
}

TEST_P(AttentionTest, TheNumberOfThreadsChangesNoBit) {
  if (!IsCpu()) GTEST_SKIP() << "about threads of a CPU";
  std::vector<std::vector<std::byte>> results;
  for (const int num_threads : {1, 3}) {
    backend_ = MakeTestBackend(GetParam().backend, num_threads);
    random_ = RandomStream(7, "threads");
    DecodeCase decode =
        MakeDecode(Layout(32, 64), 1, 4, {Range(0, 9), {}, Range(3, 8), {2}}, {7, 1, 20, 32}, 12);
    PrefillCase prefill = MakePrefill(Layout(32, 64), 2, 4, 10, 90);
    backend_->DecodeAttention(decode.On(Side::kDevice));
    backend_->PrefillAttention(prefill.On(Side::kDevice));
    auto result = ReadBytes(decode.output);
    const auto more = ReadBytes(prefill.output);
    result.insert(result.end(), more.begin(), more.end());
    results.push_back(std::move(result));
  }
  EXPECT_EQ(results[0], results[1]);
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, testing::ValuesIn(ListBackendCases()), NameCase);

}  // namespace
}  // namespace sparseserve::kernels
