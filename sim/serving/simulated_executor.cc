#include "sim/serving/simulated_executor.h"

#include <algorithm>
#include <bit>

#include "sim/core/check.h"

namespace sparseserve::serving {

SimulatedExecutor::SimulatedExecutor(const SimulatedExecutorConfig& config,
                                     const cost::CostModel& costs, kvcache::KvCache* cache,
                                     selection::SelectionModel* selection,
                                     selection::OverlapMeter* meter, Timeline* timeline)
    : config_(config),
      costs_(costs),
      cache_(cache),
      selection_(selection),
      meter_(meter),
      metered_layer_(config.geometry.num_layers / 2),
      timeline_(timeline),
      layer_saved_(static_cast<std::size_t>(config.geometry.num_layers)) {
  SPARSESERVE_CHECK((cache_ == nullptr) == (selection_ == nullptr),
                    "a cache needs a selection model");
}

void SimulatedExecutor::BeginDecode(RequestIndex index, const RequestState& request) {
  if (selection_ == nullptr) return;
  const std::int64_t blocks =
      BlocksFor(request.prefill_target, config_.geometry.block_tokens).value();
  selection_->BeginRequest(index, static_cast<std::uint64_t>(request.id), blocks);
  if (meter_ == nullptr) return;
  const auto i = static_cast<std::size_t>(index);
  if (i >= metered_.size()) metered_.resize(i + 1);
  // A context within the budget overlaps by force and says nothing about the model.
  const bool chooses = blocks > config_.geometry.budget_blocks;
  metered_[i] = chooses && metered_layer_ >= config_.geometry.dense_layers ? 1 : 0;
  if (metered_[i] == 0) return;
  for (std::int64_t layer = 0; layer < config_.geometry.num_layers; ++layer) {
    if (IsMetered(layer)) meter_->BeginGroup(MeterGroup(index, layer));
  }
}

void SimulatedExecutor::EndDecode(RequestIndex index) {
  if (selection_ != nullptr) selection_->EndRequest(index);
}

void SimulatedExecutor::CompleteSaves(SimTime now) {
  kvcache::SaveTicket saved = 0;
  if (config_.imposed != nullptr) {
    if (num_iterations_ < config_.imposed->saved_before.size())
      saved = config_.imposed->saved_before[num_iterations_];
  } else {
    for (const PendingSave& save : pending_) {
      if (save.done > now) break;
      saved = save.ticket;
    }
  }
  CompleteUpTo(saved);
}

void SimulatedExecutor::CompleteUpTo(kvcache::SaveTicket ticket) {
  std::size_t done = 0;
  while (done < pending_.size() && pending_[done].ticket <= ticket) ++done;
  if (done == 0) return;
  if (cache_ != nullptr) cache_->CompleteSaves(ticket);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(done));
}

// One layer stands for all of a locality model; those of a real model differ.
bool SimulatedExecutor::IsMetered(std::int64_t layer) const {
  if (config_.imposed != nullptr) return layer >= config_.geometry.dense_layers;
  const scheduler::LaneSampling& sampling = config_.geometry.sampling;
  return sampling.StratumOf(layer) == sampling.StratumOf(metered_layer_);
}

std::size_t SimulatedExecutor::MeterGroup(RequestIndex index, std::int64_t layer) const {
  const auto request = static_cast<std::size_t>(index);
  if (config_.imposed == nullptr) return request;
  return request * static_cast<std::size_t>(config_.geometry.num_layers) +
         static_cast<std::size_t>(layer);
}

Seconds SimulatedExecutor::Take(cost::Estimate estimate) {
  result_.extrapolated |= estimate.extrapolated;
  return estimate.time;
}

