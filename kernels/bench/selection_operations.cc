// Metadata of blocks, scores of metadata, and the choice of the highest scores.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "kernels/bench/check.h"
#include "kernels/bench/operations.h"

namespace sparseserve::bench {
namespace {

using calibration::Work;
using kernels::Buffer;
using kernels::Lane;
using kernels::MetadataKind;

constexpr std::byte kNan{0xff};
constexpr std::int64_t kRowBlocks = 1024;  // of a score row: 32 K tokens in blocks of 32
constexpr std::int32_t kChosen = 64;       // blocks: a budget of 2048 tokens in blocks of 32
constexpr std::int32_t kAlways = 2;        // first and last blocks that are always chosen (ArkVale)

std::shared_ptr<Buffer> Share(Buffer buffer) { return std::make_shared<Buffer>(std::move(buffer)); }

MetadataKind KindOf(std::int64_t vectors) {
  return vectors == 1 ? MetadataKind::kMean : MetadataKind::kCuboidMean;
}

std::vector<double> MetadataInDouble(const kernels::KvLayout& layout, MetadataKind kind,
                                     const std::vector<float>& keys) {
  const std::int64_t width = layout.head_dim;
  std::vector<double> metadata(static_cast<std::size_t>(kernels::MetadataVectors(kind) * width));
  for (std::int64_t i = 0; i < width; ++i) {
    double least = std::numeric_limits<double>::infinity();
    double most = -least;
    double sum = 0;
    for (std::int64_t t = 0; t < layout.block_tokens; ++t) {
      const double key = keys[t * width + i];
      least = std::min(least, key);
      most = std::max(most, key);
      sum += key;
    }
    if (kind == MetadataKind::kMean) {
      metadata[i] = sum / layout.block_tokens;
      continue;
    }
    const double center = (least + most) / 2;
    double radius = 0;
    for (std::int64_t t = 0; t < layout.block_tokens; ++t) {
      radius += std::abs(center - keys[t * width + i]) / layout.block_tokens;
    }
    metadata[i] = center - radius;
    metadata[width + i] = center + radius;
  }
  return metadata;
}

Call MakeMetadata(Workbench& workbench, std::int64_t blocks, std::int64_t vectors) {
  const ModelShape& model = workbench.model();
  const std::int64_t entry_bytes = vectors * model.layout.head_dim * model.element_bytes();
  const std::int64_t block_bytes = model.layout.BlockBytes().value();
  const auto slots =
      std::make_shared<std::vector<std::int32_t>>(Permutation(blocks, workbench.seed()));
  std::vector<std::int64_t> entries(static_cast<std::size_t>(blocks));
  std::iota(entries.begin(), entries.end(), 0);
  const auto device_slots = Share(workbench.Upload(*slots));
  const auto device_entries = Share(workbench.Upload(entries));

  Call call;
  call.operation = "metadata";
  // The keys, which are half of a block, and what is written.
  call.work = Work::Fragments(blocks, Bytes(block_bytes / 2 + entry_bytes));
  call.lane = Lane::kCompute;
  call.memory = {device_slots, device_entries};
  const auto params = [&workbench, &model, device_slots, device_entries, blocks, vectors,
                       block_bytes, entry_bytes](std::int64_t variant) {
    kernels::MetadataParams metadata;
    metadata.layout = model.layout;
    metadata.kind = KindOf(vectors);
    metadata.blocks = workbench.Input(variant, blocks * block_bytes);
    metadata.slots = device_slots->As<std::int32_t>();
    metadata.entries = device_entries->As<std::int64_t>();
    metadata.num_blocks = blocks;
    metadata.metadata = workbench.Output(variant, blocks * entry_bytes);
    return metadata;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().BuildMetadata(params(variant));
  };
  call.check = [&workbench, &model, params, slots, blocks, vectors, block_bytes, entry_bytes] {
    const kernels::MetadataParams metadata = params(0);
    auto* output = static_cast<std::byte*>(metadata.metadata);
    workbench.backend().Fill(Lane::kCompute, output, kNan, Bytes(blocks * entry_bytes));
    workbench.backend().BuildMetadata(metadata);
    const std::int64_t width = model.layout.head_dim;
    for (const std::int64_t i : {std::int64_t{0}, blocks - 1}) {
      const auto* block = static_cast<const std::byte*>(metadata.blocks) +
                          slots->at(static_cast<std::size_t>(i)) * block_bytes;
      const auto keys = workbench.DownloadElements(block, model.layout.block_tokens * width);
      ExpectClose("metadata", model.layout.type,
                  workbench.DownloadElements(output + i * entry_bytes, vectors * width),
                  MetadataInDouble(model.layout, KindOf(vectors), keys));
    }
  };
  return call;
}

// The scores of one entry's query heads, and their mean.
double ScoreInDouble(const std::vector<float>& queries, const std::vector<float>& entry,
                     std::int64_t width) {
  const bool has_two = static_cast<std::int64_t>(entry.size()) == 2 * width;
  double sum = 0;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const std::size_t channel = i % static_cast<std::size_t>(width);
    const double a = double{queries[i]} * entry[channel];
    const double b = has_two ? double{queries[i]} * entry[channel + width] : a;
    sum += std::max(a, b);
  }
  return sum / (static_cast<double>(queries.size()) / static_cast<double>(width));
}

Call MakeScore(Workbench& workbench, std::int64_t entries, std::int64_t vectors) {
  const ModelShape& model = workbench.model();
  const std::int64_t width = model.layout.head_dim;
  const std::int64_t entry_bytes = vectors * width * model.element_bytes();
  const std::int64_t requests =
      std::clamp<std::int64_t>(entries / (model.kv_heads * kRowBlocks), 1, 64);
  const std::int64_t rows = std::min<std::int64_t>(requests * model.kv_heads, entries);
  std::vector<std::int64_t> begins;
  std::vector<std::int32_t> counts;
  std::int64_t next = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    begins.push_back(next);
    counts.push_back(static_cast<std::int32_t>(entries / rows + (row < entries % rows ? 1 : 0)));
    next += counts.back();
  }
  const std::int64_t stride = CeilDiv(counts.front(), 4) * 4;
  const auto row_begin = Share(workbench.Upload(begins));
  const auto row_blocks = Share(workbench.Upload(counts));
  const std::int64_t query_bytes = model.group() * width * model.element_bytes();

