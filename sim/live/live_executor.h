// Runs iterations for real: the scheduler's plan becomes kernels on a backend, the KV cache's
// decisions become copies between two real pools, and the times are measured.
//
// It stands behind the same interface as the simulated executor and keeps the same order (lanes of
// simulated_executor.h): in each layer projection, saves of the new K and V, metadata of blocks
// that fill, score and top-k, prefill attention beside the load of missed blocks, decode attention,
// output and MLP. The host waits for the top-k of a layer before it can ask the cache what to load.
//
// Time. The compute lane is marked by events; the interval before a mark belongs to what ran in it.
// Where the lane waited, the part until the load was complete is load stall, the rest is the
// host's. What the engine does between two iterations counts as host time of the second.
//
// Rules of the bytes:
// (1) A block is written in its slot and saved from a copy of the new tokens (`fragments`, one
//     buffer for even and one for odd iterations; one layer's buffer in layer-segmented prefill),
//     so a slot may be reused before its save is complete.
// (2) One copy per block saves a block when it is full. A partly filled block of a request that
//     pauses, or that lost it to another request while the iteration was planned, is saved before
//     anything else runs: its bytes are still where they were.
// (3) Saves count as complete when the next iteration is planned, and while one runs only as it has
// to
//     wait for them. So a simulation can follow the run exactly (MeasuredRun).
// (4) The newest block of a request that resumes may have been evicted: then its token is written
//     once more when the block has been loaded.
//
// Single-threaded but for the backend's lanes.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/speed_probe.h"
#include "models/selection/policy.h"
#include "models/selection/recording_model.h"
#include "models/selection/selection_model.h"
#include "models/selection/selection_trace.h"
#include "sim/kvcache/kv_cache.h"
#include "sim/live/arena.h"
#include "sim/live/kv_store.h"
#include "sim/live/lane_clock.h"
#include "sim/live/live_model.h"
#include "sim/live/live_request.h"
#include "sim/live/metadata_store.h"
#include "sim/scheduler/offload_memory.h"
#include "sim/scheduler/paged_memory.h"
#include "sim/serving/executor.h"
#include "sim/serving/iteration_work.h"
#include "sim/serving/simulation.h"
#include "sim/serving/timeline.h"

namespace sparseserve::live {

using scheduler::RequestIndex;

struct LiveExecutorConfig {
  scheduler::KvGeometry geometry;
  selection::SelectionPolicy selection;
  cost::LoadMethod load = cost::LoadMethod::kFlashH2d;
  cost::SaveMethod save = cost::SaveMethod::kFlashD2h;
  bool layer_segmented = false;
  Tokens max_batch_tokens;
  std::int64_t max_requests = 0;
  Tokens longest_prompt;  // of the workload
  Tokens longest_output;
  std::uint64_t seed = 1;
};

// Host work that compute waited for; `calibrate` makes curves of it (host_bench.h).
struct HostSample {
  std::int64_t items = 0;  // requests of the batch, or units that a layer selects
  Seconds time;
};
struct HostSamples {
  // Between two iterations that follow at once, the second without prefill: what a prompt's begin
  // allocates is not the iteration's.
  std::vector<HostSample> iterations;
  // Of layers without prefill attention, from the end of top-k: until a load begins, and until
  // attention can where there is none.
  std::vector<HostSample> selects, attends;
  // Of the same layers: a load of so many units from begin to end, and from then until compute goes
  // on.
  std::vector<HostSample> loads;
  std::vector<double> resumes;  // seconds
  // What handing a layer's save to its lane takes the compute lane, which wakes it.
  std::vector<double> saves;  // seconds
};

// What a live run leaves behind beside its figures.
struct LiveRecord {
  // Tokens of each request, by id of the trace.
  std::map<std::int64_t, std::vector<std::int32_t>> generated;
  serving::MeasuredRun timing;
  HostSamples host;
  struct {
    kernels::SpeedSamples before, between, after;  // the iterations
  } speed;
};

class LiveExecutor : public serving::Executor {
 public:
  // One of `paged` and `offload` is given. `replay` replaces what the scores say by its own choice;
  // null: the scores decide. `record` is told every choice. `probe` is sampled between iterations,
  // off the clock. These and the timeline may be null.
  // All outlive the executor.
  // Throws InputError when the configuration cannot run live.
  LiveExecutor(const LiveExecutorConfig& config, kernels::Backend& backend,
               const llm::Architecture& model, scheduler::PagedMemory* paged,
               scheduler::OffloadMemory* offload, selection::SelectionModel* replay,
               selection::SelectionTraceWriter* record, serving::Timeline* timeline,
               kernels::SpeedProbe* probe, LiveRecord& left);
  ~LiveExecutor() override;

