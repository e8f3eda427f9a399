// The scheduler on real memories under random load: every request finishes with exactly its tokens
// or is failed for a reason, memory balances, and no layer's selection is without room.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "sim/core/rng.h"
#include "sim/scheduler/offload_memory.h"
#include "sim/scheduler/paged_memory.h"
#include "sim/scheduler/scheduler.h"

namespace sparseserve::scheduler {
namespace {

// What an executor does to the cache, without time: saves are complete one or two iterations later.
class Runner {
 public:
  Runner(const KvGeometry& geometry, kvcache::KvCache* cache, std::uint64_t seed)
      : geometry_(geometry), cache_(cache), random_(seed, "runner") {}

  void Begin(RequestIndex index) { first_.erase(index); }
  bool saves_pending() const { return cache_ != nullptr && completed_ < last_; }
  void WaitForSaves() { Complete(last_); }

  void Run(const IterationPlan& plan, const std::vector<RequestState>& table) {
    if (cache_ == nullptr) return;
    for (std::int64_t layer = 0; layer < geometry_.tracked_layers(); ++layer) {
      for (std::int64_t offset = 0; offset < geometry_.sampling.layer_stride; ++offset)
        RunLayer(layer, offset, plan, table);
    }
    Complete(last_);
    last_ = plan.ticket;
    if (random_.Uniform() < 0.3) Complete(last_);
    cache_->Audit();
  }

 private:
  // One tracked layer, of the requests that have it tracked.
  void RunLayer(std::int64_t layer, std::int64_t offset, const IterationPlan& plan,
                const std::vector<RequestState>& table) {
    cache_->BeginLayer();
    for (const RequestIndex index : plan.decodes) {
      const RequestState& request = table[static_cast<std::size_t>(index)];
      if (geometry_.sampling.OffsetOf(request.id) != offset) continue;
      Select(index, layer, request.context());
    }
    std::int64_t loads = 0;
    if (cache_->LoadMisses(loads)) return;
    Complete(last_);
    if (!cache_->LoadMisses(loads)) ADD_FAILURE() << "one layer's selection has no room";
  }
  // The newest blocks within the budget: [first, blocks) of every head.
  void Select(RequestIndex index, std::int64_t layer, Tokens context) {
    const std::int64_t blocks = BlocksFor(context, geometry_.block_tokens).value();
    auto& windows = first_[index];
    windows.resize(static_cast<std::size_t>(geometry_.tracked_layers()), {0, 0});
    auto& [begin, end] = windows[static_cast<std::size_t>(layer)];
    const std::int64_t now = std::max<std::int64_t>(0, blocks - geometry_.budget_blocks);
    const auto units = [&](std::int64_t from, std::int64_t to) {
      std::vector<kvcache::Unit> list;
      const std::int64_t heads = geometry_.tracked_heads();
      for (std::int64_t u = from * heads; u < to * heads; ++u)
        list.push_back(static_cast<kvcache::Unit>(u));
      return list;
    };
    cache_->Select(index, layer, units(std::max(end, now), blocks),
                   units(begin, std::min(end, now)));
    begin = now;
    end = blocks;
  }
  void Complete(SaveTicket ticket) {
    cache_->CompleteSaves(ticket);
    completed_ = ticket;
  }