  Call call;
  call.operation = "score";
  call.work = Work::Fragments(entries, Bytes(entry_bytes));
  call.lane = Lane::kCompute;
  call.memory = {row_begin, row_blocks};
  const auto params = [&workbench, &model, row_begin, row_blocks, rows, stride, entries, vectors,
                       width, entry_bytes, query_bytes](std::int64_t variant) {
    kernels::ScoreParams score;
    score.type = model.layout.type;
    score.head_dim = model.layout.head_dim;
    score.group = model.group();
    score.kind = KindOf(vectors);
    score.num_rows = rows;
    score.queries = workbench.Input(variant + 1, rows * query_bytes);
    score.metadata = workbench.Input(variant, entries * entry_bytes);
    score.row_begin = row_begin->As<std::int64_t>();
    score.row_blocks = row_blocks->As<std::int32_t>();
    score.scores = reinterpret_cast<float*>(workbench.Output(variant, rows * stride * 4));
    score.row_stride = stride;
    return score;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().Score(params(variant));
  };
  call.check = [&workbench, params, begins, counts, rows, stride, vectors, width, entry_bytes,
                query_bytes, group = model.group()] {
    const kernels::ScoreParams score = params(0);
    workbench.backend().Fill(Lane::kCompute, score.scores, kNan, Bytes(rows * stride * 4));
    workbench.backend().Score(score);
    for (const std::int64_t row : {std::int64_t{0}, rows - 1}) {
      const auto queries = workbench.DownloadElements(
          static_cast<const std::byte*>(score.queries) + row * query_bytes, group * width);
      const std::int64_t count = counts[static_cast<std::size_t>(row)];
      const auto got = workbench.Download<float>(score.scores + row * stride, count);
      std::vector<float> some;
      std::vector<double> want;
      for (const std::int64_t i : {std::int64_t{0}, count / 2, count - 1}) {
        const auto* entry = static_cast<const std::byte*>(score.metadata) +
                            (begins[static_cast<std::size_t>(row)] + i) * entry_bytes;
        some.push_back(got[static_cast<std::size_t>(i)]);
        want.push_back(
            ScoreInDouble(queries, workbench.DownloadElements(entry, vectors * width), width));
      }
      ExpectClose("score", kernels::ElementType::kFloat32, some, want);
    }
  };
  return call;
}