  void BeginDecode(RequestIndex index, const scheduler::RequestState& request) override;
  void EndDecode(RequestIndex index) override;
  serving::IterationResult Execute(SimTime start, const scheduler::IterationPlan& plan,
                                   const std::vector<scheduler::RequestState>& table) override;
  SimTime SavesDone() const override;
  void CompleteSaves(SimTime now) override;

 private:
  using Clock = std::chrono::steady_clock;
  class ScoredSelection;  // what the scores of the layer under way say
  // A layer whose compute lane waited for the host since `scored`.
  struct HostWait {
    std::int64_t units = 0;
    kernels::EventPtr scored, ready;
    std::int64_t loads = 0;             // blocks; meaningless without a load
    kernels::EventPtr loading, loaded;  // null without a load
  };
  struct Handover {
    kernels::EventPtr begin, end;
  };
  struct PendingSave {
    kvcache::SaveTicket ticket = 0;
    std::vector<kernels::EventPtr> events;
  };

  bool offloads() const { return offload_ != nullptr; }
  bool sparse(std::int64_t layer) const {
    return config_.geometry.budget_blocks > 0 && layer >= config_.geometry.dense_layers;
  }
  LiveRequest& At(RequestIndex index) { return *requests_[static_cast<std::size_t>(index)]; }
  void Forget(RequestIndex index);

  // --- an iteration
  void Prepare(const scheduler::IterationPlan& plan,
               const std::vector<scheduler::RequestState>& table);
  void PrepareDecodes(const scheduler::IterationPlan& plan,
                      const std::vector<scheduler::RequestState>& table);
  void BeginRequest(RequestIndex index, const scheduler::RequestState& state);
  void RefreshRows(RequestIndex index, std::int64_t blocks);
  void MakeRoom();
  void SavePausedTails(const scheduler::IterationPlan& plan);
  void EnterRun(const serving::LayerRun& run, const scheduler::IterationPlan& plan);
  void CutRegions(const PieceRows& rows, std::int64_t& fragments);
  void LeaveRun(const serving::LayerRun& run);
  void Sample();
  void SampleHost();
  void SampleSpeed();

  // --- a layer
  void RunLayer(std::int64_t layer);
  void ProjectAndStore(std::int64_t layer);
  void Store(const StoreRegion& region, const void* qkv, const std::int32_t* slots,
             std::byte* fragments);
  std::byte* FragmentsOf(std::int64_t layer, const StoreRegion& region) const;
  void Save(std::int64_t layer);
  void SaveTokens(std::int64_t layer);
  void SaveWholeBlocks(std::int64_t layer, bool late);
  void BuildMetadata(std::int64_t layer, bool late);
  void ScoreAndChoose(std::int64_t layer);
  void CompareWithScores(RequestIndex index, std::int64_t layer, selection::SelectionDelta& delta);
  void AttendPrefills(std::int64_t layer);
  kernels::EventPtr SelectAndLoad(std::int64_t layer, const kernels::EventPtr& before);
  void StoreLate(std::int64_t layer);
  void ListAttended(std::int64_t layer);
  void AttendDecodes(std::int64_t layer, const kernels::EventPtr& scored,
                     const kernels::EventPtr& loaded);
  void WaitForOldestSave();
  void CompleteOldestSave();

