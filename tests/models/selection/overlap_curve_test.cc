#include "models/selection/overlap_curve.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "models/selection/locality_model.h"
#include "sim/core/error.h"

namespace sparseserve::selection {
namespace {

TEST(OverlapCurveTest, PassesThroughThePointsOfThePresets) {
  for (const std::string& name : LocalityPresetNames()) {
    const LocalityConfig config = LocalityPreset(name);
    const OverlapCurve curve(config.overlap);
    for (const OverlapPoint& point : config.overlap)
      EXPECT_NEAR(curve.At(point.window), point.overlap, 1e-6) << name << " " << point.window;
  }
}

TEST(OverlapCurveTest, RecoversACurveOfItsOwnForm) {
  std::vector<OverlapPoint> points;
  double power = 1;
  for (std::int64_t window = 1; window <= 16; ++window, power *= 0.85)
    points.push_back({window, 0.5 + 0.3 * (1 - power)});
  const OverlapCurve curve(points);
  for (const OverlapPoint& point : points) EXPECT_NEAR(curve.At(point.window), point.overlap, 1e-6);
}

// Those that were measured of a model with random weights; no curve of three parameters is close.
TEST(OverlapCurveTest, MeetsEachOfManyPoints) {
  const std::vector<OverlapPoint> points = {{1, 0.475}, {2, 0.657},  {4, 0.827},
                                            {8, 0.936}, {12, 0.969}, {16, 0.982}};
  const OverlapCurve curve(points);
  for (const OverlapPoint& point : points) EXPECT_EQ(curve.At(point.window), point.overlap);
  EXPECT_NEAR((1 - curve.At(6)) / (1 - curve.At(4)), (1 - curve.At(8)) / (1 - curve.At(6)), 1e-9);
  EXPECT_EQ(curve.At(99), 0.982);
}

TEST(OverlapCurveTest, NeverFallsAndStaysAShare) {
  for (const auto& points :
       {std::vector<OverlapPoint>{{1, 0.8}}, std::vector<OverlapPoint>{{1, 0.6}, {2, 0.9}},
        std::vector<OverlapPoint>{{1, 0.3}, {2, 0.3}, {16, 1.0}},
        std::vector<OverlapPoint>{{1, 0.3}, {2, 0.3}, {5, 0.9}, {9, 1.0}}}) {
    const OverlapCurve curve(points);
    EXPECT_EQ(curve.At(0), 0);
    for (std::int64_t window = 1; window <= kMaxWindow; ++window) {
      EXPECT_GE(curve.At(window), curve.At(window - 1));
      EXPECT_LE(curve.At(window), 1);
    }
  }
}

TEST(OverlapCurveTest, RejectsPointsThatAreNoCurve) {
  const std::vector<std::vector<OverlapPoint>> wrong = {
      {},
      {{2, 0.8}},                        // no window 1
      {{1, 0.0}},                        // not a share
      {{1, 1.1}},                        //
      {{1, 0.8}, {12, 0.7}},             // falls
      {{1, 0.8}, {12, 0.9}, {12, 0.9}},  // repeats
      {{1, 0.8}, {17, 0.9}},             // beyond what is modelled
  };
  for (const auto& points : wrong) EXPECT_THROW(OverlapCurve{points}, InputError);
}

TEST(OverlapCurvesTest, PointsWithoutAContextHoldAtEveryContext) {
  const OverlapCurves curves(LocalityConfig{}.overlap);
  const OverlapCurve curve(LocalityConfig{}.overlap);
  EXPECT_FALSE(curves.depends_on_context());
  EXPECT_EQ(curves.LeastAdjacent(), 0.8);
  for (const double context : {1.0, 1e9}) EXPECT_EQ(curves.At(context).At(12), curve.At(12));
}

TEST(OverlapCurvesTest, BetweenTwoContextsItIsLinearInTheirInverse) {
  const OverlapCurves curves(std::vector<OverlapPoint>{{1, 0.8, Tokens(100)},
                                                       {16, 0.9, Tokens(100)},
                                                       {1, 0.4, Tokens(400)},
                                                       {16, 0.7, Tokens(400)}});
  EXPECT_TRUE(curves.depends_on_context());
  EXPECT_EQ(curves.LeastAdjacent(), 0.4);
  EXPECT_EQ(curves.At(50).At(1), 0.8);
  EXPECT_EQ(curves.At(100).At(1), 0.8);
  EXPECT_DOUBLE_EQ(curves.At(200).At(1), 0.8 - 0.4 * 2 / 3);
  const double low = OverlapCurve(std::vector<OverlapPoint>{{1, 0.8}, {16, 0.9}}).At(16);
  const double high = OverlapCurve(std::vector<OverlapPoint>{{1, 0.4}, {16, 0.7}}).At(16);
  EXPECT_DOUBLE_EQ(curves.At(200).At(16), low + (high - low) * 2 / 3);
  EXPECT_EQ(curves.At(400).At(1), 0.4);
  EXPECT_EQ(curves.At(1e9).At(1), 0.4);
}

TEST(OverlapCurvesTest, RejectsContextsThatMixOrFall) {
  const std::vector<std::vector<OverlapPoint>> wrong = {
      {},
      {{1, 0.8}, {1, 0.9, Tokens(100)}},
      {{1, 0.8, Tokens(100)}, {16, 0.9}},
      {{1, 0.8, Tokens(200)}, {1, 0.9, Tokens(100)}},
      {{1, 0.8, Tokens(200)}, {1, 0.9, Tokens(300)}, {16, 0.9, Tokens(200)}},
      {{1, 0.8, Tokens(200)}, {16, 0.9, Tokens(300)}},  // no window 1 at 300
  };
  for (const auto& points : wrong) EXPECT_THROW(OverlapCurves{points}, InputError);
}

// The derivation of the default level in locality_model.h, in numbers: the largest fresh share
// whose chance returns fit into the published tail. U depends on the curve, so iterate.
double MostFreshShare(double selected, double context) {
  constexpr double kTailPerStep = 0.0031 / 4;
  double fresh = 0.1;
  for (int round = 0; round < 50; ++round) {
    const std::vector<OverlapPoint> points = {
        {1, 1 - fresh - 0.1099}, {12, 1 - fresh - 0.0031}, {16, 1 - fresh}};
    const OverlapCurve curve(points);
    double recent_union = 0;
    for (std::int64_t window = 1; window <= 16; ++window)
      recent_union += selected * (1 - curve.At(window - 1));
    fresh = std::sqrt(kTailPerStep * (context - recent_union) / selected);
  }
  return fresh;
}

TEST(OverlapCurveTest, DefaultLevelIsTheBoundOfTheFlatTail) {
  EXPECT_NEAR(MostFreshShare(64, 1024), 0.10, 0.005);  // o(16) >= 0.90, o(1) >= 0.79
  EXPECT_NEAR(MostFreshShare(64, 4096), 0.21, 0.01);
  EXPECT_LT(MostFreshShare(64, 512), 0.07);
  const OverlapCurve curve(LocalityConfig{}.overlap);
  EXPECT_LE(1 - curve.At(16), MostFreshShare(64, 1024));
  EXPECT_NEAR(curve.At(12) - curve.At(1), 0.1068, 1e-6);
  EXPECT_NEAR(curve.At(16) - curve.At(12), 0.0031, 1e-6);
}

}  // namespace
}  // namespace sparseserve::selection
