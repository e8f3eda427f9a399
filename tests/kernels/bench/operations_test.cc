#include "kernels/bench/operations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/backend.h"
#include "kernels/bench/timer.h"
#include "tests/kernels/bench/faulty_backend.h"

namespace sparseserve::bench {
namespace {

constexpr Bytes kPool{std::int64_t{16} << 20};
const PoolSizes kPools{kPool, kPool, kPool, kPool, kPool};
const kernels::StagingRingOptions kRing{2, Bytes(1 << 20), 2, nullptr};

ModelShape SmallModel(kernels::ElementType type) {
  ModelShape model = DefaultModelShape("cpu");
  model.hidden = 128;
  model.intermediate = 192;
  model.vocabulary = 512;
  model.layout.type = type;
  return model;
}

std::unique_ptr<FaultyBackend> MakeBackend(const std::string& fault) {
  kernels::BackendConfig config;
  config.staging_slot = kRing.slot;
  return std::make_unique<FaultyBackend>(kernels::MakeBackend("cpu", config), fault);
}

// A call of each operation at each kind (the choices of y) and a size in its range.
std::vector<Call> MakeCalls(Workbench& workbench) {
  std::vector<Call> calls;
  for (const OperationPlan& plan : PlanOperations(workbench)) {
    const std::int64_t x = plan.x.Snap(24);
    const std::int64_t y = plan.y.least;
    for (const std::int64_t kind : plan.y.is_refinable() ? std::vector{y} : plan.y.choices) {
      calls.push_back(plan.prepare(x, kind));
    }
    for (const auto& extra : plan.extras) calls.push_back(extra(x));
  }
  return calls;
}

TEST(OperationsTest, EveryResultIsRight) {
  for (const auto type : {kernels::ElementType::kFloat32, kernels::ElementType::kBfloat16}) {
    const auto backend = MakeBackend("");
    if (!backend->Supports(type)) continue;
    Workbench workbench(*backend, SmallModel(type), kPools, kRing, 1);
    for (const Call& call : MakeCalls(workbench)) EXPECT_NO_THROW(call.check()) << call.operation;
  }
}

TEST(OperationsTest, WeightsWalkThroughAsMuchAsTheModelHas) {
  constexpr std::int64_t kWeights = std::int64_t{1} << 20, kCall = kWeights / 16;
  const auto backend = MakeBackend("");
  ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  const Workbench endless(*backend, model, kPools, kRing, 1);
  EXPECT_FALSE(endless.keeps_weights());
  model.weight_bytes = kWeights;
  const Workbench workbench(*backend, model, kPools, kRing, 1);
  EXPECT_TRUE(workbench.keeps_weights());
  std::set<const std::byte*> places, all;
  for (std::int64_t variant = 0; variant < 16; ++variant) {
    places.insert(workbench.Weights(variant, kCall));
    all.insert(endless.Weights(variant, kCall));
  }
  EXPECT_EQ(places.size(), 16U);
  EXPECT_EQ(*places.rbegin() - *places.begin(), kWeights - kCall);
  EXPECT_EQ(workbench.Weights(16, kCall), workbench.Weights(0, kCall));
  EXPECT_GT(*all.rbegin() - *all.begin(), kWeights);
  EXPECT_EQ(workbench.NumWeights(kCall), 16);
  EXPECT_EQ(workbench.NumWeights(2 * kWeights), 1);  // larger than the model has a place
}

class DecodeRecorder : public FaultyBackend {
 public:
  DecodeRecorder() : FaultyBackend(MakeBackend(""), "") {}
  void DecodeAttention(const kernels::DecodeParams& params) override {
    blocks.push_back(params.blocks);
    slots.push_back(params.slots);
  }
  void Gemm(const kernels::GemmParams& params) override {
    weights.push_back(params.w);
    weight_bytes += params.n * params.k * 4;
  }

