#include "sim/scheduler/prefill.h"

#include <gtest/gtest.h>

#include "sim/core/rng.h"

namespace sparseserve::scheduler {
namespace {

RequestState Prompt(std::int64_t tokens) {
  RequestState request;
  request.prompt = request.prefill_target = Tokens(tokens);
  return request;
}

std::vector<PrefillPiece> PlanOnce(PrefillMode mode, const RequestState& request,
                                   std::int64_t layers, std::int64_t budget, bool cut = true) {
  std::vector<PrefillPiece> pieces;
  PlanPrefill(mode, 0, request, layers, budget, cut, pieces);
  return pieces;
}

void ExpectPiece(const PrefillPiece& piece, std::int64_t begin, std::int64_t end,
                 std::int64_t layer_begin, std::int64_t layer_end, bool completes) {
  EXPECT_EQ(piece.begin, Tokens(begin));
  EXPECT_EQ(piece.end, Tokens(end));
  EXPECT_EQ(piece.layer_begin, layer_begin);
  EXPECT_EQ(piece.layer_end, layer_end);
  EXPECT_EQ(piece.completes, completes);
}

TEST(PrefillTest, AChunkIsTheBudgetOverTheLayers) {
  RequestState request = Prompt(250);
  auto pieces = PlanOnce(PrefillMode::kChunked, request, 4, 4 * 100 + 3);
  ASSERT_EQ(pieces.size(), 1u);
  ExpectPiece(pieces[0], 0, 100, 0, 4, false);
  request.prefill_tokens = Tokens(200);
  pieces = PlanOnce(PrefillMode::kChunked, request, 4, 4 * 100);
  ASSERT_EQ(pieces.size(), 1u);
  ExpectPiece(pieces[0], 200, 250, 0, 4, true);
}

TEST(PrefillTest, NoBudgetPlansNothing) {
  for (const PrefillMode mode : {PrefillMode::kChunked, PrefillMode::kLayerSegmented}) {
    for (const std::int64_t budget : {0, -7})
      EXPECT_TRUE(PlanOnce(mode, Prompt(100), 4, budget).empty());
  }
  EXPECT_TRUE(PlanOnce(PrefillMode::kChunked, Prompt(100), 4, 3).empty());  // not one token
}

TEST(PrefillTest, ASegmentIsAsManyWholeLayersAsFit) {
  RequestState request = Prompt(100);
  auto pieces = PlanOnce(PrefillMode::kLayerSegmented, request, 4, 250);
  ASSERT_EQ(pieces.size(), 1u);
  ExpectPiece(pieces[0], 0, 100, 0, 2, false);
  request.prefill_layer = 2;
  pieces = PlanOnce(PrefillMode::kLayerSegmented, request, 4, 10000);
  ASSERT_EQ(pieces.size(), 1u);
  ExpectPiece(pieces[0], 0, 100, 2, 4, true);
}

TEST(PrefillTest, ALayerBeyondTheBudgetIsCutAndItsEndSharesTheBudgetWithWholeLayers) {
  RequestState request = Prompt(100);
  auto pieces = PlanOnce(PrefillMode::kLayerSegmented, request, 4, 60);
  ASSERT_EQ(pieces.size(), 1u);
  ExpectPiece(pieces[0], 0, 60, 0, 1, false);
  AdvancePrefill(PrefillMode::kLayerSegmented, pieces[0], request);
  EXPECT_EQ(request.prefill_tokens, Tokens(60));
  EXPECT_EQ(request.prefill_layer, 0);
  pieces = PlanOnce(PrefillMode::kLayerSegmented, request, 4, 40 + 299);
  ASSERT_EQ(pieces.size(), 2u);
  ExpectPiece(pieces[0], 60, 100, 0, 1, false);
  ExpectPiece(pieces[1], 0, 100, 1, 3, false);
}

TEST(PrefillTest, WithoutPermissionNoLayerIsCutButACutOneGoesOn) {
  RequestState request = Prompt(100);
  EXPECT_TRUE(PlanOnce(PrefillMode::kLayerSegmented, request, 4, 60, /*cut=*/false).empty());
  request.prefill_tokens = Tokens(60);
  const auto pieces = PlanOnce(PrefillMode::kLayerSegmented, request, 4, 30, /*cut=*/false);
  ASSERT_EQ(pieces.size(), 1u);
  ExpectPiece(pieces[0], 60, 90, 0, 1, false);
}

// Computes one prompt under budgets drawn anew each iteration.
void CoverOnce(PrefillMode mode, RandomStream& random) {
  const std::int64_t layers = random.UniformInt(1, 6);
  const std::int64_t prompt = random.UniformInt(1, 60);
  const std::int64_t largest = random.UniformInt(layers, 3 * prompt + layers);
  std::vector<int> done(static_cast<std::size_t>(layers * prompt));  // [layer, token]
  RequestState request = Prompt(prompt);
  bool complete = false;
  std::int64_t computed = 0;
  for (int iteration = 0; !complete; ++iteration) {
    ASSERT_LT(iteration, 100000);
    const std::int64_t budget = random.UniformInt(0, largest);
    const auto pieces = PlanOnce(mode, request, layers, budget, random.Uniform() < 0.7);
    std::int64_t used = 0;
    for (const PrefillPiece& piece : pieces) {
      ASSERT_FALSE(complete) << "work after the end";
      used += piece.TokenLayers();
      for (std::int64_t layer = piece.layer_begin; layer < piece.layer_end; ++layer) {
        for (std::int64_t token = piece.begin.value(); token < piece.end.value(); ++token) {
          const std::int64_t at = layer * prompt + token;
          ++done[static_cast<std::size_t>(at)];
          ++computed;
          // Causal: every earlier token of this layer, and this token one layer below.
          ASSERT_TRUE(token == 0 || done[static_cast<std::size_t>(at - 1)] == 1);
          ASSERT_TRUE(layer == 0 || done[static_cast<std::size_t>(at - prompt)] == 1);
        }
      }
      AdvancePrefill(mode, piece, request);
      complete = piece.completes;
      ASSERT_EQ(complete, computed == layers * prompt);
    }
    ASSERT_LE(used, budget);
  }
  for (const int times : done) ASSERT_EQ(times, 1);
}

TEST(PrefillTest, PiecesCoverEveryTokenAndLayerOnceInCausalOrder) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(seed, "prefill");
    ASSERT_NO_FATAL_FAILURE(CoverOnce(PrefillMode::kChunked, random));
    ASSERT_NO_FATAL_FAILURE(CoverOnce(PrefillMode::kLayerSegmented, random));
  }
}

TEST(PrefillDeathTest, APieceOutOfOrderAborts) {
  RequestState request = Prompt(100);
  PrefillPiece piece{.request = 0, .begin = Tokens(10), .end = Tokens(20), .layer_end = 4};
  EXPECT_DEATH(AdvancePrefill(PrefillMode::kChunked, piece, request), "twice or never");
  piece.begin = Tokens(0);
  piece.layer_begin = 1;
  EXPECT_DEATH(AdvancePrefill(PrefillMode::kLayerSegmented, piece, request), "twice or never");
}

}  // namespace
}  // namespace sparseserve::scheduler