  KvGeometry geometry_;
  kvcache::KvCache* cache_;
  RandomStream random_;
  SaveTicket last_ = 0, completed_ = 0;
  // Per request and layer: the selected range of blocks.
  std::map<RequestIndex, std::vector<std::pair<std::int64_t, std::int64_t>>> first_;
};

struct Load {
  SchedulerConfig config;
  KvGeometry geometry;
  std::vector<std::int64_t> prompts, outputs;
};

struct Outcome {
  std::int64_t finished = 0, failed = 0, preemptions = 0;
  std::vector<std::int64_t> plans;  // per iteration: decodes, token-layers of prefill
};

// Runs the load to its end; requests arrive at random iterations.
Outcome Play(const Load& load, KvMemory& memory, kvcache::KvCache* cache, std::uint64_t seed) {
  std::vector<RequestState> table(load.prompts.size());
  Scheduler scheduler(load.config, load.geometry.num_layers, memory, table);
  Runner runner(load.geometry, cache, seed);
  RandomStream random(seed, "arrivals");
  Outcome outcome;
  std::size_t next = 0;
  const auto total = static_cast<std::int64_t>(table.size());
  for (int iteration = 0; outcome.finished + outcome.failed < total; ++iteration) {
    if (iteration > 200'000) {
      ADD_FAILURE() << "livelock: " << outcome.finished << " of " << total << " finished";
      break;
    }
    while (next < table.size() && random.Uniform() < 0.3) {
      table[next].id = static_cast<std::int64_t>(next);
      table[next].prompt = Tokens(load.prompts[next]);
      scheduler.Enqueue(static_cast<RequestIndex>(next++));
    }
    const IterationPlan plan = scheduler.Plan(runner.saves_pending());
    outcome.preemptions += static_cast<std::int64_t>(scheduler.preempted().size());
    for (const RequestIndex index : scheduler.preempted()) runner.Begin(index);
    outcome.failed += static_cast<std::int64_t>(scheduler.failed().size());
    if (plan.empty()) {
      if (runner.saves_pending()) runner.WaitForSaves();
      continue;
    }
    std::int64_t token_layers =
        static_cast<std::int64_t>(plan.decodes.size()) * load.geometry.num_layers;
    for (const PrefillPiece& piece : plan.prefills) token_layers += piece.TokenLayers();
    outcome.plans.push_back(static_cast<std::int64_t>(plan.decodes.size()));
    outcome.plans.push_back(token_layers);
    EXPECT_LE(token_layers, load.config.max_batch_tokens.value() * load.geometry.num_layers);
    EXPECT_LE(scheduler.num_running(), load.config.max_requests);
    runner.Run(plan, table);
    if (::testing::Test::HasFailure()) break;
    scheduler.Advance();
    std::vector<RequestIndex> producing = plan.decodes;
    for (const PrefillPiece& piece : plan.prefills)
      if (piece.completes) producing.push_back(piece.request);
    for (const RequestIndex index : producing) {
      const auto i = static_cast<std::size_t>(index);
      EXPECT_LE(table[i].generated.value(), load.outputs[i]);
      if (table[i].generated.value() != load.outputs[i]) continue;
      scheduler.Finish(index);
      ++outcome.finished;
    }
  }
  return outcome;
}

Load RandomLoad(RandomStream& random, PrefillMode mode, bool control) {
  Load load;
  load.geometry.num_layers = random.UniformInt(1, 4);
  load.geometry.heads = random.UniformInt(1, 3);
  load.geometry.block_tokens = Tokens(8);
  load.geometry.unit_bytes = Bytes(1024);
  load.geometry.metadata_bytes = Bytes(random.UniformInt(0, 2) * 128);
  load.geometry.budget_blocks = random.UniformInt(2, 8);
  load.geometry.hidden_bytes = Bytes(random.UniformInt(0, 64));
  load.config.max_requests = random.UniformInt(1, 20);
  load.config.max_batch_tokens = Tokens(random.UniformInt(4, 64));
  load.config.prefill = mode;
  load.config.working_set_control = control;
  for (int i = 0; i < 25; ++i) {
    load.prompts.push_back(random.UniformInt(1, 120));
    load.outputs.push_back(random.UniformInt(1, 60));
  }
  return load;
}

std::int64_t LongestContext(const Load& load) {
  std::int64_t longest = 0;
  for (std::size_t i = 0; i < load.prompts.size(); ++i)
    longest = std::max(longest, load.prompts[i] + load.outputs[i]);
  return longest;
}

void PlayOffloaded(PrefillMode mode, bool control, double share = 1) {
  std::int64_t preemptions = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(seed, "load");
    Load load = RandomLoad(random, mode, control);
    KvGeometry& g = load.geometry;
    g.sampling = SampleLanes(g.num_layers, g.heads, std::max(share, 1.0 / double(g.lanes())));
    const std::int64_t rows = CeilDiv(LongestContext(load), 8) + 1;
    // From hardly enough for the longest request to enough for a few.
    OffloadMemory probe(g, {.prefill = mode,
                            .hbm_for_kv = Bytes(1'000'000'000),
                            .dram_for_kv = g.block_row_bytes() * 1'000'000});
    std::int64_t slots = rows * g.lanes() / 4 + 1;
    const auto make = [&](std::int64_t s, std::int64_t r) {
      return std::make_unique<OffloadMemory>(
          g, OffloadMemoryConfig{.prefill = mode,
                                 .hbm_for_kv = g.unit_bytes * s,
                                 .dram_for_kv = g.block_row_bytes() * r,
                                 .working_set_window = 4});
    };
    while (!make(slots, rows)->WhyNever(Tokens(LongestContext(load))).empty()) ++slots;
    slots += random.UniformInt(0, 3) * slots / 2;
    const std::int64_t dram = rows * random.UniformInt(1, 4);
    const std::unique_ptr<OffloadMemory> memory = make(slots, dram);
    const Outcome outcome = Play(load, *memory, &memory->cache(), seed);
    EXPECT_EQ(outcome.failed, 0);
    EXPECT_EQ(outcome.finished, 25);
    EXPECT_EQ(memory->hbm_used(), Bytes(0));
    EXPECT_EQ(memory->dram_used(), Bytes(0));
    preemptions += outcome.preemptions;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(preemptions, 0) << "the loads do not exercise preemption";
}

TEST(SchedulerLivenessTest, ChunkedPrefillOverDramServesEveryRequest) {
  PlayOffloaded(PrefillMode::kChunked, false);
}
TEST(SchedulerLivenessTest, ChunkedPrefillWithWorkingSetControlServesEveryRequest) {
  PlayOffloaded(PrefillMode::kChunked, true);
}
TEST(SchedulerLivenessTest, SegmentedPrefillServesEveryRequest) {
  PlayOffloaded(PrefillMode::kLayerSegmented, false);
}
TEST(SchedulerLivenessTest, SegmentedPrefillWithWorkingSetControlServesEveryRequest) {
  PlayOffloaded(PrefillMode::kLayerSegmented, true);
}

TEST(SchedulerLivenessTest, SampledLanesServeEveryRequest) {
  for (const double share : {0.5, 0.1}) {
    PlayOffloaded(PrefillMode::kChunked, true, share);
    PlayOffloaded(PrefillMode::kLayerSegmented, false, share);
  }
}

// The heads select alike here, so the sample knows as much as all lanes: every batch is equal.
TEST(SchedulerLivenessTest, SampledLanesFormTheBatchesOfAllLanes) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(seed, "load");
    const auto mode = seed % 2 == 0 ? PrefillMode::kChunked : PrefillMode::kLayerSegmented;
    Load load = RandomLoad(random, mode, /*control=*/seed % 4 < 2);
    KvGeometry& g = load.geometry;
    g.heads = 4;
    const std::int64_t rows = CeilDiv(LongestContext(load), 8) + 1;
    std::vector<std::int64_t> plans;
    for (const std::int64_t stride : {1, 2, 4}) {
      g.sampling.head_stride = stride;
      OffloadMemory memory(g, {.prefill = mode,
                               .hbm_for_kv = g.unit_bytes * (rows * g.lanes() * 2 + 3),
                               .dram_for_kv = g.block_row_bytes() * rows * 3,
                               .working_set_window = 4});
      const Outcome outcome = Play(load, memory, &memory.cache(), seed);
      EXPECT_EQ(outcome.finished, 25);
      if (stride == 1) plans = outcome.plans;
      EXPECT_EQ(outcome.plans, plans) << "stride " << stride;
    }
  }
}

TEST(SchedulerLivenessTest, PagedMemoryServesEveryRequestThatFitsAlone) {
  std::int64_t preemptions = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(seed, "load");
    const Load load = RandomLoad(random, PrefillMode::kChunked, false);
    const std::int64_t rows = CeilDiv(LongestContext(load), 8) + random.UniformInt(0, 20);
    const Bytes row =
        (load.geometry.unit_bytes + load.geometry.metadata_bytes) * load.geometry.lanes();
    PagedMemory memory(load.geometry, row * rows);
    const Outcome outcome = Play(load, memory, nullptr, seed);
    EXPECT_EQ(outcome.finished, 25);
    EXPECT_EQ(memory.hbm_used(), Bytes(0));
    preemptions += outcome.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST(SchedulerLivenessTest, ARequestThatOutgrowsThePoolFailsAndTheOthersFinish) {
  Load load;
  load.geometry.num_layers = load.geometry.heads = 1;
  load.geometry.block_tokens = Tokens(8);
  load.geometry.unit_bytes = Bytes(1024);
  load.config.max_batch_tokens = Tokens(64);
  load.prompts = {16, 16, 16};
  load.outputs = {10, 1000, 10};
  PagedMemory memory(load.geometry, Bytes(1024 * 8));
  const Outcome outcome = Play(load, memory, nullptr, 1);
  EXPECT_EQ(outcome.finished, 2);
  EXPECT_EQ(outcome.failed, 1);
  EXPECT_EQ(memory.hbm_used(), Bytes(0));
}

// Promises: each prompt needs most of HBM, so two prefills side by side would block each other.
TEST(SchedulerLivenessTest, ChunkedPrefillsThatTogetherExceedHbmTakeTurns) {
  Load load;
  load.geometry.num_layers = load.geometry.heads = 2;
  load.geometry.block_tokens = Tokens(8);
  load.geometry.unit_bytes = Bytes(1024);
  load.geometry.budget_blocks = 4;
  load.config.max_batch_tokens = Tokens(16);
  for (int i = 0; i < 6; ++i) {
    load.prompts.push_back(160);  // 80 of 120 slots
    load.outputs.push_back(5);
  }
  OffloadMemory memory(load.geometry,
                       {.hbm_for_kv = Bytes(1024 * 120), .dram_for_kv = Bytes(4096 * 1000)});
  const Outcome outcome = Play(load, memory, &memory.cache(), 1);
  EXPECT_EQ(outcome.finished, 6);
  EXPECT_EQ(outcome.preemptions, 0);
}

TEST(SchedulerLivenessTest, FullDramPreemptsAndAllFinish) {
  Load load;
  load.geometry.num_layers = load.geometry.heads = 2;
  load.geometry.block_tokens = Tokens(8);
  load.geometry.unit_bytes = Bytes(1024);
  load.geometry.budget_blocks = 4;
  load.config.max_batch_tokens = Tokens(64);
  load.prompts.assign(4, 32);
  load.outputs.assign(4, 40);  // nine blocks each at the end
  OffloadMemory memory(load.geometry,
                       {.hbm_for_kv = Bytes(1024 * 1000), .dram_for_kv = Bytes(4096 * 18)});
  const Outcome outcome = Play(load, memory, &memory.cache(), 1);
  EXPECT_EQ(outcome.finished, 4);
  EXPECT_GT(outcome.preemptions, 0);
}

}  // namespace
}  // namespace sparseserve::scheduler