IterationResult SimulatedExecutor::Execute(SimTime start, const IterationPlan& plan,
                                           const std::vector<RequestState>& table) {
  result_ = {};
  start_ = start;
  elapsed_ = Seconds(0);
  work_.Build(plan, table, config_.geometry);
  CompleteSaves(start);
  // The buffers of new K and V are double: those of the iteration before the last must be free.
  while (!pending_.empty() && pending_.front().ticket + 2 <= plan.ticket)
    StallForSaves(pending_.front().done);

  for (const LayerRun& run : work_.runs()) {
    if (cache_ != nullptr) {
      RunOffloaded(run, plan, table);
    } else {
      RunResident(run);
    }
  }
  if (work_.output_tokens() > Tokens(0)) {
    const Seconds head = Take(costs_.Head(work_.output_tokens()));
    Compute(head, result_.time.compute, "head", -1);
    const Tokens decodes(work_.decode().num_requests);
    result_.time.prefill_compute += head * (1 - decodes / work_.output_tokens());
  }
  if (cache_ != nullptr) {
    pending_.push_back({plan.ticket, saves_done_});
    if (std::has_single_bit(plan.ticket) && std::countr_zero(plan.ticket) % 2 == 0) cache_->Audit();
  }
  const auto requests = static_cast<std::int64_t>(plan.decodes.size() + plan.prefills.size());
  WaitForHost(config_.host_overhead + Take(costs_.HostIteration(requests)), -1);
  result_.time.duration = elapsed_;
  if (config_.imposed != nullptr) FollowClock();
  ++num_iterations_;
  return result_;
}

// The iteration ends when the measured one did. What the lanes have left to do by then is what they
// had left at the predicted end: on the measured clock, a prediction that is too long would
// otherwise pile up on them from iteration to iteration.
void SimulatedExecutor::FollowClock() {
  if (num_iterations_ >= config_.imposed->durations.size()) return;
  result_.time.duration = config_.imposed->durations[num_iterations_];
  const Seconds shift = result_.time.duration - elapsed_;
  for (SimTime* at : {&h2d_free_, &d2h_free_, &scatter_free_, &saves_done_, &buffer_free_})
    *at = *at + shift;
  for (SimTime& saved : layer_saved_) saved = saved + shift;
  for (PendingSave& save : pending_) save.done = save.done + shift;
}

SimulatedExecutor::LayerCost SimulatedExecutor::CostOf(const LayerRun& run, std::int64_t layer) {
  const DecodeWork& decode = work_.decode();
  const scheduler::KvGeometry& geometry = config_.geometry;
  const bool sparse = geometry.budget_blocks > 0 && layer >= geometry.dense_layers;
  const Tokens batch = run.prefill_tokens + Tokens(decode.num_requests);
  LayerCost cost;
  if (batch == Tokens(0)) return cost;
  cost.prefill_share = run.prefill_tokens / batch;
  cost.projection = Take(costs_.Projection(batch));
  cost.output_mlp = Take(costs_.OutputAndMlp(layer, batch));
  if (!run.spans.empty()) cost.prefill_attention = Take(costs_.PrefillAttention(run.spans));
  if (decode.num_requests > 0) {
    const Tokens attended = sparse ? decode.selected_tokens : decode.context_tokens;
    // Gathered blocks cost more than a full pass only where there was something to choose.
    const bool gathers = sparse && decode.gathering_requests > 0;
    cost.decode_attention = Take(costs_.DecodeAttention(decode.num_requests, attended, gathers));
    cost.units = CeilDiv(attended.value(), geometry.block_tokens.value()) * geometry.heads;
    if (sparse && decode.choosing_requests > 0) {
      cost.select =
          Take(costs_.Score(decode.scored_blocks * geometry.heads, geometry.metadata_bytes)) +
          Take(costs_.TopK(decode.choosing_requests * geometry.heads, decode.widest_blocks));
      cost.host_select = Take(costs_.HostSelect(cost.units));
      cost.host_attend = Take(cache_ != nullptr ? costs_.HostAttend(cost.units)
                                                : costs_.HostAttendResident(cost.units));
    }
  }
  if (cache_ != nullptr) AddSaveCost(run, cost);
  return cost;
}