  std::int32_t TokenAt(const LiveRequest& request, std::int64_t position) const;
  std::int32_t SlotOf(RequestIndex index, std::int64_t layer, std::int64_t head,
                      std::int64_t block) const;
  std::int32_t PrefillSlot(RequestIndex index, std::int64_t layer, std::int64_t head,
                           std::int64_t block) const;
  std::int64_t MetadataEntry(const LiveRequest& request, std::int64_t layer, std::int64_t head,
                             std::int64_t block) const;
  // Copies an index table to the device, in the order of the compute lane.
  template <typename T>
  const T* Upload(const std::vector<T>& values);

  LiveExecutorConfig config_;
  kernels::Backend& backend_;
  scheduler::PagedMemory* paged_;
  scheduler::OffloadMemory* offload_;
  kvcache::KvCache* cache_;  // of offload_
  serving::Timeline* timeline_;
  kernels::MetadataKind metadata_kind_;
  kernels::LoadMethod load_method_;
  kernels::SaveMethod save_method_;
  std::int32_t group_ = 1;  // query heads of a KV head
  float scale_ = 1;         // 1 / sqrt(head_dim)
  std::int64_t vocabulary_ = 0;
  std::int64_t q_row_bytes_ = 0;  // queries of one token
  std::int64_t token_bytes_ = 0;  // K and V of one token in one layer

  LiveModel model_;
  kernels::KvLayout layout_;
  KvStore store_;
  std::unique_ptr<MetadataStore> metadata_;  // null: full attention
  LaneClock clock_;
  Arena host_[2], device_;  // host scratch alternates: saves of the last iteration read it
  Arena* host_now_ = nullptr;
  kernels::Buffer hidden_, queries_, attended_;  // by row
  std::int64_t row_capacity_ = 0;
  kernels::Buffer outputs_, sampled_, sampled_host_;
  kernels::Buffer fragments_[2];      // by parity of the iteration: [layer, tokens]
  kernels::Buffer segment_;           // layer-segmented prefill: one layer
  std::int64_t layer_fragments_ = 0;  // bytes of one layer in fragments_
  std::vector<kernels::Buffer> spare_activations_;

  std::vector<std::unique_ptr<LiveRequest>> requests_;  // by index
  LiveRecord& left_;
  kernels::SpeedProbe* probe_;
  std::unique_ptr<ScoredSelection> scored_;
  std::unique_ptr<selection::RecordingModel> recording_;
  selection::SelectionModel* chooser_ = nullptr;
  LiveBatch batch_;
  std::size_t current_row_ = 0;      // whose choice is asked for
  selection::UnitSet chosen_;        // scratch of CompareWithScores
  std::vector<std::int32_t> slots_;  // by (row, head), of the layer under way
  BlockTables tables_;               // likewise
  std::vector<kvcache::Load> loads_;
  selection::SelectionDelta delta_;
  serving::IterationWork work_;
  serving::IterationResult result_;
  std::vector<HostWait> host_waits_;            // of this iteration
  std::vector<Handover> save_handovers_;        // likewise
  std::vector<PendingSave> pending_;            // oldest first
  std::vector<kernels::EventPtr> layer_saved_;  // by layer: saved by layer-segmented prefills
  kernels::EventPtr segment_copied_;            // segment_ may be written again
  kvcache::SaveTicket ticket_ = 0;              // of the iteration under way
  kvcache::SaveTicket saved_ = 0;               // all saves up to it are complete
  SimTime last_end_;
  Clock::time_point last_wall_;
  Clock::time_point last_probe_;
};

template <typename T>
const T* LiveExecutor::Upload(const std::vector<T>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  if (count == 0) return nullptr;
  T* host = host_now_->Take<T>(count);
  T* device = device_.Take<T>(count);
  std::copy(values.begin(), values.end(), host);
  backend_.Copy(kernels::Lane::kCompute, device, host,
                Bytes(count * static_cast<std::int64_t>(sizeof(T))));
  return device;
}

}  // namespace sparseserve::live
