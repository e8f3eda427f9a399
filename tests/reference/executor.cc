#include "tests/reference/executor.h"

#include <algorithm>

namespace sparseserve::reference {

Executor::Executor(const SystemConfig& config, const KvGeometry& geometry,
                   const cost::CostModel& costs, Hbm& hbm)
    : config_(config),
      geometry_(geometry),
      costs_(costs),
      hbm_(hbm),
      offloads_(config.choice.kv_home == serving::KvHome::kDram),
      segmented_(config.choice.prefill == scheduler::PrefillMode::kLayerSegmented),
      loadable_(static_cast<std::size_t>(geometry.num_layers)) {
  if (!offloads_) return;
  selection::SelectionPolicy policy = config.selection;
  if (config.choice.attention == serving::Attention::kFull)
    policy.dense_layers = geometry.num_layers;
  selection::LocalityConfig locality = config.locality;
  locality.seed = config.seed;
  selection_.emplace(policy, locality, geometry.num_layers, geometry.heads);
}

void Executor::BeginDecode(Request& request) {
  if (!offloads_) return;
  request.selecting = true;
  selection_->BeginRequest(static_cast<selection::RequestIndex>(request.trace.id),
                           static_cast<std::uint64_t>(request.trace.id),
                           hbm_.BlocksOf(request.target));
}

void Executor::EndDecode(Request& request) {
  if (!request.selecting) return;
  request.selecting = false;
  selection_->EndRequest(static_cast<selection::RequestIndex>(request.trace.id));
}

void Executor::CompleteSaves(SimTime now) {
  while (!pending_.empty() && pending_.front().done <= now) {
    hbm_.CompleteSaves(pending_.front().ticket);
    pending_.erase(pending_.begin());
  }
}

void Executor::WaitForSaves(SimTime until) {
  if (until > now()) Spend(until - now(), log_->save_stall);
  CompleteSaves(until);
}

void Executor::Run(const Plan& plan, SimTime start, IterationLog& log) {
  start_ = start;
  elapsed_ = 0;
  log_ = &log;
  CompleteSaves(start);
  // Two buffers of new K and V: the saves of the iteration before the last must be complete.
  while (!pending_.empty() && pending_.front().ticket + 2 <= plan.ticket)
    WaitForSaves(pending_.front().done);
  for (std::int64_t layer = 0; layer < geometry_.num_layers; ++layer) RunLayer(plan, layer);
  auto tokens = static_cast<std::int64_t>(plan.decodes.size());
  for (const Piece& piece : plan.prefills) tokens += piece.completes ? 1 : 0;
  if (tokens > 0) Spend(costs_.Head(Tokens(tokens)).time, log.compute);
  if (offloads_) pending_.push_back({plan.ticket, saves_done_});
  elapsed_ += config_.host_overhead.value();
  log.end = now().ns();
}

// A choice is made at a request's first step, and kept for reuse_interval steps.
bool Executor::Chooses(const Request& request) const {
  return hbm_.BlocksOf(request.context()) > geometry_.budget_blocks &&
         (request.generated - 1) % geometry_.reuse_interval == 0;
}

Seconds Executor::SelectCost(const Plan& plan, std::int64_t layer) const {
  if (!Sparse(layer)) return Seconds(0);
  std::int64_t choosing = 0, scored = 0, widest = 0;
  for (const Request* request : plan.decodes) {
    if (!Chooses(*request)) continue;
    const std::int64_t full = request->context() / geometry_.block_tokens.value();
    ++choosing;
    scored += full;
    widest = std::max(widest, full);
  }
  if (choosing == 0) return Seconds(0);
  return costs_.Score(scored * geometry_.heads, geometry_.metadata_bytes).time +
         costs_.TopK(choosing * geometry_.heads, widest).time;
}

Seconds Executor::DecodeAttention(const Plan& plan, std::int64_t layer, std::int64_t loads) const {
  if (plan.decodes.empty()) return Seconds(0);
  std::int64_t tokens = 0;
  bool gathers = false;
  for (const Request* request : plan.decodes) {
    const bool all = !Sparse(layer) || hbm_.BlocksOf(request->context()) <= geometry_.budget_blocks;
    gathers = gathers || !all;
    tokens += all ? request->context() : geometry_.budget_blocks * geometry_.block_tokens.value();
  }
  const Seconds time =
      costs_
          .DecodeAttention(static_cast<std::int64_t>(plan.decodes.size()), Tokens(tokens), gathers)
          .time;
  if (loads == 0) return time;
  const std::int64_t blocks = hbm_.BlocksOf(tokens) * geometry_.heads;
  return time * costs_.AfterLoad(config_.choice.load,
                                 static_cast<double>(loads) / static_cast<double>(blocks));
}

void Executor::RunLayer(const Plan& plan, std::int64_t layer) {
  std::vector<Piece> pieces;
  std::vector<cost::PrefillSpan> spans;
  auto batch = static_cast<std::int64_t>(plan.decodes.size());
  for (const Piece& piece : plan.prefills) {
    if (layer < piece.layer_begin || layer >= piece.layer_end) continue;
    pieces.push_back(piece);
    spans.push_back({Tokens(piece.begin), Tokens(piece.end)});
    batch += piece.end - piece.begin;
  }
  if (batch == 0) return;
  const SimTime loadable = loadable_[static_cast<std::size_t>(layer)];
  if (segmented_ && !pieces.empty()) WaitForSaves(buffer_free_);
  Spend(costs_.Projection(Tokens(batch)).time, log_->compute);
  if (offloads_) SaveLayer(plan, layer, pieces);
  Spend(SelectCost(plan, layer), log_->compute);
  const std::int64_t loads = offloads_ ? Load(plan, layer) : 0;
  Seconds attention = spans.empty() ? Seconds(0) : costs_.PrefillAttention(spans).time;
  SimTime loaded = now();
  if (loads > 0) {
    const Bytes bytes = geometry_.unit_bytes * loads;
    Seconds time = costs_.Load(config_.choice.load, geometry_.unit_bytes, loads).time;
    const SimTime begin = std::max({now(), h2d_free_, loadable});
    const double limit = config_.machine.link.duplex_bandwidth.value();
    if (limit > 0 && d2h_free_ > begin) {  // a save is under way: both become slower
      const double together = static_cast<double>(bytes.value()) / time.value() + d2h_rate_;
      const Seconds delay =
          std::min(time, d2h_free_ - begin) * (std::max(1.0, together / limit) - 1);
      time += delay;
      if (buffer_free_ == d2h_free_) buffer_free_ = buffer_free_ + delay;
      d2h_free_ = d2h_free_ + delay;
      log_->d2h_busy += delay.value();
      saves_done_ = std::max(saves_done_, d2h_free_);
    }
    h2d_free_ = loaded = begin + time;
    log_->h2d_busy += time.value();
    log_->h2d_bytes += bytes.value();
    log_->loads += loads;
    attention += std::min(time, attention) * (costs_.ComputeSlowdown(config_.choice.load) - 1);
  }
  Spend(attention, log_->attention);
  if (loaded > now()) Spend(loaded - now(), log_->load_stall);
  Spend(DecodeAttention(plan, layer, loads), log_->attention);
  Spend(costs_.OutputAndMlp(layer, Tokens(batch)).time, log_->compute);
}

std::int64_t Executor::Load(const Plan& plan, std::int64_t layer) {
  if (plan.decodes.empty()) return 0;
  hbm_.BeginLayer();
  const std::int64_t touches = hbm_.touches();
  for (Request* request : plan.decodes) {
    selection::SelectionDelta delta;
    selection_->Step(static_cast<selection::RequestIndex>(request->trace.id), layer,
                     hbm_.BlocksOf(request->context()), delta);
    hbm_.Select(*request, layer, delta.added, delta.removed);
  }
  log_->touches += hbm_.touches() - touches;
  std::int64_t loads = 0;
  while (!hbm_.LoadMisses(layer, loads)) WaitForSaves(pending_.at(0).done);
  return loads;
}

void Executor::SaveLayer(const Plan& plan, std::int64_t layer, const std::vector<Piece>& pieces) {
  const std::int64_t block = geometry_.block_tokens.value();
  const std::int64_t token_bytes = geometry_.unit_bytes.value() / block;  // of one head
  const cost::SaveMethod method = config_.choice.save;
  const bool whole_blocks = method == cost::SaveMethod::kMemcpyPerBlock;
  std::int64_t decodes = 0, prefill_tokens = 0, prefill_blocks = 0;
  for (const Request* request : plan.decodes)
    decodes += !whole_blocks || request->context() % block == 0 ? 1 : 0;
  for (const Piece& piece : pieces) {
    prefill_tokens += piece.end - piece.begin;
    prefill_blocks += hbm_.BlocksOf(piece.end) - piece.begin / block;
  }
  const std::int64_t fragment = token_bytes * (whole_blocks ? block : 1);
  const std::int64_t decode_bytes = fragment * decodes * geometry_.heads;
  const std::int64_t prefill_bytes = token_bytes * prefill_tokens * geometry_.heads;
  const std::int64_t bytes = decode_bytes + prefill_bytes;
  if (bytes == 0) return;
  Seconds save, scatter;
  if (method == cost::SaveMethod::kFlashD2h) {
    save = costs_.Save(method, Bytes(bytes), 1).time;
    if (decodes > 0) scatter += costs_.Scatter(Bytes(decode_bytes), Bytes(token_bytes)).time;
    if (prefill_blocks > 0)
      scatter += costs_.Scatter(Bytes(prefill_bytes), geometry_.unit_bytes).time;
  } else {
    if (decodes > 0) save += costs_.Save(method, Bytes(fragment), decodes * geometry_.heads).time;
    const std::int64_t fragments = prefill_blocks * geometry_.heads;
    if (fragments > 0)
      save += costs_.Save(method, Bytes(prefill_bytes / fragments), fragments).time;
  }
  d2h_free_ = std::max(now(), d2h_free_) + save;
  d2h_rate_ = static_cast<double>(bytes) / save.value();
  log_->d2h_busy += save.value();
  log_->d2h_bytes += bytes;
  SimTime done = d2h_free_;
  if (scatter > Seconds(0)) {
    done = scatter_free_ = std::max(d2h_free_, scatter_free_) + scatter;
    log_->scatter_busy += scatter.value();
  }
  saves_done_ = std::max(saves_done_, done);
  if (segmented_ && !pieces.empty()) {
    buffer_free_ = d2h_free_;
    loadable_[static_cast<std::size_t>(layer)] = done;
  }
  Spend(save * (costs_.ComputeSlowdown(method) - 1), log_->compute);
}

}  // namespace sparseserve::reference