// The new K and V of one layer. FlashD2H copies the contiguous tensor at once and scatters its
// fragments: a token of a head for decodes, a block of a head for prefill. The storing kernel
// writes the same fragments directly. One copy per block waits until a decode has filled its block;
// what a request's last block lacks is never saved, and a block that is still filling counts as
// dirty only in the iterations that decode it.
void SimulatedExecutor::AddSaveCost(const LayerRun& run, LayerCost& layer) {
  const scheduler::KvGeometry& geometry = config_.geometry;
  const bool per_block = config_.save == cost::SaveMethod::kMemcpyPerBlock;
  const std::int64_t tokens_per_fragment = per_block ? geometry.block_tokens.value() : 1;
  const std::int64_t decodes =
      per_block ? work_.decode().filled_blocks : work_.decode().num_requests;
  const Bytes token_bytes(geometry.unit_bytes.value() / geometry.block_tokens.value());
  const Bytes decode_fragment = token_bytes * tokens_per_fragment;
  const Bytes prefill_bytes = token_bytes * (run.prefill_tokens.value() * geometry.heads);
  const Bytes decode_bytes = decode_fragment * (decodes * geometry.heads);
  layer.saved = prefill_bytes + decode_bytes;
  if (layer.saved == Bytes(0)) return;
  if (config_.save == cost::SaveMethod::kFlashD2h) {
    layer.save = Take(costs_.Save(config_.save, layer.saved, 1));
    if (decodes > 0) layer.scatter += Take(costs_.Scatter(decode_bytes, token_bytes));
    if (run.prefill_blocks > 0) {
      layer.scatter += Take(costs_.Scatter(prefill_bytes, geometry.unit_bytes));
    }
    return;
  }
  if (decodes > 0) {
    layer.save += Take(costs_.Save(config_.save, decode_fragment, decodes * geometry.heads));
  }
  if (run.prefill_blocks > 0) {
    const std::int64_t fragments = run.prefill_blocks * geometry.heads;
    layer.save +=
        Take(costs_.Save(config_.save, Bytes(prefill_bytes.value() / fragments), fragments));
  }
}

// All KV in HBM: layers of one kind cost the same and nothing overlaps, so they are advanced
// together.
void SimulatedExecutor::RunResident(const LayerRun& run) {
  std::int64_t layer = run.begin;
  while (layer < run.end) {
    const std::int64_t kind = costs_.LayerKind(layer);
    const bool dense = layer < config_.geometry.dense_layers;
    std::int64_t end = layer + 1;
    while (end < run.end && costs_.LayerKind(end) == kind &&
           (end < config_.geometry.dense_layers) == dense)
      ++end;
    const LayerCost cost = CostOf(run, layer);
    if (timeline_ != nullptr) DrawResident(cost, layer, end);
    const std::int64_t layers = end - layer;
    const Seconds compute = (cost.projection + cost.select + cost.output_mlp) * layers;
    const Seconds attention = (cost.prefill_attention + cost.decode_attention) * layers;
    result_.time.compute += compute;
    result_.time.prefill_compute +=
        (cost.projection + cost.output_mlp) * layers * cost.prefill_share;
    result_.time.prefill_attention += cost.prefill_attention * layers;
    result_.time.attention += attention;
    const Seconds host = HostStall(cost) * layers;
    result_.time.host += host;
    elapsed_ += compute;
    elapsed_ += attention;
    elapsed_ += host;
    layer = end;
  }
}

// What decodes wait for the host where nothing is loaded, beyond the attention of prefills.
Seconds SimulatedExecutor::HostStall(const LayerCost& cost) {
  return std::max(cost.host_attend - cost.prefill_attention, Seconds(0));
}

// Draws the layers [begin, end) from now on; being drawn changes no time.
void SimulatedExecutor::DrawResident(const LayerCost& cost, std::int64_t begin, std::int64_t end) {
  Seconds at = elapsed_;
  const auto draw = [&](Seconds duration, const char* what, std::int64_t layer) {
    timeline_->Add(Lane::kCompute, what, start_ + at, start_ + (at + duration), layer);
    at += duration;
  };
  for (std::int64_t layer = begin; layer < end; ++layer) {
    draw(cost.projection, "projection", layer);
    draw(cost.select, "select", layer);
    draw(cost.prefill_attention, "prefill attention", layer);
    const Seconds host = HostStall(cost);
    timeline_->Add(Lane::kScheduler, "host", start_ + at, start_ + (at + host), layer);
    at += host;
    draw(cost.decode_attention, kDecodeAttentionSlice, layer);
    draw(cost.output_mlp, "output and MLP", layer);
  }
}

void SimulatedExecutor::RunOffloaded(const LayerRun& run, const IterationPlan& plan,
                                     const std::vector<RequestState>& table) {
  LayerCost cost;
  for (std::int64_t layer = run.begin; layer < run.end; ++layer) {
    const bool same = layer > run.begin && costs_.LayerKind(layer) == costs_.LayerKind(layer - 1) &&
                      layer != config_.geometry.dense_layers;
    if (!same) cost = CostOf(run, layer);
    RunLayer(cost, layer, !run.spans.empty(), plan, table);
  }
}

