#include "tests/kernels/attention_cases.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sparseserve::kernels {

DecodeCase AttentionTest::MakeDecode(const KvLayout& layout, std::int32_t kv_heads,
                                     std::int32_t group,
                                     const std::vector<std::vector<std::int32_t>>& rows,
                                     const std::vector<std::int32_t>& last_tokens,
                                     std::int64_t num_slots) {
  const auto num_rows = static_cast<std::int64_t>(rows.size());
  std::size_t stride = 1;
  std::vector<std::int32_t> row_blocks;
  for (const auto& row : rows) {
    stride = std::max(stride, row.size() + 1);
    row_blocks.push_back(static_cast<std::int32_t>(row.size()));
  }
  std::vector<std::int32_t> slots;
  for (auto row : rows) {
    row.resize(stride, 1 << 30);  // nobody may read these
    slots.insert(slots.end(), row.begin(), row.end());
  }
  const std::int64_t q_heads = num_rows * group;
  DecodeCase decode{
      .shape = {.layout = layout,
                .num_requests = num_rows / kv_heads,
                .kv_heads = kv_heads,
                .group = group,
                .scale = static_cast<float>(1 / std::sqrt(layout.head_dim)),
                .slots_stride = static_cast<std::int64_t>(stride),
                .max_row_blocks = *std::max_element(row_blocks.begin(), row_blocks.end())},
      .queries = MakeRandom(q_heads * layout.head_dim, 2),
      .blocks = MakeBlocks(layout, num_slots),
      .slots = MakeArray(slots),
      .row_blocks = MakeArray(row_blocks),
      .last_tokens = MakeArray(last_tokens),
      .output = MakePoisonedElements(q_heads * layout.head_dim),
      .lse = MakePoisoned(q_heads * 4)};
  return decode;
}

PrefillCase AttentionTest::MakePrefill(const KvLayout& layout, std::int32_t kv_heads,
                                       std::int32_t group, std::int64_t query_begin,
                                       std::int64_t num_tokens) {
  const std::int64_t num_blocks = (num_tokens + layout.block_tokens - 1) / layout.block_tokens;
  const std::int64_t num_slots = kv_heads * num_blocks;
  std::vector<std::int32_t> slots(static_cast<std::size_t>(num_slots));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i] = static_cast<std::int32_t>(i);
    const auto other = random_.UniformInt(0, static_cast<std::int64_t>(i));
    std::swap(slots[i], slots[static_cast<std::size_t>(other)]);
  }
  const std::int64_t num_queries = num_tokens - query_begin;
  const std::int64_t q_heads = std::int64_t{kv_heads} * group;
  return {.shape = {.layout = layout,
                    .kv_heads = kv_heads,
                    .group = group,
                    .scale = static_cast<float>(1 / std::sqrt(layout.head_dim)),
                    .query_begin = query_begin,
                    .num_queries = num_queries,
                    .key_begin = 0,
                    .key_end = num_tokens,
                    .slots_stride = num_blocks},
          .queries = MakeRandom(num_queries * q_heads * layout.head_dim, 2),
          .blocks = MakeBlocks(layout, std::max<std::int64_t>(num_slots, 1)),
          .slots = MakeArray(slots),
          .output = MakePoisonedElements(num_queries * q_heads * layout.head_dim),
          .lse = MakePoisoned(num_queries * q_heads * 4)};
}

void AttentionTest::CheckDecode(DecodeCase& decode, const std::string& what) {
  backend_->DecodeAttention(decode.On(Side::kDevice));
  const auto output = ReadBytes(decode.output);
  const auto lse = ReadArray<float>(decode.lse);
  const reference::Attention expected = reference::DecodeAttention(decode.On(Side::kHost));
  ExpectNear(expected.output, ReadElements(decode.output), what + " output");
  ExpectNear(expected.lse, {lse.begin(), lse.end()}, what + " lse");
  Reset(decode.output);
  backend_->DecodeAttention(decode.On(Side::kDevice));
  EXPECT_EQ(ReadBytes(decode.output), output) << what << ", a second run";
}

void AttentionTest::CheckPrefill(PrefillCase& prefill, const std::string& what) {
  backend_->PrefillAttention(prefill.On(Side::kDevice));
  const auto output = ReadBytes(prefill.output);
  const auto lse = ReadArray<float>(prefill.lse);
  const reference::Attention expected = reference::PrefillAttention(prefill.On(Side::kHost));
  ExpectNear(expected.output, ReadElements(prefill.output), what + " output");
  ExpectNear(expected.lse, {lse.begin(), lse.end()}, what + " lse");
  Reset(prefill.output);
  backend_->PrefillAttention(prefill.On(Side::kDevice));
  EXPECT_EQ(ReadBytes(prefill.output), output) << what << ", a second run";
}

}  // namespace sparseserve::kernels