  std::vector<const void*> blocks, weights;
  std::vector<const std::int32_t*> slots;
  std::int64_t weight_bytes = 0;
};

TEST(OperationsTest, AttentionOfDecodesMeetsItsKvAsInAModel) {
  constexpr std::int64_t kTokens = 4096;  // 4 MiB a call
  DecodeRecorder backend;
  ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  Workbench endless(backend, model, kPools, kRing, 1);
  EXPECT_FALSE(MakeDecode(endless, false, 1, kTokens).settle);
  model.num_layers = 3;
  model.weight_bytes = std::int64_t{1} << 20;
  Workbench workbench(backend, model, kPools, kRing, 1);
  const Call call = MakeDecode(workbench, false, 1, kTokens);
  ASSERT_TRUE(call.settle);
  for (const std::int64_t variant : {7, 50}) {
    backend.blocks.clear();
    backend.weights.clear();
    backend.weight_bytes = 0;
    call.settle(variant);
    EXPECT_EQ(std::set(backend.blocks.begin(), backend.blocks.end()).size(), 3U);
    EXPECT_GE(backend.weight_bytes, model.weight_bytes);
    // Hardly one twice: the last may be cut off.
    EXPECT_GE(std::set(backend.weights.begin(), backend.weights.end()).size() + 1,
              backend.weights.size());
    // What was read first comes first.
    for (std::int64_t i = 0; i < 3; ++i) call.enqueue(variant + i);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(backend.blocks[3 + i], backend.blocks[i]);
    // And in the end it is the same in all samples.
    call.enqueue(0);
    EXPECT_NE(std::count(backend.blocks.begin(), backend.blocks.begin() + 3, backend.blocks.back()),
              0);
  }
}

TEST(OperationsTest, AFifthOfTheSelectedBlocksIsNewInEachStep) {
  constexpr std::int64_t kTokens = 1024;
  DecodeRecorder backend;
  ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  model.num_layers = 4;
  model.weight_bytes = std::int64_t{1} << 20;
  Workbench workbench(backend, model, kPools, kRing, 1);
  const std::int64_t count = kTokens / model.layout.block_tokens * model.kv_heads;
  const Call call = MakeDecode(workbench, true, 1, kTokens);
  call.settle(12);
  call.enqueue(12);
  ASSERT_EQ(backend.slots.size(), 5U);
  EXPECT_EQ(backend.slots.back() - backend.slots.front(), (count + 4) / 5);
  // However often: the list is not left.
  const auto* first = backend.slots.front();
  for (std::int64_t step = 0; step < 100; ++step) {
    call.enqueue(4 * step);
    EXPECT_LE(std::abs(backend.slots.back() - first), 3 * count);
  }
  // Of full attention all blocks stay.
  const Call full = MakeDecode(workbench, false, 1, kTokens);
  backend.slots.clear();
  full.settle(12);
  full.enqueue(12);
  EXPECT_EQ(backend.slots.back(), backend.slots.front());
}

TEST(OperationsTest, ShortCallsInARowHaveKvOfTheirOwn) {
  DecodeRecorder backend;
  ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  model.weight_bytes = std::int64_t{1} << 20;
  Workbench workbench(backend, model, kPools, kRing, 1);
  const Call call = MakeDecode(workbench, false, 1, 128);  // 128 KiB
  for (std::int64_t i = 0; i < 16; ++i) call.enqueue(i);
  EXPECT_EQ(std::set(backend.blocks.begin(), backend.blocks.end()).size(), 16U);
}

class GemmRecorder : public FaultyBackend {
 public:
  GemmRecorder() : FaultyBackend(MakeBackend(""), "") {}
  void Gemm(const kernels::GemmParams& params) override { calls.push_back(params); }