void SimulatedExecutor::RunLayer(const LayerCost& cost, std::int64_t layer, bool prefills,
                                 const IterationPlan& plan,
                                 const std::vector<RequestState>& table) {
  const SimTime loadable = layer_saved_[static_cast<std::size_t>(layer)];
  if (prefills && config_.layer_segmented) StallForSaves(buffer_free_);
  Compute(cost.projection, result_.time.compute, "projection", layer);
  IssueSave(cost, layer, prefills);
  Compute(cost.select, result_.time.compute, "select", layer);
  const SimTime chosen = now();
  const std::int64_t loads = SelectAndLoad(layer, plan, table);
  SimTime loaded = now();
  Seconds prefill_attention = cost.prefill_attention;
  Seconds decode_attention = cost.decode_attention;
  if (loads > 0) {
    const Seconds load = IssueLoad(loads, layer, std::max(loadable, now() + cost.host_select));
    loaded = h2d_free_ + costs_.handover();
    prefill_attention +=
        std::min(load, prefill_attention) * (costs_.ComputeSlowdown(config_.load) - 1);
    const double loaded_share = static_cast<double>(loads) / static_cast<double>(cost.units);
    decode_attention = decode_attention * costs_.AfterLoad(config_.load, loaded_share);
  }
  Compute(prefill_attention, result_.time.attention, "prefill attention", layer);
  result_.time.prefill_attention += prefill_attention;
  if (loaded > now()) {
    const Seconds stall = loaded - now();
    if (timeline_ != nullptr) timeline_->Add(Lane::kCompute, "load stall", now(), loaded, layer);
    result_.time.load_stall += stall;
    elapsed_ += stall;
  }
  WaitForHost(chosen + cost.host_attend - now(), layer);
  Compute(decode_attention, result_.time.attention, kDecodeAttentionSlice, layer);
  Compute(cost.output_mlp, result_.time.compute, "output and MLP", layer);
  result_.time.prefill_compute += (cost.projection + cost.output_mlp) * cost.prefill_share;
}

std::int64_t SimulatedExecutor::SelectAndLoad(std::int64_t layer, const IterationPlan& plan,
                                              const std::vector<RequestState>& table) {
  if (plan.decodes.empty()) return 0;
  if (config_.geometry.sampling.Leads(layer)) SelectInStratum(layer, plan, table);
  result_.loads += layer_loads_;
  result_.touches += layer_touches_;
  result_.reloads += layer_reloads_;
  return layer_loads_;
}

void SimulatedExecutor::SelectInStratum(std::int64_t first_layer, const IterationPlan& plan,
                                        const std::vector<RequestState>& table) {
  const scheduler::LaneSampling& sampling = config_.geometry.sampling;
  const kvcache::KvCacheStats before = cache_->stats();
  std::int64_t loads = 0;
  for (std::int64_t offset = 0; offset < sampling.layer_stride; ++offset) {
    bool any = false;
    for (const RequestIndex index : plan.decodes) {
      const RequestState& request = table[static_cast<std::size_t>(index)];
      if (sampling.OffsetOf(request.id) != offset) continue;
      if (!any) cache_->BeginLayer();
      any = true;
      Select(index, first_layer + offset, request.context());
    }
    if (any) loads += LoadMisses();
  }
  layer_loads_ = loads * sampling.head_stride;
  layer_touches_ = (cache_->stats().touches - before.touches) * sampling.head_stride;
  layer_reloads_ = (cache_->stats().reloads - before.reloads) * sampling.head_stride;
}

void SimulatedExecutor::Select(RequestIndex index, std::int64_t layer, Tokens context) {
  const scheduler::LaneSampling& sampling = config_.geometry.sampling;
  const std::int64_t stratum = sampling.StratumOf(layer);
  delta_.Clear();
  const std::int64_t blocks = BlocksFor(context, config_.geometry.block_tokens).value();
  selection_->Step(index, layer, blocks, delta_);
  if (meter_ != nullptr && IsMetered(layer) && metered_[static_cast<std::size_t>(index)] != 0)
    meter_->Observe(MeterGroup(index, layer), blocks, delta_);
  cache_->Select(index, stratum, delta_.added, delta_.removed);
}

std::int64_t SimulatedExecutor::LoadMisses() {
  std::int64_t loads = 0;
  while (!cache_->LoadMisses(loads)) {
    // Too much of HBM waits for its save: so does the layer.
    SPARSESERVE_CHECK(!pending_.empty(), "one layer's selection does not fit into HBM");
    StallForSaves(pending_.front().done);
  }
  return loads;
}

