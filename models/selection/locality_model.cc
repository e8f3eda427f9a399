#include "models/selection/locality_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/core/check.h"
#include "sim/core/error.h"
#include "sim/core/hash.h"

namespace sparseserve::selection {
namespace {

constexpr std::uint32_t kBitmapStepWords = 16;  // lanes are laid out anew every 512 blocks

// Evenly spaced over [1 - variation, 1 + variation], in random order: the mean is 1.
std::vector<double> DrawChangeScales(std::int64_t num_layers, std::int64_t dense_layers,
                                     double variation, std::uint64_t seed) {
  std::vector<double> scales(num_layers, 1.0);
  const std::int64_t sparse = num_layers - dense_layers;
  CounterRng rng(HashCombine(seed, HashBytes("selection.per_layer_variation")));
  for (std::int64_t i = 0; i < sparse; ++i) {
    const double position =
        sparse > 1 ? static_cast<double>(2 * i) / static_cast<double>(sparse - 1) - 1 : 0;
    scales[dense_layers + i] = 1 + variation * position;
  }
  for (std::int64_t i = sparse - 1; i > 0; --i)
    std::swap(scales[dense_layers + i],
              scales[dense_layers + rng.Below(static_cast<std::uint32_t>(i + 1))]);
  return scales;
}

// Room for the blocks that leave in kMaxWindow steps: the mean, three standard deviations, and some
// that slide out of the recent window. Rarely a block finds no room, and is then forgotten.
std::uint32_t RingBlocks(double leaving_per_step) {
  const double mean = leaving_per_step * kMaxWindow;
  const auto blocks = static_cast<std::uint32_t>(mean + 3 * std::sqrt(mean)) + 4;
  return std::bit_ceil(blocks);
}

// A batch of requests does not fit into the L2 cache. Fetching the next lane while this one steps
// took 20 % off with 16 requests (Xeon at 2.8 GHz, November 2026, tests/perf/locality_model_perf).
void PrefetchLane(const std::uint32_t* words, const LaneLayout& layout) {
  constexpr std::size_t kWordsPerCacheLine = 64 / sizeof(std::uint32_t);
  for (std::size_t i = 0; i < layout.words(); i += kWordsPerCacheLine)
    __builtin_prefetch(words + i, 1);
}

InputError ConfigError(const std::string& key, const std::string& what, const std::string& expected,
                       const std::string& hint = "") {
  return InputError({{}, "selection.locality." + key, what, expected, hint});
}

}  // namespace

LocalityConfig LocalityPreset(std::string_view name) {
  LocalityConfig config;
  if (name == "flat-tail") return config;
  if (name == "shadowkv-60") {
    config.overlap = {{1, 0.60}, {12, 0.7068}, {16, 0.7099}};
    return config;
  }
  throw ConfigError("preset", "unknown preset '" + std::string(name) + "'",
                    "one of flat-tail, shadowkv-60");
}

std::vector<std::string> LocalityPresetNames() { return {"flat-tail", "shadowkv-60"}; }

LocalityModel::LocalityModel(const SelectionPolicy& policy, const LocalityConfig& config,
                             std::int64_t num_layers, std::int64_t heads)
    : policy_(policy),
      curves_(config.overlap),
      popularity_(config.skew),
      seed_(config.seed),
      heads_(static_cast<std::uint32_t>(heads)) {
  Validate(policy);
  SPARSESERVE_CHECK(num_layers >= 1 && heads >= 1, "a model has layers and heads");
  const std::int64_t budget = BudgetBlocks(policy);
  if (budget > std::numeric_limits<std::int32_t>::max())
    throw InputError({{}, "selection.budget_tokens", "too many blocks", "below 2^31 blocks", ""});
  budget_ = static_cast<std::uint32_t>(budget);
  const double variation = config.per_layer_variation;
  if (!(variation >= 0 && variation <= 1))
    throw ConfigError("per_layer_variation", "found " + std::to_string(variation), "0 to 1");

  const double always =
      static_cast<double>(policy.sink_blocks + policy.recent_blocks) / static_cast<double>(budget);
  const double most_change = (1 + variation) * (1 - curves_.LeastAdjacent());
  if (most_change > 1 - always + 1e-9)
    throw ConfigError("overlap",
                      "the most variable layer would keep " + std::to_string(1 - most_change),
                      "at least the always-selected share, " + std::to_string(always),
                      "raise the overlap, or lower per_layer_variation or sink and recent blocks");
  ring_blocks_ = RingBlocks(most_change * static_cast<double>(budget));
  scratch_.positions.resize(budget_);
  layer_change_scale_ = DrawChangeScales(num_layers, std::min(policy.dense_layers, num_layers),
                                         variation, config.seed);
}

void LocalityModel::BeginRequest(RequestIndex request, std::uint64_t request_key,
                                 std::int64_t prompt_blocks) {
  SPARSESERVE_CHECK(request >= 0 && prompt_blocks >= 0, "not a request");
  if (static_cast<std::size_t>(request) >= requests_.size()) requests_.resize(request + 1);
  Request& r = requests_[request];
  SPARSESERVE_CHECK(!r.active, "the request has begun already");
  r.active = true;
  r.key = HashCombine(HashCombine(seed_, HashBytes("selection.locality")), request_key);
  r.layers.assign(layer_change_scale_.size(), Layer{});
}

void LocalityModel::EndRequest(RequestIndex request) { requests_[request] = Request{}; }

void LocalityModel::Step(RequestIndex request, std::int64_t layer_index,
                         std::int64_t context_blocks, SelectionDelta& delta) {
  Request& r = requests_[request];
  SPARSESERVE_CHECK(r.active, "the request has not begun");
  Layer& layer = r.layers[layer_index];
  SPARSESERVE_CHECK(context_blocks >= 1 && context_blocks >= layer.context,
                    "the context never shrinks");
  if (context_blocks > std::numeric_limits<Unit>::max() / heads_)
    throw InputError({{},
                      "selection.block_tokens",
                      std::to_string(context_blocks) + " blocks of " + std::to_string(heads_) +
                          " heads are too many units",
                      "below 2^32 units in a layer of a request",
                      "take larger blocks"});
  const auto context = static_cast<std::uint32_t>(context_blocks);
  if (layer_index < policy_.dense_layers || context <= budget_) {
    SelectAllNew(layer, context, delta);
  } else {
    const std::uint64_t step_key =
        HashCombine(HashCombine(r.key, static_cast<std::uint64_t>(layer_index)), layer.steps);
    StepSparse(layer, step_key, layer_change_scale_[layer_index], context, delta);
  }
  layer.context = context;
  ++layer.steps;
}

std::int64_t LocalityModel::RequestBytes(RequestIndex request) const {
  std::size_t bytes = 0;
  for (const Layer& layer : requests_[request].layers)
    bytes += sizeof(Layer) + layer.lanes.capacity() * sizeof(std::uint32_t);
  return static_cast<std::int64_t>(bytes);
}

void LocalityModel::SelectAllNew(const Layer& layer, std::uint32_t context,
                                 SelectionDelta& delta) const {
  const std::size_t old_size = delta.added.size();
  delta.added.resize(old_size + std::size_t{context - layer.context} * heads_);
  std::iota(delta.added.begin() + old_size, delta.added.end(), layer.context * heads_);
}

void LocalityModel::StepSparse(Layer& layer, std::uint64_t step_key, double change_scale,
                               std::uint32_t context, SelectionDelta& delta) {
  const bool starts = layer.lanes.empty();
  if (starts) layer.first_sparse_step = layer.steps;
  const std::uint32_t age = layer.steps - layer.first_sparse_step;
  const auto interval = static_cast<std::uint32_t>(policy_.reuse_interval);
  const std::uint32_t time = age / interval;
  const bool chooses = age % interval == 0;
  GrowLanes(layer, context);
  if (chooses && !starts) UpdatePlan(layer, change_scale, context);

  const auto sinks = static_cast<Block>(policy_.sink_blocks);
  const auto recent = static_cast<Block>(policy_.recent_blocks);
  DynamicRange range{sinks, context - recent, sinks, std::min(layer.context, context - recent)};
  if (!starts) range.leaving_begin = std::min(layer.context - recent, range.leaving_end);
  if (starts) range.leaving_end = std::max(range.leaving_end, sinks);
  const Block joins_from = std::max(layer.context, context - recent);

  const std::size_t room = std::size_t{heads_} * (std::size_t{budget_} + recent);
  const std::size_t added = delta.added.size(), removed = delta.removed.size();
  delta.added.resize(added + room);
  delta.removed.resize(removed + room);
  LaneOutput out{delta.added.data() + added, delta.removed.data() + removed, heads_, 0};
  for (; out.head < heads_; ++out.head) {
    std::uint32_t* const words = layer.lanes.data() + out.head * layer.layout.words();
    if (out.head + 1 < heads_) PrefetchLane(words + layer.layout.words(), layer.layout);
    Lane lane(words, layer.layout);
    CounterRng rng(HashCombine(step_key, out.head));
    for (Block block = layer.context; block < sinks; ++block) out.Add(block);
    for (Block block = joins_from; block < context; ++block) out.Add(block);
    if (starts) {
      lane.Start(range, popularity_, rng, out);
    } else if (chooses) {
      lane.Choose(time, range, layer.plan, popularity_, rng, scratch_, out);
    } else if (range.leaving_begin < range.leaving_end) {
      lane.Slide(time, range, out);
    }
  }
  delta.added.resize(out.added - delta.added.data());
  delta.removed.resize(out.removed - delta.removed.data());
}

void LocalityModel::GrowLanes(Layer& layer, std::uint32_t context) const {
  const std::uint32_t words = (context + 31) / 32;
  if (!layer.lanes.empty() && words <= layer.layout.bitmap_words) return;
  LaneLayout layout;
  layout.dynamic_blocks =
      budget_ - static_cast<std::uint32_t>(policy_.sink_blocks + policy_.recent_blocks);
  layout.ring_blocks = ring_blocks_;
  layout.bitmap_words = (words + kBitmapStepWords - 1) / kBitmapStepWords * kBitmapStepWords;
  std::vector<std::uint32_t> lanes(layout.words() * heads_, 0);
  if (!layer.lanes.empty()) {
    const std::size_t old_words = layer.layout.words();
    for (std::uint32_t head = 0; head < heads_; ++head)
      std::copy_n(layer.lanes.begin() + head * old_words, old_words,
                  lanes.begin() + head * layout.words());
  }
  layer.lanes = std::move(lanes);
  layer.layout = layout;
}

void LocalityModel::UpdatePlan(Layer& layer, double change_scale, std::uint32_t context) const {
  if (layer.plan_context == context) return;
  layer.plan_context = context;
  const double tokens =
      static_cast<double>(context) * static_cast<double>(policy_.block_tokens.value());
  layer.plan = PlanReplacements(curves_.At(tokens), change_scale,
                                {budget_, layer.layout.dynamic_blocks, context - budget_});
}

}  // namespace sparseserve::selection
