// The operations of a calibration record as calls of a backend: for each the sizes that can be
// measured, and how to make a call of one size. Work is counted as the cost model counts it
// (calibration/README.md, models/cost), because a curve is looked up with its numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/bench/call.h"
#include "kernels/bench/refinement.h"
#include "kernels/bench/workbench.h"

namespace sparseserve::bench {

struct OperationPlan {
  std::string name;
  // The axes that its time depends on: items, and what sets the item bytes. Equal x and y on a
  // rectangle give equal items and item bytes, except for attention.prefill.
  Axis x;
  Axis y;
  std::function<Call(std::int64_t x, std::int64_t y)> prepare;
  // Calls of the model's own shapes, to be held out; x is on its axis.
  std::vector<std::function<Call(std::int64_t x)>> extras{};
};

// All that the backend supports. REQUIRES: `workbench` outlives the plans and their calls.
std::vector<OperationPlan> PlanOperations(Workbench& workbench);

// By kind; PlanOperations is their union.
std::vector<OperationPlan> PlanTransfers(Workbench& workbench);  // h2d.*, d2h.*, cpu.scatter
std::vector<OperationPlan> PlanAttention(Workbench& workbench);  // attention.*, merge
std::vector<OperationPlan> PlanSelection(Workbench& workbench);  // metadata, score, topk
std::vector<OperationPlan> PlanLayer(Workbench& workbench);      // gemm, elementwise

// Single calls, which the bench matrix and the interference measurement use as well.
Call MakeLoad(Workbench& workbench, kernels::LoadMethod method, std::int64_t num_blocks,
              std::int64_t block_bytes, int max_workers = 0);
Call MakeSave(Workbench& workbench, kernels::SaveMethod method, std::int64_t num_fragments,
              std::int64_t fragment_bytes, int max_workers = 0);
// What FlashD2H occupies the lane with: copies into the slots of the ring.
Call MakeStagingCopy(Workbench& workbench, std::int64_t num_fragments, std::int64_t fragment_bytes);
Call MakeScatter(Workbench& workbench, std::int64_t num_fragments, std::int64_t fragment_bytes);
// The products of a layer: (n, k) of their weights [n, k].
std::vector<std::pair<std::int64_t, std::int64_t>> ProjectionShapes(const ModelShape& model);
Call MakeGemm(Workbench& workbench, std::int64_t tokens, std::int64_t n, std::int64_t k);
// Enqueues the GEMMs of one row that read all weights of the model.
void ReadWeights(Workbench& workbench);
Call MakeDecode(Workbench& workbench, bool sparse, std::int64_t requests, std::int64_t tokens);
Call MakePrefill(Workbench& workbench, std::int64_t queries, std::int64_t context);
Call MakeTopK(Workbench& workbench, std::int64_t rows, std::int64_t blocks_per_row, std::int32_t k);

}  // namespace sparseserve::bench
