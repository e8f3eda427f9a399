#include "tests/reference/replica.h"

#include <algorithm>

namespace sparseserve::reference {

Replica::Replica(std::int64_t id, const SystemConfig& config, const KvGeometry& geometry,
                 const cost::CostModel& costs, std::int64_t hbm_bytes, std::int64_t dram_bytes,
                 Log& log)
    : id_(id),
      config_(config),
      num_layers_(geometry.num_layers),
      log_(log),
      hbm_(config, geometry, hbm_bytes, dram_bytes),
      executor_(config, geometry, costs, hbm_) {}

void Replica::Submit(Request& request) {
  request.target = request.trace.prompt.value();
  waiting_.push_back(&request);
  ++unfinished_;
  LogOf(request).replica = id_;
}

void Replica::Look(SimTime now) {
  if (end_) return;
  wake_.reset();
  executor_.CompleteSaves(now);
  const bool saves_pending = executor_.saves_done() > now;
  if (ran_) ++plan_.ticket;
  ran_ = false;
  FormPlan(saves_pending, now);
  if (plan_.decodes.empty() && plan_.prefills.empty()) {
    if (unfinished_ > 0 && saves_pending) wake_ = executor_.saves_done();
    return;
  }
  ran_ = true;
  iteration_ = {};
  iteration_.replica = id_;
  iteration_.begin = now.ns();
  iteration_.decodes = static_cast<std::int64_t>(plan_.decodes.size());
  const Request* last = nullptr;
  for (const Piece& piece : plan_.prefills) {
    iteration_.token_layers += piece.token_layers();
    iteration_.prefills += piece.request != last ? 1 : 0;
    last = piece.request;
    std::int64_t& scheduled = LogOf(*piece.request).scheduled;
    if (scheduled < 0) scheduled = now.ns();
  }
  iteration_.running = static_cast<std::int64_t>(running_.size());
  iteration_.waiting = static_cast<std::int64_t>(waiting_.size());
  executor_.Run(plan_, now, iteration_);
  end_ = SimTime(iteration_.end);
}

// When nothing can run and no save will free anything: the latest admitted gives way; who does not
// fit alone fails.
void Replica::FormPlan(bool saves_pending, SimTime now) {
  while (true) {
    FillPlan();
    for (Request* request : failed_) Drop(*request, now, /*failed=*/true);
    failed_.clear();
    if (!plan_.decodes.empty() || !plan_.prefills.empty() || saves_pending) return;
    if (running_.size() > 1) {
      Preempt(*running_.back());
    } else if (!running_.empty()) {
      Request& request = *running_.back();
      hbm_.Release(request);
      running_.clear();
      Drop(request, now, true);
    } else if (!waiting_.empty()) {
      Request& request = *waiting_.front();
      waiting_.erase(waiting_.begin());
      Drop(request, now, true);
    } else {
      return;
    }
  }
}

void Replica::FillPlan() {
  plan_.decodes.clear();
  plan_.prefills.clear();
  preempted_ = false;
  hbm_.BeginPlan();
  std::vector<Candidate> candidates = Candidates();
  if (config_.choice.working_set_control) KeepWorkingSets(candidates);
  std::vector<Request*> admissible;
  for (const Candidate& candidate : candidates) {
    if (candidate.request->stage == Stage::kWaiting) admissible.push_back(candidate.request);
  }
  for (const Candidate& candidate : candidates) {
    Request& request = *candidate.request;
    if (request.stage == Stage::kWaiting) {
      const bool is_new =
          std::find(admissible.begin(), admissible.end(), &request) != admissible.end();
      if (!is_new) continue;  // preempted by a candidate before it
      if (preempted_ || !hbm_.Admit(request)) return;
      request.stage = Stage::kPrefill;
      std::erase(waiting_, &request);
      running_.push_back(&request);
    }
    if (candidate.pieces.empty()) Decode(request);
    for (const Piece& piece : candidate.pieces) {
      if (hbm_.GrowPrefill(piece) != Grow::kDone) break;
      plan_.prefills.push_back(piece);
    }
  }
}

// Running decodes, prefills in progress, waiting requests; each prefill takes what is left of the
// budget of token-layers, of which every decode takes one token through all layers.
std::vector<Replica::Candidate> Replica::Candidates() const {
  std::vector<Candidate> candidates;
  const std::int64_t max_tokens = config_.scheduling.max_batch_tokens.value();
  for (Request* request : running_) {
    if (request->stage == Stage::kDecode &&
        static_cast<std::int64_t>(candidates.size()) < max_tokens)
      candidates.push_back({request, {}});
  }
  std::int64_t budget = config_.scheduling.max_inject_token_layers;
  if (budget == 0) budget = max_tokens * num_layers_;
  budget -= static_cast<std::int64_t>(candidates.size()) * num_layers_;
  bool first = true;  // only the first prefill of a batch may cut a layer
  const auto add = [&](Request* request) {
    std::vector<Piece> pieces = Pieces(*request, budget, first);
    if (pieces.empty()) return false;
    first = false;
    for (const Piece& piece : pieces) budget -= piece.token_layers();
    candidates.push_back({request, std::move(pieces)});
    return true;
  };
  for (Request* request : running_) {
    if (request->stage == Stage::kPrefill) add(request);
  }
  auto running = static_cast<std::int64_t>(running_.size());
  for (Request* request : waiting_) {
    if (running++ >= config_.scheduling.max_requests || !add(request)) break;
  }
  return candidates;
}

std::vector<Piece> Replica::Pieces(Request& request, std::int64_t token_layers,
                                   bool may_cut) const {
  const std::int64_t target = request.target;
  if (config_.choice.prefill == scheduler::PrefillMode::kChunked) {
    const std::int64_t begin = request.done_tokens;
    const std::int64_t end = std::min(target, begin + token_layers / num_layers_);
    if (end <= begin) return {};
    return {{&request, begin, end, 0, num_layers_, end == target}};
  }
  std::vector<Piece> pieces;
  std::int64_t layer = request.done_layers;
  if (request.done_tokens > 0 || (may_cut && token_layers < target)) {  // a layer in parts
    const std::int64_t begin = request.done_tokens;
    const std::int64_t end = std::min(target, begin + token_layers);
    if (end <= begin) return {};
    pieces.push_back({&request, begin, end, layer, layer + 1, false});
    pieces.back().completes = end == target && layer + 1 == num_layers_;
    if (end < target) return pieces;
    token_layers -= end - begin;
    ++layer;
  }
  std::int64_t end_layer = layer;
  while (end_layer < num_layers_ && token_layers >= target) {
    token_layers -= target;
    ++end_layer;
  }
  if (end_layer > layer)
    pieces.push_back({&request, 0, target, layer, end_layer, end_layer == num_layers_});
  return pieces;
}

// Algorithm 1: who does not fit beside those accepted before it is left out; the first always fits.
void Replica::KeepWorkingSets(std::vector<Candidate>& candidates) const {
  std::vector<Candidate> kept;
  std::int64_t used = hbm_.HeldByPrefills();
  for (const Candidate& candidate : candidates) {
    const std::int64_t need = candidate.pieces.empty() ? hbm_.DecodeNeed(*candidate.request)
                                                       : hbm_.PrefillNeed(candidate.pieces.back());
    if (!kept.empty() && used + need > hbm_.WorkingSetRoom()) continue;
    used += need;
    kept.push_back(candidate);
  }
  candidates = kept;
}

void Replica::Decode(Request& request) {
  Grow grown = Grow::kFull;
  while (request.stage == Stage::kDecode) {
    grown = hbm_.GrowDecode(request, plan_.ticket);
    if (grown == Grow::kDone) plan_.decodes.push_back(&request);
    if (grown != Grow::kFull) return;
    if (running_.size() > 1) {
      Preempt(*running_.back());
      continue;
    }
    hbm_.Release(request);
    running_.clear();
    failed_.push_back(&request);
    return;
  }
}

void Replica::Preempt(Request& request) {
  preempted_ = true;
  hbm_.Release(request);
  executor_.EndDecode(request);
  std::erase(running_, &request);
  waiting_.insert(waiting_.begin(), &request);
  request.stage = Stage::kWaiting;
  request.target = request.context();
  request.done_tokens = request.done_layers = 0;
  ++LogOf(request).preemptions;
}

void Replica::Drop(Request& request, SimTime now, bool failed) {
  executor_.EndDecode(request);
  request.stage = Stage::kGone;
  LogOf(request).finish = now.ns();
  LogOf(request).failed = failed;
  --unfinished_;
}

void Replica::Advance(const Piece& piece) {
  Request& request = *piece.request;
  if (config_.choice.prefill == scheduler::PrefillMode::kChunked || piece.end < request.target) {
    request.done_tokens = piece.end;
  } else {
    request.done_tokens = 0;
    request.done_layers = piece.layer_end;
  }
  if (!piece.completes) return;
  hbm_.FinishPrefill(request, plan_.ticket);
  executor_.BeginDecode(request);
  request.stage = Stage::kDecode;
}

void Replica::Finish() {
  const SimTime now = *end_;
  end_.reset();
  iteration_.hbm_used = hbm_.hbm_used();
  iteration_.dram_used = hbm_.dram_used();
  log_.iterations.push_back(iteration_);
  for (const Piece& piece : plan_.prefills) Advance(piece);
  std::vector<Request*> producing = plan_.decodes;
  for (const Piece& piece : plan_.prefills) {
    if (piece.completes) producing.push_back(piece.request);
  }
  for (Request* request : producing) {
    RequestLog& log = LogOf(*request);
    if (log.num_tokens++ == 0) {
      log.first_token = now.ns();
    } else {
      const Seconds gap = now - SimTime(log.last_token);
      log_.token_gaps_ms.push_back(static_cast<float>(gap.value() * 1e3));
    }
    log.last_token = now.ns();
    if (++request->generated < request->trace.output.value()) continue;
    hbm_.Release(*request);
    std::erase(running_, request);
    Drop(*request, now, false);
  }
}

}  // namespace sparseserve::reference