// The rule of TopKParams, by sorting.
std::vector<std::int32_t> ChooseBySorting(const std::vector<float>& scores, std::int32_t k) {
  const auto count = static_cast<std::int32_t>(scores.size());
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const auto always = [count](std::int32_t i) { return i < kAlways || i >= count - kAlways; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    if (always(a) != always(b)) return always(a);
    return !always(a) && scores[a] > scores[b];
  });
  order.resize(std::min<std::size_t>(order.size(), static_cast<std::size_t>(k)));
  std::sort(order.begin(), order.end());
  order.resize(static_cast<std::size_t>(k), -1);
  return order;
}

}  // namespace

Call MakeTopK(Workbench& workbench, std::int64_t rows, std::int64_t blocks_per_row,
              std::int32_t k) {
  const std::vector<std::int32_t> counts(static_cast<std::size_t>(rows),
                                         static_cast<std::int32_t>(blocks_per_row));
  const auto row_blocks = Share(workbench.Upload(counts));
  const std::int64_t scores_bytes = rows * blocks_per_row * 4;
  Call call;
  call.operation = "topk";
  call.work = Work::Fragments(rows, Bytes(blocks_per_row * 4));
  call.lane = Lane::kCompute;
  call.memory = {row_blocks};
  const auto params = [&workbench, row_blocks, rows, blocks_per_row, scores_bytes,
                       k](std::int64_t variant) {
    kernels::TopKParams topk;
    topk.num_rows = rows;
    // Two bf16 numbers of the pool make one finite fp32 number.
    topk.scores = reinterpret_cast<const float*>(workbench.Input(variant, scores_bytes));
    topk.row_stride = blocks_per_row;
    topk.row_blocks = row_blocks->As<std::int32_t>();
    topk.k = k;
    topk.num_first = kAlways;
    topk.num_last = kAlways;
    topk.indices = reinterpret_cast<std::int32_t*>(workbench.Output(variant, rows * k * 4));
    return topk;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().TopK(params(variant));
  };
  call.check = [&workbench, params, rows, blocks_per_row, k] {
    const kernels::TopKParams topk = params(0);
    workbench.backend().Fill(Lane::kCompute, topk.indices, kNan, Bytes(rows * k * 4));
    workbench.backend().TopK(topk);
    for (const std::int64_t row : {std::int64_t{0}, rows - 1}) {
      const auto scores =
          workbench.Download<float>(topk.scores + row * blocks_per_row, blocks_per_row);
      const auto got = workbench.Download<std::int32_t>(topk.indices + row * k, k);
      const auto want = ChooseBySorting(scores, k);
      ExpectSameBytes("topk", row, std::as_bytes(std::span(got)), std::as_bytes(std::span(want)));
    }
  };
  return call;
}

std::vector<OperationPlan> PlanSelection(Workbench& workbench) {
  const ModelShape& model = workbench.model();
  const std::int64_t input = workbench.input_bytes();
  const Axis vectors{1, 2, 1, {1, 2}};
  const std::int64_t vector_bytes = model.layout.head_dim * model.element_bytes();
  const std::int64_t blocks =
      std::min<std::int64_t>(32768, input / model.layout.BlockBytes().value() / 2);
  const std::int64_t entries =
      std::min<std::int64_t>(std::int64_t{1} << 20, input / vector_bytes / 4);
  std::vector<OperationPlan> plans;
  plans.push_back(
      {"metadata", {1, blocks, 1}, vectors, [&workbench](std::int64_t x, std::int64_t y) {
         return MakeMetadata(workbench, x, y);
       }});
  plans.push_back(
      {"score",
       {model.kv_heads * 16, entries, model.kv_heads},
       vectors,
       [&workbench](std::int64_t x, std::int64_t y) { return MakeScore(workbench, x, y); }});
  plans.back().x.most = entries / model.kv_heads * model.kv_heads;
  plans.push_back(
      {"topk", {1, 1024, 1}, {64, 8192, 4}, [&workbench](std::int64_t x, std::int64_t y) {
         return MakeTopK(workbench, x, y, kChosen);
       }});
  return plans;
}

}  // namespace sparseserve::bench
