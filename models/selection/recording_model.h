// Passes the selections of another model through and records them.
#pragma once

#include <cstdint>
#include <vector>

#include "models/selection/selection_model.h"
#include "models/selection/selection_trace.h"

namespace sparseserve::selection {

// Both the model and the writer outlive it; finishing the writer is the caller's. A step that ends
// before every layer was asked is not recorded.
class RecordingModel : public SelectionModel {
 public:
  // When a step is encoded: with its last layer, or by WriteSteps(). Who asks against the clock
  // tells when, at the latest before the request's next step or end.
  enum class Writes : std::uint8_t { kAtOnce, kWhenTold };

  RecordingModel(SelectionModel& model, SelectionTraceWriter& writer, std::int64_t num_layers,
                 Writes writes = Writes::kAtOnce)
      : model_(model), writer_(writer), num_layers_(num_layers), writes_(writes) {}

  void BeginRequest(RequestIndex request, std::uint64_t request_key,
                    std::int64_t prompt_blocks) override;
  void Step(RequestIndex request, std::int64_t layer, std::int64_t context_blocks,
            SelectionDelta& delta) override;
  void EndRequest(RequestIndex request) override;

  // Writes the steps that are complete and not written.
  void WriteSteps();

 private:
  struct Active {
    std::size_t recording = 0;
    std::int64_t layers_asked = 0;  // in the step under way
    std::int64_t context_blocks = 0;
    std::vector<SelectionDelta> layers;
  };

  SelectionModel& model_;
  SelectionTraceWriter& writer_;
  std::int64_t num_layers_;
  Writes writes_;
  std::vector<Active> active_;          // by RequestIndex
  std::vector<RequestIndex> complete_;  // those with a step to write
};

}  // namespace sparseserve::selection
