// Requests, the batch of an iteration and its time; the layers stand in live_layer.cc.
#include "sim/live/live_executor.h"

#include <algorithm>
#include <cmath>

#include "sim/core/check.h"
#include "sim/core/error.h"
#include "sim/core/hash.h"
#include "sim/core/rng.h"

namespace sparseserve::live {

using kernels::ElementBytes;
using kernels::Lane;
using scheduler::IterationPlan;
using scheduler::PrefillPiece;
using scheduler::RequestState;

namespace {

void Require(bool condition, const char* key, const char* what) {
  if (condition) return;
  throw InputError({.where = {},
                    .key = key,
                    .what = what,
                    .expected = "",
                    .hint = "simulate runs it, live mode does not"});
}

kernels::LoadMethod LoadMethodOf(cost::LoadMethod method) {
  return method == cost::LoadMethod::kFlashH2d ? kernels::LoadMethod::kGather
                                               : kernels::LoadMethod::kCopyPerBlock;
}

kernels::SaveMethod SaveMethodOf(cost::SaveMethod method) {
  switch (method) {
    case cost::SaveMethod::kMemcpyPerBlock:
      return kernels::SaveMethod::kCopyPerBlock;
    case cost::SaveMethod::kGpuDirect:
      return kernels::SaveMethod::kDirect;
    case cost::SaveMethod::kFlashD2h:
      break;
  }
  return kernels::SaveMethod::kStaged;
}

kernels::MetadataKind KindOf(const selection::SelectionPolicy& policy) {
  if (policy.metadata_vectors == 1) return kernels::MetadataKind::kMean;
  return policy.name == "quest" ? kernels::MetadataKind::kMinMax
                                : kernels::MetadataKind::kCuboidMean;
}

const LiveExecutorConfig& Checked(const LiveExecutorConfig& config, const kernels::Backend& backend,
                                  const llm::Architecture& model) {
  const scheduler::KvGeometry& g = config.geometry;
  Require(config.selection.granularity == selection::Granularity::kKvHead, "selection.granularity",
          "one choice for all heads of a layer");
  Require(g.reuse_interval == 1, "selection.reuse_interval", "a choice kept for several steps");
  Require(g.heads == model.num_kv_heads, "tensor_parallel", "more than one GPU");
  Require(g.budget_blocks == 0 || config.selection.recent_blocks >= 1, "selection.recent_blocks",
          "no recent block, not even the one that is being filled");
  Require(
      backend.Supports(LoadMethodOf(config.load)) && backend.Supports(SaveMethodOf(config.save)),
      "systems", "a transfer that this backend does not have");
  return config;
}

std::int64_t SlotCount(const scheduler::PagedMemory* paged,
                       const scheduler::OffloadMemory* offload) {
  return paged != nullptr ? paged->capacity_blocks() : offload->capacity_blocks();
}

}  // namespace

class LiveExecutor::ScoredSelection : public selection::SelectionModel {
 public:
  explicit ScoredSelection(LiveExecutor& executor) : executor_(executor) {}
  void BeginRequest(RequestIndex, std::uint64_t, std::int64_t) override {}
  void Step(RequestIndex index, std::int64_t layer, std::int64_t,
            selection::SelectionDelta& delta) override {
    executor_.CompareWithScores(index, layer, delta);
  }
  void EndRequest(RequestIndex) override {}

