// Selections drawn at random such that their locality, the overlap between steps, is as asked.
//
// Per (request, layer, head): sinks and recent blocks are always selected; each other selected
// block leaves with equal probability, and its replacement returns from the blocks that left in the
// last 16 steps or is drawn fresh, by popularity (replacement_plan.h, popularity.h). With a reuse
// interval the curve counts choices, not steps; between choices only the recent window slides. A
// context within the budget is selected entirely, and so is every dense layer.
//
// What the default level rests on. SparseServe (arXiv 2509.24626) publishes differences only:
// o(12) - o(1) = 10.68 points, o(16) - o(12) = 0.31 points (read as points, not per cent of o).
// The level is *inferred* from the flat tail. Let f = 1 - o(16), k of N blocks be selected, and
// U = k * sum over j = 1 .. 16 of (1 - o(j-1)) be the union of 16 steps, o(0) = 0. Each step f k
// blocks come from the N - U blocks unseen for longer, with mean hazard f k / (N - U). k (1-o(j-1))
// >= k f blocks were last selected j <= 16 steps ago. Assume that a block seen lately is at least
// as likely to be selected as one unseen for longer; then o(j) - o(j-1) >= f^2 k / (N - U). The
// tail gives 0.0031 / 4 = 0.00078 per step. With k = 64 and N = 1,024 (2,048 of 32k tokens, the
// longest LWM-7B prompt; U = 177 on the default curve) f <= 0.10: o(16) >= 0.90 and o(1) >= 0.79.
// The default, o(1) = 0.80, is that bound rounded. It would be lower if the figure came from longer
// contexts (N = 4,096: o(1) >= 0.68), higher for shorter ones or skewed popularity. "shadowkv-60"
// takes the same rise from ShadowKV's (arXiv 2410.21465) "about 60 %" between adjacent steps.
//
// Not modelled: correlation between heads, layers or requests; blocks that stay critical for long
// (all leave alike); topic changes. The overlap is the same at every context, except that small
// ones force it up (see README.md), unless the points name contexts.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/selection/lane.h"
#include "models/selection/overlap_curve.h"
#include "models/selection/policy.h"
#include "models/selection/popularity.h"
#include "models/selection/selection_model.h"

namespace sparseserve::selection {

struct LocalityConfig {
  std::vector<OverlapPoint> overlap = {{1, 0.80}, {12, 0.9068}, {16, 0.9099}};
  // Exponent of the power law of fresh blocks over the context, 0 (uniform) .. 0.9; the newest are
  // the most popular. No published value.
  double skew = 0;
  // v: 1 - o(w) of the sparse layers is spread evenly over 1 - v .. 1 + v times its mean, in an
  // order drawn from the seed; 0 .. 1. No published value.
  double per_layer_variation = 0;
  // Which of the independent draws of the same locality; the spread of a result over draws is what
  // the model leaves open.
  std::int64_t draw = 0;
  std::uint64_t seed = 1;
};

// "flat-tail" (default), "shadowkv-60"; throws InputError naming the known ones.
LocalityConfig LocalityPreset(std::string_view name);
std::vector<std::string> LocalityPresetNames();

class LocalityModel : public SelectionModel {
 public:
  // `heads`: units of a block in one layer (1 for Granularity::kLayer). Throws InputError on a
  // policy or configuration that makes no sense, or an overlap below the always-selected share.
  LocalityModel(const SelectionPolicy& policy, const LocalityConfig& config,
                std::int64_t num_layers, std::int64_t heads);

  void BeginRequest(RequestIndex request, std::uint64_t request_key,
                    std::int64_t prompt_blocks) override;
  // Throws InputError when units no longer fit into 32 bits.
  void Step(RequestIndex request, std::int64_t layer, std::int64_t context_blocks,
            SelectionDelta& delta) override;
  void EndRequest(RequestIndex request) override;

  // Bytes held for a request at present.
  std::int64_t RequestBytes(RequestIndex request) const;

 private:
  struct Layer {
    std::uint32_t context = 0;  // blocks at the last step
    std::uint32_t steps = 0;    // asked so far
    std::uint32_t first_sparse_step = 0;
    std::uint32_t plan_context = 0;  // that `plan` was made for
    LaneLayout layout;
    ReplacementPlan plan;
    std::vector<std::uint32_t> lanes;  // heads x layout.words(); empty while all is selected
  };
  struct Request {
    std::uint64_t key = 0;
    bool active = false;
    std::vector<Layer> layers;
  };

  void SelectAllNew(const Layer& layer, std::uint32_t context, SelectionDelta& delta) const;
  void StepSparse(Layer& layer, std::uint64_t step_key, double change_scale, std::uint32_t context,
                  SelectionDelta& delta);
  // Makes room for `context` blocks, keeping the lanes' state.
  void GrowLanes(Layer& layer, std::uint32_t context) const;
  void UpdatePlan(Layer& layer, double change_scale, std::uint32_t context) const;

  SelectionPolicy policy_;
  OverlapCurves curves_;
  Popularity popularity_;
  std::uint64_t seed_;
  std::uint32_t heads_;
  std::uint32_t budget_;  // blocks
  std::uint32_t ring_blocks_;
  std::vector<double> layer_change_scale_;  // mean 1 over the sparse layers
  std::vector<Request> requests_;           // by RequestIndex
  LaneScratch scratch_;
};

}  // namespace sparseserve::selection