void SimulatedExecutor::IssueSave(const LayerCost& cost, std::int64_t layer, bool prefills) {
  WaitForHost(costs_.save_handover(), layer);
  if (cost.saved == Bytes(0)) return;
  const SimTime begin = std::max(now(), d2h_free_);
  d2h_free_ = begin + cost.save;
  d2h_rate_ = BytesPerSecond(static_cast<double>(cost.saved.value()) / cost.save.value());
  result_.d2h_busy += cost.save;
  result_.d2h_bytes += cost.saved;
  SimTime done = d2h_free_;
  if (timeline_ != nullptr) timeline_->Add(Lane::kD2h, "save", begin, d2h_free_, layer);
  if (cost.scatter > Seconds(0)) {
    const SimTime scatter = std::max(d2h_free_, scatter_free_);
    done = scatter_free_ = scatter + cost.scatter;
    result_.scatter_busy += cost.scatter;
    if (timeline_ != nullptr)
      timeline_->Add(Lane::kScatter, "scatter", scatter, scatter_free_, layer);
  }
  saves_done_ = std::max(saves_done_, done);
  if (prefills && config_.layer_segmented) {
    buffer_free_ = d2h_free_;
    layer_saved_[static_cast<std::size_t>(layer)] = done;
  }
  // A save that uses SMs slows what runs beside it.
  const Seconds slowed = cost.save * (costs_.ComputeSlowdown(config_.save) - 1);
  Compute(slowed, result_.time.compute, "save interference", layer);
  result_.time.prefill_compute += slowed * cost.prefill_share;
}

// Puts `loads` units on the H2D lane, not before `ready`; returns how long they take.
Seconds SimulatedExecutor::IssueLoad(std::int64_t loads, std::int64_t layer, SimTime ready) {
  const scheduler::KvGeometry& geometry = config_.geometry;
  Seconds time = Take(costs_.Load(config_.load, geometry.unit_bytes, loads));
  const SimTime begin = std::max({now(), h2d_free_, ready});
  if (d2h_free_ > begin && config_.duplex_bandwidth > BytesPerSecond(0)) {
    // Both directions at once, at what each reaches by itself; copies bound by their calls may fit.
    const double rates = static_cast<double>((geometry.unit_bytes * loads).value()) / time.value() +
                         d2h_rate_.value();
    const double slowdown = std::max(1.0, rates / config_.duplex_bandwidth.value());
    const Seconds shared = std::min(time, d2h_free_ - begin) * (slowdown - 1);
    time += shared;
    if (buffer_free_ == d2h_free_) buffer_free_ = d2h_free_ + shared;
    d2h_free_ = d2h_free_ + shared;
    result_.d2h_busy += shared;
    saves_done_ = std::max(saves_done_, d2h_free_);
    if (timeline_ != nullptr) timeline_->ExtendLast(Lane::kD2h, d2h_free_);
  }
  h2d_free_ = begin + time;
  result_.h2d_busy += time;
  result_.h2d_bytes += geometry.unit_bytes * loads;
  if (timeline_ != nullptr) timeline_->Add(Lane::kH2d, kLoadSlice, begin, h2d_free_, layer);
  return time;
}

void SimulatedExecutor::StallForSaves(SimTime until) {
  if (until > now()) {
    const Seconds stall = until - now();
    if (timeline_ != nullptr) timeline_->Add(Lane::kCompute, "save stall", now(), until);
    result_.time.save_stall += stall;
    elapsed_ += stall;
  }
  if (config_.imposed == nullptr) {
    CompleteSaves(until);
  } else if (!pending_.empty() && pending_.front().done <= until) {
    CompleteUpTo(pending_.front().ticket);
  }
}

void SimulatedExecutor::WaitForHost(Seconds duration, std::int64_t layer) {
  if (duration <= Seconds(0)) return;
  if (timeline_ != nullptr)
    timeline_->Add(Lane::kScheduler, "host", now(), start_ + (elapsed_ + duration), layer);
  result_.time.host += duration;
  elapsed_ += duration;
}

void SimulatedExecutor::Compute(Seconds duration, Seconds& share, const char* what,
                                std::int64_t layer) {
  if (timeline_ != nullptr)
    timeline_->Add(Lane::kCompute, what, now(), start_ + (elapsed_ + duration), layer);
  share += duration;
  elapsed_ += duration;
}

}  // namespace sparseserve::serving