 private:
  LiveExecutor& executor_;
};

LiveExecutor::LiveExecutor(const LiveExecutorConfig& config, kernels::Backend& backend,
                           const llm::Architecture& model, scheduler::PagedMemory* paged,
                           scheduler::OffloadMemory* offload, selection::SelectionModel* replay,
                           selection::SelectionTraceWriter* record, serving::Timeline* timeline,
                           kernels::SpeedProbe* probe, LiveRecord& left)
    : config_(Checked(config, backend, model)),
      backend_(backend),
      paged_(paged),
      offload_(offload),
      cache_(offload != nullptr ? &offload->cache() : nullptr),
      timeline_(timeline),
      metadata_kind_(KindOf(config.selection)),
      load_method_(LoadMethodOf(config.load)),
      save_method_(SaveMethodOf(config.save)),
      model_(backend, model, config.seed,
             std::max(config.max_batch_tokens.value(), config.max_requests), config.max_requests),
      layout_{model_.type(), static_cast<std::int32_t>(config.geometry.block_tokens.value()),
              static_cast<std::int32_t>(model.head_dim)},
      store_(backend, config.geometry, layout_, SlotCount(paged, offload),
             offload != nullptr ? cache_->free_dram_blocks() : 0),
      clock_(backend),
      host_{{backend, Place::kHost}, {backend, Place::kHost}},
      device_(backend, Place::kDevice),
      left_(left),
      probe_(probe) {
  const scheduler::KvGeometry& g = config.geometry;
  group_ = static_cast<std::int32_t>(model.num_q_heads / model.num_kv_heads);
  scale_ = static_cast<float>(1 / std::sqrt(static_cast<double>(model.head_dim)));
  vocabulary_ = model.vocab_size;
  q_row_bytes_ = model.num_q_heads * model.head_dim * ElementBytes(layout_.type);
  token_bytes_ = g.heads * 2 * model.head_dim * ElementBytes(layout_.type);
  if (g.budget_blocks > 0) {
    const Tokens longest = config.longest_prompt + config.longest_output;
    const std::int64_t per_request = BlocksFor(longest, g.block_tokens).value() * g.lanes();
    const std::int64_t entry_bytes =
        kernels::MetadataVectors(metadata_kind_) * model.head_dim * ElementBytes(layout_.type);
    metadata_ =
        std::make_unique<MetadataStore>(backend, entry_bytes, per_request * config.max_requests);
  }
  outputs_ = backend.AllocateDevice(Bytes(config.max_requests * model_.row_bytes()));
  sampled_ = backend.AllocateDevice(Bytes(config.max_requests * 4));
  sampled_host_ = backend.AllocateHost(Bytes(config.max_requests * 4));
  layer_saved_.resize(static_cast<std::size_t>(g.num_layers));
  scored_ = std::make_unique<ScoredSelection>(*this);
  chooser_ = replay != nullptr ? replay : scored_.get();
  if (record != nullptr) {
    recording_ = std::make_unique<selection::RecordingModel>(
        *chooser_, *record, g.num_layers, selection::RecordingModel::Writes::kWhenTold);
    chooser_ = recording_.get();
  }
  last_wall_ = Clock::now();
}

LiveExecutor::~LiveExecutor() { backend_.Synchronize(); }

std::int32_t LiveExecutor::TokenAt(const LiveRequest& request, std::int64_t position) const {
  if (position < request.prompt) {
    const auto id = static_cast<std::uint64_t>(request.id);
    CounterRng rng(
        HashCombine(HashCombine(config_.seed, id), static_cast<std::uint64_t>(position)));
    return static_cast<std::int32_t>(rng.Below(static_cast<std::uint32_t>(vocabulary_)));
  }
  return left_.generated.at(request.id)[static_cast<std::size_t>(position - request.prompt)];
}

// A prefill starts, for the first time or after a preemption.
void LiveExecutor::BeginRequest(RequestIndex index, const RequestState& state) {
  const auto i = static_cast<std::size_t>(index);
  while (requests_.size() <= i) requests_.push_back(std::make_unique<LiveRequest>());
  Forget(index);
  LiveRequest& request = At(index);
  request.id = state.id;
  request.prompt = state.prompt.value();
  left_.generated[state.id].resize(static_cast<std::size_t>(state.generated.value()));
  const scheduler::KvGeometry& g = config_.geometry;
  request.choice.assign(static_cast<std::size_t>(g.num_layers), BlockChoice(g.heads));
  if (metadata_ != nullptr) {
    request.metadata_blocks =
        BlocksFor(state.prompt + config_.longest_output, g.block_tokens).value();
    request.metadata_first = metadata_->Take(request.metadata_blocks * g.lanes());
  }
}

void LiveExecutor::Forget(RequestIndex index) {
  LiveRequest& request = At(index);
  if (request.metadata_first >= 0)
    metadata_->Return(request.metadata_first, request.metadata_blocks * config_.geometry.lanes());
  if (request.activations.data() != nullptr)
    spare_activations_.push_back(std::move(request.activations));
  request = LiveRequest();
}

void LiveExecutor::BeginDecode(RequestIndex index, const RequestState& request) {
  const std::int64_t blocks =
      BlocksFor(request.prefill_target, config_.geometry.block_tokens).value();
  chooser_->BeginRequest(index, static_cast<std::uint64_t>(request.id), blocks);
  LiveRequest& live = At(index);
  if (live.activations.data() != nullptr) spare_activations_.push_back(std::move(live.activations));
}

void LiveExecutor::EndDecode(RequestIndex index) {
  chooser_->EndRequest(index);
  Forget(index);
}

void LiveExecutor::CompleteSaves(SimTime) {
  const auto is_done = [](const kernels::EventPtr& event) { return event->IsDone(); };
  while (!pending_.empty() &&
         std::all_of(pending_.front().events.begin(), pending_.front().events.end(), is_done)) {
    CompleteOldestSave();
  }
}

void LiveExecutor::CompleteOldestSave() {
  saved_ = pending_.front().ticket;
  if (cache_ != nullptr) cache_->CompleteSaves(saved_);
  pending_.erase(pending_.begin());
}

SimTime LiveExecutor::SavesDone() const {
  if (pending_.empty()) return SimTime();
  constexpr Seconds kPoll{50e-6};
  const std::chrono::duration<double> since = Clock::now() - last_wall_;
  return last_end_ + Seconds(since.count()) + kPoll;
}

void LiveExecutor::WaitForOldestSave() {
  SPARSESERVE_CHECK(!pending_.empty() && pending_.front().ticket < ticket_,
                    "one layer's selection does not fit into HBM");
  for (const kernels::EventPtr& event : pending_.front().events) event->Synchronize();
  CompleteOldestSave();
}

serving::IterationResult LiveExecutor::Execute(SimTime start, const IterationPlan& plan,
                                               const std::vector<RequestState>& table) {
  // What the engine did since the last iteration, if it went on at once.
  const auto entered = start == last_end_ ? last_wall_ : Clock::now();
  const bool at_once = start == last_end_;
  result_ = {};
  ticket_ = plan.ticket;
  Prepare(plan, table);
  const std::chrono::duration<double> before = Clock::now() - entered;
  if (timeline_ != nullptr)
    timeline_->Add(serving::Lane::kScheduler, "host", start, start + Seconds(before.count()));
  clock_.Begin();
  for (const serving::LayerRun& run : work_.runs()) {
    EnterRun(run, plan);
    for (std::int64_t layer = run.begin; layer < run.end && batch_.rows > 0; ++layer)
      RunLayer(layer);
    LeaveRun(run);
  }
  Sample();
  clock_.Harvest(start + Seconds(before.count()), work_.PrefillShare(), result_, timeline_);
  result_.time.host += Seconds(before.count());
  result_.time.duration += Seconds(before.count());
  if (at_once && plan.prefills.empty()) {
    left_.host.iterations.push_back(
        {static_cast<std::int64_t>(plan.decodes.size()), Seconds(before.count())});
  }
  SampleHost();
  if (recording_ != nullptr) recording_->WriteSteps();
  for (std::size_t row = 0; row < batch_.decodes.size(); ++row)
    left_.generated[At(batch_.decodes[row].request).id].push_back(
        sampled_host_.As<std::int32_t>()[row]);
  for (std::size_t i = 0; i < batch_.completed.size(); ++i)
    left_.generated[At(batch_.completed[i]).id].push_back(
        sampled_host_.As<std::int32_t>()[batch_.decodes.size() + i]);
  left_.timing.durations.push_back(result_.time.duration);
  SampleSpeed();
  last_end_ = start + result_.time.duration;
  last_wall_ = Clock::now();
  return result_;
}

void LiveExecutor::SampleSpeed() {
  constexpr std::chrono::milliseconds kBetweenProbes{50};
  if (probe_ == nullptr || Clock::now() - last_probe_ < kBetweenProbes) return;
  left_.speed.between.Add(probe_->Sample());
  last_probe_ = Clock::now();
}

void LiveExecutor::SampleHost() {
  HostSamples& host = left_.host;
  for (const HostWait& wait : host_waits_) {
    if (wait.loading == nullptr) {
      host.attends.push_back({wait.units, backend_.Elapsed(wait.scored, wait.ready)});
      continue;
    }
    host.selects.push_back({wait.units, backend_.Elapsed(wait.scored, wait.loading)});
    host.loads.push_back({wait.loads, backend_.Elapsed(wait.loading, wait.loaded)});
    host.resumes.push_back(backend_.Elapsed(wait.loaded, wait.ready).value());
  }
  host_waits_.clear();
  for (const auto& [begin, end] : save_handovers_)
    host.saves.push_back(backend_.Elapsed(begin, end).value());
  save_handovers_.clear();
}

void LiveExecutor::Prepare(const IterationPlan& plan, const std::vector<RequestState>& table) {
  // The save buffers and host scratch are double: those of the iteration before the last are
  // reused.
  left_.timing.saved_before.push_back(saved_);
  while (!pending_.empty() && pending_.front().ticket + 2 <= plan.ticket) WaitForOldestSave();
  host_now_ = &host_[plan.ticket % 2];
  host_now_->Reset();
  device_.Reset();
  pending_.push_back({plan.ticket, {}});
  for (const PrefillPiece& piece : plan.prefills) {
    const RequestState& state = table[static_cast<std::size_t>(piece.request)];
    if (piece.begin == Tokens(0) && piece.layer_begin == 0) BeginRequest(piece.request, state);
    RefreshRows(piece.request, BlocksFor(piece.end, config_.geometry.block_tokens).value());
  }
  work_.Build(plan, table, config_.geometry);
  PrepareDecodes(plan, table);
  batch_.completed.clear();
  for (const PrefillPiece& piece : plan.prefills)
    if (piece.completes) batch_.completed.push_back(piece.request);
  MakeRoom();
  if (offloads() && save_method_ == kernels::SaveMethod::kCopyPerBlock) SavePausedTails(plan);
}

void LiveExecutor::PrepareDecodes(const IterationPlan& plan,
                                  const std::vector<RequestState>& table) {
  batch_.decodes.clear();
  batch_.num_choosing = batch_.max_scored = 0;
  for (const bool choosing : {true, false}) {
    for (const RequestIndex index : plan.decodes) {
      const std::int64_t context = table[static_cast<std::size_t>(index)].context().value();
      const std::int64_t blocks = BlocksFor(Tokens(context), config_.geometry.block_tokens).value();
      const std::int64_t budget = config_.geometry.budget_blocks;
      if ((budget > 0 && blocks > budget) != choosing) continue;
      batch_.decodes.push_back(
          {.request = index, .context = context, .blocks = blocks, .chooses = choosing});
      if (choosing) batch_.max_scored = std::max(batch_.max_scored, blocks - 1);
      RefreshRows(index, blocks);
    }
    if (choosing) batch_.num_choosing = static_cast<std::int64_t>(batch_.decodes.size());
  }
  batch_.plan_order.clear();
  for (const RequestIndex index : plan.decodes) {
    const auto row = std::find_if(batch_.decodes.begin(), batch_.decodes.end(),
                                  [&](const DecodeRow& decode) { return decode.request == index; });
    batch_.plan_order.push_back(static_cast<std::size_t>(row - batch_.decodes.begin()));
  }
}

void LiveExecutor::RefreshRows(RequestIndex index, std::int64_t blocks) {
  std::vector<std::int32_t>& rows = At(index).dram_rows;
  if (!offloads()) return;
  for (auto block = static_cast<std::int64_t>(rows.size()); block < blocks; ++block)
    rows.push_back(cache_->DramRow(index, block));
}

// Grows the buffers by row; nothing of an earlier iteration is in them.
void LiveExecutor::MakeRoom() {
  const auto decodes = static_cast<std::int64_t>(batch_.decodes.size());
  std::int64_t rows = decodes;
  std::int64_t widest = 0;
  for (const serving::LayerRun& run : work_.runs()) {
    rows = std::max(rows, decodes + run.prefill_tokens.value());
    widest = std::max(widest, run.prefill_tokens.value());
  }
  if (rows > row_capacity_) {
    backend_.Synchronize();
    row_capacity_ = rows + rows / 4;
    hidden_ = backend_.AllocateDevice(Bytes(row_capacity_ * model_.row_bytes()));
    queries_ = backend_.AllocateDevice(Bytes(row_capacity_ * q_row_bytes_));
    attended_ = backend_.AllocateDevice(Bytes(row_capacity_ * q_row_bytes_));
  }
  if (!offloads()) return;
  const auto ensure = [&](kernels::Buffer& buffer, std::int64_t bytes) {
    if (buffer.size().value() >= bytes) return;
    backend_.Synchronize();
    buffer = backend_.AllocateDevice(Bytes(bytes + bytes / 4));
  };
  const std::int64_t in_layer = config_.layer_segmented ? decodes : rows;
  layer_fragments_ = in_layer * token_bytes_;
  ensure(fragments_[ticket_ % 2], layer_fragments_ * config_.geometry.num_layers);
  if (config_.layer_segmented) ensure(segment_, widest * token_bytes_);
}

// Rule (2).
void LiveExecutor::SavePausedTails(const IterationPlan& plan) {
  const scheduler::KvGeometry& g = config_.geometry;
  bool any = false;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    LiveRequest& request = *requests_[i];
    const auto index = static_cast<RequestIndex>(i);
    if (request.unsaved_tail.empty()) continue;
    const bool paused =
        std::find(plan.decodes.begin(), plan.decodes.end(), index) == plan.decodes.end();
    bool lost = false;
    for (std::int64_t lane = 0; lane < g.lanes(); ++lane) {
      lost |= SlotOf(index, lane / g.heads, lane % g.heads, request.unsaved_block) !=
              request.unsaved_tail[static_cast<std::size_t>(lane)];
    }
    if (!paused && !lost) continue;
    auto* moves = host_now_->Take<kernels::FragmentMove>(g.lanes());
    for (std::int64_t lane = 0; lane < g.lanes(); ++lane) {
      moves[lane] = {
          request.unsaved_tail[static_cast<std::size_t>(lane)] * store_.block_bytes(),
          store_.DramOffset(request.dram_rows[static_cast<std::size_t>(request.unsaved_block)],
                            lane / g.heads, lane % g.heads)};
    }
    pending_.back().events.push_back(store_.SaveBlocks(save_method_, moves, g.lanes()));
    result_.d2h_bytes += g.unit_bytes * g.lanes();
    request.unsaved_tail.clear();
    any = true;
  }
  if (!any) return;
  const kernels::EventPtr saved = backend_.Record(Lane::kD2h);
  backend_.Wait(Lane::kCompute, saved);
  backend_.Wait(Lane::kH2d, saved);
  for (const kernels::EventPtr& event : pending_.back().events) event->Synchronize();
}

void LiveExecutor::Sample() {
  const auto decodes = static_cast<std::int64_t>(batch_.decodes.size());
  const std::int64_t rows = decodes + static_cast<std::int64_t>(batch_.completed.size());
  if (rows == 0) return;
  if (decodes > 0)
    backend_.Copy(Lane::kCompute, outputs_.data(), hidden_.data(),
                  Bytes(decodes * model_.row_bytes()));
  model_.Head(outputs_.data(), rows, sampled_.As<std::int32_t>());
  backend_.Copy(Lane::kCompute, sampled_host_.data(), sampled_.data(), Bytes(rows * 4));
  clock_.Mark(Part::kCompute, "head", -1);
}

}  // namespace sparseserve::live
