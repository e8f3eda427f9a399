// Attention over blocks of the pool, and the merge of two partial results. Blocks of full attention
// lie as they do when they were written: block by block, and of a block head by head. Those of
// sparse attention are drawn from four times as many, as the selected ones lie among the cached
// ones.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include "kernels/bench/check.h"
#include "kernels/bench/operations.h"
#include "sim/core/check.h"

namespace sparseserve::bench {
namespace {

using calibration::Work;
using kernels::Buffer;
using kernels::Lane;

constexpr std::int64_t kSelectedAmong = 4;  // times as many blocks
constexpr std::int64_t kNewPart = 5;        // of the selected blocks a fifth is new in each step
// KV of calls that last long enough for a clock; of shorter ones several are timed in a row, and
// each has a place of its own.
constexpr std::int64_t kShortCall = std::int64_t{2} << 20;
constexpr std::byte kNan{0xff};  // all bits set: a NaN in fp32 and in bf16

double Real(std::int64_t value) { return static_cast<double>(value); }

std::shared_ptr<Buffer> Share(Buffer buffer) { return std::make_shared<Buffer>(std::move(buffer)); }

float ScaleOf(const ModelShape& model) {
  return 1 / std::sqrt(static_cast<float>(model.layout.head_dim));
}

// Keys and values of the first `tokens` tokens in these slots, both [tokens, head_dim].
struct KeysValues {
  std::vector<float> keys, values;
};
KeysValues DownloadBlocks(Workbench& workbench, const std::byte* blocks, const std::int32_t* slots,
                          std::int64_t tokens) {
  const kernels::KvLayout& layout = workbench.model().layout;
  const std::int64_t half = std::int64_t{layout.block_tokens} * layout.head_dim;
  KeysValues kv;
  for (std::int64_t i = 0; i * layout.block_tokens < tokens; ++i) {
    const auto block =
        workbench.DownloadElements(blocks + slots[i] * layout.BlockBytes().value(), 2 * half);
    kv.keys.insert(kv.keys.end(), block.begin(), block.begin() + half);
    kv.values.insert(kv.values.end(), block.begin() + half, block.end());
  }
  kv.keys.resize(static_cast<std::size_t>(tokens * layout.head_dim));
  kv.values.resize(kv.keys.size());
  return kv;
}

// Slots of all rows of a call, and the pool that they point into. In random order there are more
// of them, so that a call may begin at a later one.
struct BlockList {
  std::vector<std::int32_t> slots;  // [rows, blocks_per_row], and more
  std::shared_ptr<Buffer> device;
  std::int64_t pool_bytes = 0;
};

std::shared_ptr<BlockList> ListBlocks(Workbench& workbench, std::int64_t rows,
                                      std::int64_t blocks_per_row, std::int64_t spread) {
  auto list = std::make_shared<BlockList>();
  const std::int64_t block = workbench.model().layout.BlockBytes().value();
  const std::int64_t count = rows * blocks_per_row;
  const std::int64_t places = std::min(workbench.input_bytes() / block, spread * count);
  SPARSESERVE_CHECK(places >= count, "the blocks of a call fit into the pool");
  list->slots = Permutation(places, workbench.seed());
  const std::int64_t heads = workbench.model().kv_heads;
  for (std::int64_t i = 0; spread == 1 && i < count; ++i) {
    const std::int64_t row = i / blocks_per_row, of_row = i % blocks_per_row;
    list->slots[i] =
        static_cast<std::int32_t>((row / heads * blocks_per_row + of_row) * heads + row % heads);
  }
  list->device = Share(workbench.Upload(list->slots));
  list->pool_bytes = places * block;
  return list;
}

// Has `call`, attention over `count` of the listed blocks, meet its KV as in a model: that of all
// layers and then all weights, again and again, since what a cache keeps of them depends on what it
// has kept before.
void RepeatAsInAModel(Workbench& workbench, const BlockList& list, std::int64_t count,
                      std::function<kernels::DecodeParams(std::int64_t variant)> params,
                      Call& call) {
  const ModelShape& model = workbench.model();
  const std::int64_t kv_bytes = count * model.layout.BlockBytes().value();
  const std::int64_t places = std::max(model.num_layers, CeilDiv(kShortCall, kv_bytes));
  const std::int64_t spare = std::ssize(list.slots) - count;
  call.enqueue = [&workbench, params = std::move(params), places, count,
                  spare](std::int64_t variant) {
    kernels::DecodeParams decode = params(variant % places);
    const std::int64_t step = variant / places;
    decode.slots += step * CeilDiv(count, kNewPart) % (spare + 1);
    workbench.backend().DecodeAttention(decode);
  };
  call.settle = [&workbench, enqueue = call.enqueue, places](std::int64_t variant) {
    for (std::int64_t i = std::max<std::int64_t>(variant - places, 0); i < variant; ++i) enqueue(i);
    ReadWeights(workbench);
  };
}

Call MakeMerge(Workbench& workbench, std::int64_t rows) {
  const ModelShape& model = workbench.model();
  const std::int64_t row_bytes = model.layout.head_dim * model.element_bytes();
  const std::vector<float> halves(static_cast<std::size_t>(rows), 0.5f);
  const auto lse_a = Share(workbench.Upload(halves));
  const auto lse_b = Share(workbench.Upload(halves));
  Call call;
  call.operation = "merge";
  // a, b and two numbers read, a and one number written.
  call.work = Work::Fragments(rows, Bytes(3 * row_bytes + 3 * 4));
  call.lane = Lane::kCompute;
  call.memory = {lse_a, lse_b};
  const auto params = [&workbench, &model, rows, row_bytes, lse_a, lse_b](std::int64_t variant) {
    return kernels::MergeParams{model.layout.type,     rows,
                                model.layout.head_dim, workbench.Output(variant, rows * row_bytes),
                                lse_a->As<float>(),    workbench.Input(variant, rows * row_bytes),
                                lse_b->As<float>()};
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().Merge(params(variant));
  };
  call.check = [&workbench, &model, params, rows, row_bytes] {
    const kernels::MergeParams merge = params(0);
    const std::int64_t last = rows - 1;
    auto* a = static_cast<std::byte*>(merge.a) + last * row_bytes;
    const auto* b = static_cast<const std::byte*>(merge.b) + last * row_bytes;
    workbench.backend().Copy(Lane::kCompute, a, workbench.Input(1, row_bytes), Bytes(row_bytes));
    const auto before = workbench.DownloadElements(a, model.layout.head_dim);
    const auto other = workbench.DownloadElements(b, model.layout.head_dim);
    const auto lse = workbench.Download<float>(merge.lse_a + last, 1).front();
    workbench.backend().Merge(merge);
    std::vector<double> want(before.size());
    const double weight = 1 / (1 + std::exp(0.5 - double{lse}));  // of a
    for (std::size_t i = 0; i < want.size(); ++i) {
      want[i] = weight * before[i] + (1 - weight) * other[i];
    }
    ExpectClose("merge", model.layout.type, workbench.DownloadElements(a, model.layout.head_dim),
                want);
    const double joined = std::log(std::exp(double{lse}) + std::exp(0.5));
    ExpectClose("merge", kernels::ElementType::kFloat32,
                workbench.Download<float>(merge.lse_a + last, 1), std::vector<double>{joined});
  };
  return call;
}

// Work as CostModel::PrefillAttention counts it: keys and values of [0, end) once, and once more
// for every num_workers query tiles; all causal pairs, and half a tile's tail.
Work PrefillWork(const ModelShape& model, const kernels::DeviceInfo& device, std::int64_t begin,
                 std::int64_t queries) {
  const double rows = Real(std::int64_t{device.query_tile_rows} * device.num_workers);
  const double end = Real(begin + queries);
  const double pairs = (end * (end + 1) - Real(begin) * Real(begin + 1)) / 2;
  const double passes = std::max(1.0, Real(queries) / rows);
  const double bytes =
      Real(model.kv_token_bytes()) * end * passes + Real(model.query_token_bytes()) * Real(queries);
  const double flops = pairs * 4 * Real(model.query_width());
  const double tile = rows * 4 * Real(model.layout.head_dim);
  return {queries, Bytes(static_cast<std::int64_t>(bytes / Real(queries))),
          Bytes(static_cast<std::int64_t>(bytes)), Flops(flops + std::min(tile * end, flops) / 2)};
}

}  // namespace

Call MakeDecode(Workbench& workbench, bool sparse, std::int64_t requests, std::int64_t tokens) {
  const ModelShape& model = workbench.model();
  const std::int64_t rows = requests * model.kv_heads;
  const std::int64_t blocks = tokens / model.layout.block_tokens;
  const std::int64_t queries_bytes = requests * model.query_width() * model.element_bytes();
  const auto list = ListBlocks(workbench, rows, blocks, sparse ? kSelectedAmong : 1);
  const std::vector<std::int32_t> counts(static_cast<std::size_t>(rows),
                                         static_cast<std::int32_t>(blocks));
  const std::vector<std::int32_t> last(counts.size(), model.layout.block_tokens);
  const auto row_blocks = Share(workbench.Upload(counts));
  const auto last_tokens = Share(workbench.Upload(last));

  Call call;
  call.operation = sparse ? "attention.decode_sparse" : "attention.decode_full";
  const std::int64_t request_bytes = model.kv_token_bytes() * tokens + model.query_token_bytes();
  call.work = Work::Fragments(requests, Bytes(request_bytes));
  call.work.flops = Flops(4 * Real(model.query_width()) * Real(tokens) * Real(requests));
  call.lane = Lane::kCompute;
  call.memory = {list->device, row_blocks, last_tokens};
  const auto params = [&workbench, &model, list, row_blocks, last_tokens, requests, blocks,
                       queries_bytes](std::int64_t variant) {
    kernels::DecodeParams decode;
    decode.layout = model.layout;
    decode.num_requests = requests;
    decode.kv_heads = model.kv_heads;
    decode.group = model.group();
    decode.scale = ScaleOf(model);
    decode.queries = workbench.Input(variant + 1, queries_bytes);
    decode.blocks = workbench.Input(variant, list->pool_bytes);
    decode.slots = list->device->As<std::int32_t>();
    decode.slots_stride = blocks;
    decode.row_blocks = row_blocks->As<std::int32_t>();
    decode.last_tokens = last_tokens->As<std::int32_t>();
    decode.max_row_blocks = blocks;
    decode.output = workbench.Output(variant, queries_bytes);
    return decode;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().DecodeAttention(params(variant));
  };
  if (workbench.keeps_weights()) RepeatAsInAModel(workbench, *list, rows * blocks, params, call);
  call.check = [&workbench, &model, list, params, rows, blocks, tokens, queries_bytes,
                name = call.operation] {
    const kernels::DecodeParams decode = params(0);
    workbench.backend().Fill(Lane::kCompute, decode.output, kNan, Bytes(queries_bytes));
    workbench.backend().DecodeAttention(decode);
    const std::int64_t width = model.layout.head_dim;
    const auto queries = workbench.DownloadElements(decode.queries, rows * model.group() * width);
    const auto output = workbench.DownloadElements(decode.output, rows * model.group() * width);
    for (const std::int64_t row : {std::int64_t{0}, rows - 1}) {
      const auto* blocks_of_pool = static_cast<const std::byte*>(decode.blocks);
      const KeysValues kv =
          DownloadBlocks(workbench, blocks_of_pool, list->slots.data() + row * blocks, tokens);
      const std::int64_t at = (row * model.group() + model.group() - 1) * width;
      const auto size = static_cast<std::size_t>(width);
      ExpectClose(name, model.layout.type, {output.data() + at, size},
                  AttendInDouble({queries.data() + at, size}, kv.keys, kv.values, decode.scale));
    }
  };
  return call;
}

Call MakePrefill(Workbench& workbench, std::int64_t queries, std::int64_t context) {
  const ModelShape& model = workbench.model();
  const std::int64_t end = context + queries;
  const std::int64_t blocks = CeilDiv(end, model.layout.block_tokens);
  const std::int64_t queries_bytes = queries * model.query_width() * model.element_bytes();
  const auto list = ListBlocks(workbench, model.kv_heads, blocks, 1);
  Call call;
  call.operation = "attention.prefill";
  call.work = PrefillWork(model, workbench.device(), context, queries);
  call.lane = Lane::kCompute;
  call.memory = {list->device};
  const auto params = [&workbench, &model, list, queries, context, end, blocks,
                       queries_bytes](std::int64_t variant) {
    kernels::PrefillParams prefill;
    prefill.layout = model.layout;
    prefill.kv_heads = model.kv_heads;
    prefill.group = model.group();
    prefill.scale = ScaleOf(model);
    prefill.query_begin = context;
    prefill.num_queries = queries;
    prefill.key_end = end;
    prefill.queries = workbench.Input(variant + 1, queries_bytes);
    prefill.blocks = workbench.Input(variant, list->pool_bytes);
    prefill.slots = list->device->As<std::int32_t>();
    prefill.slots_stride = blocks;
    prefill.output = workbench.Output(variant, queries_bytes);
    return prefill;
  };
  call.enqueue = [&workbench, params](std::int64_t variant) {
    workbench.backend().PrefillAttention(params(variant));
  };
  call.check = [&workbench, &model, list, params, queries, context, blocks, queries_bytes] {
    const kernels::PrefillParams prefill = params(0);
    workbench.backend().Fill(Lane::kCompute, prefill.output, kNan, Bytes(queries_bytes));
    workbench.backend().PrefillAttention(prefill);
    const std::int64_t width = model.layout.head_dim;
    const auto elements = [&](const void* base, std::int64_t at) {
      return workbench.DownloadElements(
          static_cast<const std::byte*>(base) + at * model.element_bytes(), width);
    };
    for (const auto& [query, head] : {std::pair<std::int64_t, std::int32_t>{0, 0},
                                      {queries / 2, model.q_heads - 1},
                                      {queries - 1, model.q_heads / 2}}) {
      const std::int64_t kv_head = head / model.group();
      const KeysValues kv =
          DownloadBlocks(workbench, static_cast<const std::byte*>(prefill.blocks),
                         list->slots.data() + kv_head * blocks, context + query + 1);
      const std::int64_t at = (query * model.q_heads + head) * width;
      ExpectClose("attention.prefill", model.layout.type, elements(prefill.output, at),
                  AttendInDouble(elements(prefill.queries, at), kv.keys, kv.values, prefill.scale));
    }
  };
  return call;
}

std::vector<OperationPlan> PlanAttention(Workbench& workbench) {
  const ModelShape& model = workbench.model();
  const std::int64_t block = model.layout.block_tokens;
  // Tokens of one layer that the pool holds; sparse lists spread over four times their size.
  const std::int64_t tokens = workbench.input_bytes() / model.kv_token_bytes();
  const std::int64_t queries = workbench.output_bytes() / model.query_token_bytes();
  const auto in_blocks = [block](std::int64_t value) { return value / block * block; };
  const auto lengths = [&](std::int64_t most) {
    const std::int64_t end = std::max(in_blocks(most), block);
    return Axis{std::min(std::max(in_blocks(128), block), end), end, block};
  };
  const Axis requests{1, std::clamp<std::int64_t>(tokens / 16384, 8, 64), 1};
  const Axis full = lengths(std::min<std::int64_t>(131072, tokens / requests.most));
  const Axis sparse = lengths(std::min<std::int64_t>(8192, tokens / requests.most / 4));
  std::vector<OperationPlan> plans;
  plans.push_back(
      {"attention.decode_full", requests, full, [&workbench](std::int64_t x, std::int64_t y) {
         return MakeDecode(workbench, false, x, y);
       }});
  plans.push_back(
      {"attention.decode_sparse", requests, sparse,
       [&workbench](std::int64_t x, std::int64_t y) { return MakeDecode(workbench, true, x, y); }});
  const std::int64_t chunk = std::min<std::int64_t>({8192, queries / 2, tokens / 4});
  plans.push_back(
      {"attention.prefill",
       {16, std::max<std::int64_t>(chunk, 16), 1},
       {0, in_blocks(std::min<std::int64_t>(131072, tokens / 2)), block},
       [&workbench](std::int64_t x, std::int64_t y) { return MakePrefill(workbench, x, y); }});
  const std::int64_t rows = std::min<std::int64_t>(queries / 2, 8192) * model.q_heads;
  plans.push_back({"merge",
                   {model.q_heads, rows, 1},
                   {1, 1, 1, {1}},
                   [&workbench](std::int64_t x, std::int64_t) { return MakeMerge(workbench, x); }});
  return plans;
}

}  // namespace sparseserve::bench