  std::vector<kernels::GemmParams> calls;
};

TEST(OperationsTest, BeforeASampleTheLaneReadsTheOtherWeightsOfTheModel) {
  constexpr std::int64_t kN = 128, kK = 128, kWeights = kN * kK * 4;
  GemmRecorder backend;
  ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  model.weight_bytes = 16 * kWeights;
  Workbench workbench(backend, model, kPools, kRing, 1);
  const Call call = MakeGemm(workbench, 8, kN, kK);
  call.settle(100);
  ASSERT_EQ(backend.calls.size(), 16U);
  std::set<const void*> places;
  for (const kernels::GemmParams& gemm : backend.calls) {
    EXPECT_EQ(gemm.m, 1);  // reads as much as eight rows would
    places.insert(gemm.w);
  }
  EXPECT_EQ(places.size(), 16U);
  EXPECT_EQ(backend.calls.back().w, workbench.Weights(99, kWeights));
  backend.calls.clear();
  call.settle(3);  // no more than went before
  EXPECT_EQ(backend.calls.size(), 3U);
}

TEST(OperationsTest, AGemmFindsInTheCachesWhatAModelLeavesThere) {
  const auto backend = MakeBackend("");
  ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  Workbench endless(*backend, model, kPools, kRing, 1);
  EXPECT_FALSE(MakeGemm(endless, 1, 128, 128).settle);
  model.weight_bytes = std::int64_t{1} << 20;
  Workbench workbench(*backend, model, kPools, kRing, 1);
  EXPECT_TRUE(MakeGemm(workbench, 1, 128, 128).settle);

  // Before a sample, with the number of its first call.
  std::vector<std::int64_t> settled, called;
  Call call;
  call.settle = [&](std::int64_t variant) { settled.push_back(variant); };
  call.enqueue = [&](std::int64_t variant) { called.push_back(variant); };
  Timer timer(workbench, {.warm = false, .least_sample = Seconds(0)});
  timer.Sample(call, 3);
  timer.Sample(call, 2);
  ASSERT_EQ(called.size(), 5U);
  EXPECT_EQ(settled, (std::vector{called[0], called[3]}));
}

TEST(OperationsTest, WrongResultIsFound) {
  for (const std::string fault :
       {"h2d.memcpy", "d2h.memcpy", "gemm", "elementwise", "attention.decode_full",
        "attention.prefill", "merge", "metadata", "score", "topk"}) {
    const auto backend = MakeBackend(fault);
    Workbench workbench(*backend, SmallModel(kernels::ElementType::kFloat32), kPools, kRing, 1);
    int num_calls = 0;
    for (const Call& call : MakeCalls(workbench)) {
      if (call.operation != fault) continue;
      EXPECT_THROW(call.check(), WrongResult) << fault;
      ++num_calls;
    }
    EXPECT_GT(num_calls, 0) << fault;
  }
}

TEST(OperationsTest, WorkIsCountedAsTheCostModelDoes) {
  const auto backend = MakeBackend("");
  const ModelShape model = SmallModel(kernels::ElementType::kFloat32);
  Workbench workbench(*backend, model, kPools, kRing, 1);
  const Call load = MakeLoad(workbench, kernels::LoadMethod::kGather, 10, 4096);
  EXPECT_EQ(load.work, calibration::Work::Fragments(10, Bytes(4096)));
  // 3 tokens by [64, 128] weights in fp32.
  const Call gemm = MakeGemm(workbench, 3, 64, 128);
  EXPECT_EQ(gemm.work.items, 3);
  EXPECT_EQ(gemm.work.item_bytes, Bytes(64 * 128 * 4));
  EXPECT_EQ(gemm.work.bytes, Bytes((64 * 128 + 3 * 64 + 3 * 128) * 4));
  EXPECT_EQ(gemm.work.flops, Flops(2.0 * 3 * 64 * 128));
  // 5 requests of 32 tokens: K and V of 2 heads x 64 channels, a query and an output of 8 heads.
  const Call decode = MakeDecode(workbench, true, 5, 32);
  EXPECT_EQ(decode.work.items, 5);
  EXPECT_EQ(decode.work.item_bytes, Bytes(32 * 2 * 2 * 64 * 4 + 2 * 8 * 64 * 4));
  EXPECT_EQ(decode.work.flops, Flops(4.0 * 8 * 64 * 32 * 5));
  // 4 queries after 16 tokens: keys and values of 20 tokens once, 17 + 18 + 19 + 20 pairs and half
  // a tile's tail, which is at most half of the pairs.
  const Call prefill = MakePrefill(workbench, 4, 16);
  EXPECT_EQ(prefill.work.items, 4);
  EXPECT_EQ(prefill.work.bytes, Bytes(20 * 2 * 2 * 64 * 4 + 4 * 2 * 8 * 64 * 4));
  EXPECT_EQ(prefill.work.flops, Flops(1.5 * 74 * 4 * 8 * 64));
}

TEST(OperationsTest, CallsOfOneSizeUseDifferentMemory) {
  const auto backend = MakeBackend("");
  Workbench workbench(*backend, SmallModel(kernels::ElementType::kFloat32), kPools, kRing, 1);
  constexpr std::int64_t kSize = 100000;
  std::vector<const std::byte*> places;
  const std::int64_t num_places = workbench.input_bytes() / 102400;  // of 25 pages
  for (std::int64_t i = 0; i < num_places; ++i) places.push_back(workbench.Input(i, kSize));
  std::sort(places.begin(), places.end());
  for (std::size_t i = 1; i < places.size(); ++i) EXPECT_GE(places[i] - places[i - 1], kSize);
}

}  // namespace
}  // namespace sparseserve::bench
