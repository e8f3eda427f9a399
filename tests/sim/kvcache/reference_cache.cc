#include "tests/sim/kvcache/reference_cache.h"

#include <algorithm>
#include <stdexcept>
#include <tuple>

namespace sparseserve::kvcache {
namespace {
constexpr SaveTicket kNoTicketYet = ~SaveTicket{0};
}

bool ReferenceCache::pinned(const Key& key) const {
  const State& s = units_.at(key);
  const auto group = groups_.find({key.request, key.layer});
  return s.ticket > saved_ || (s.selected && group != groups_.end() && group->second.in_use);
}

std::int64_t ReferenceCache::num_resident() const {
  return std::count_if(units_.begin(), units_.end(), [](auto& u) { return u.second.resident; });
}

std::int64_t ReferenceCache::num_evictable() const {
  return std::count_if(units_.begin(), units_.end(),
                       [&](auto& u) { return u.second.resident && !pinned(u.first); });
}

bool ReferenceCache::MakeRoom(std::int64_t count) {
  if (count > num_free() + num_evictable()) return false;
  while (num_free() < count) EvictOne();
  return true;
}

void ReferenceCache::Forget(const Key& key) {
  units_.at(key).resident = false;
  const auto at = std::find(queue_.begin(), queue_.end(), key);
  if (at == queue_.end()) {
    std::erase(main_, key);
    return;
  }
  if (static_cast<std::size_t>(at - queue_.begin()) < hand_) --hand_;
  queue_.erase(at);
}

void ReferenceCache::RemoveRequest(RequestIndex request) {
  for (auto it = units_.begin(); it != units_.end();) {
    if (it->first.request != request) {
      ++it;
      continue;
    }
    if (it->second.resident) Forget(it->first);
    it = units_.erase(it);
  }
  std::erase_if(groups_, [&](auto& g) { return g.first.first == request; });
  std::erase_if(in_use_, [&](auto& g) { return g.first == request; });
  for (auto& ghost : ghosts_) {
    if (ghost && ghost->request == request) ghost.reset();
  }
  num_blocks_.erase(request);
}

bool ReferenceCache::Reserve(std::int64_t num_slots) {
  if (!MakeRoom(num_slots)) return false;
  reserved_ += num_slots;
  return true;
}

void ReferenceCache::Enter(const Key& key) {
  State& s = units_.at(key);
  s.resident = true;
  s.touches = 0;
  const auto ghost = std::find(ghosts_.begin(), ghosts_.end(), std::optional<Key>(key));
  if (ghost != ghosts_.end()) {
    ghost->reset();
    main_.push_back(key);
  } else if (config_.eviction == "clock") {
    queue_.insert(queue_.begin() + static_cast<std::ptrdiff_t>(hand_++), key);
  } else {
    if (config_.eviction == "sieve" && hand_ == queue_.size()) ++hand_;  // stays past the youngest
    queue_.push_back(key);
  }
}

void ReferenceCache::Create(RequestIndex request, Unit begin, Unit end) {
  for (std::int64_t layer = 0; layer < config_.num_layers; ++layer) {
    for (Unit unit = begin; unit < end; ++unit) {
      State& s = units_[{request, layer, unit}];
      s.last_use = s.left = ++clock_;
      Enter({request, layer, unit});
    }
  }
}

void ReferenceCache::AdoptPrefill(RequestIndex request, std::int64_t num_blocks,
                                  std::int64_t dirty_from, SaveTicket ticket) {
  reserved_ -= num_blocks * config_.num_layers * config_.heads;
  num_blocks_[request] = num_blocks;
  Create(request, 0, static_cast<Unit>(num_blocks * config_.heads));
  for (auto& [key, s] : units_) {
    if (key.request == request && key.unit / config_.heads >= dirty_from) s.ticket = ticket;
  }
}

void ReferenceCache::AddSavedUnits(RequestIndex request, std::int64_t num_blocks) {
  num_blocks_[request] = num_blocks;
  for (std::int64_t layer = 0; layer < config_.num_layers; ++layer) {
    for (Unit unit = 0; unit < num_blocks * config_.heads; ++unit) units_[{request, layer, unit}];
  }
}

bool ReferenceCache::AppendBlock(RequestIndex request) {
  if (!MakeRoom(config_.num_layers * config_.heads)) return false;
  const auto begin = static_cast<Unit>(num_blocks_[request]++ * config_.heads);
  Create(request, begin, begin + static_cast<Unit>(config_.heads));
  for (auto& [key, s] : units_) {
    if (key.request == request && key.unit >= begin) s.ticket = kNoTicketYet;
  }
  return true;
}

void ReferenceCache::MarkTailDirty(RequestIndex request, SaveTicket ticket) {
  for (auto& [key, s] : units_) {
    if (key.request != request) continue;
    const bool is_tail = key.unit / config_.heads == num_blocks_[request] - 1;
    if (is_tail || s.ticket == kNoTicketYet) s.ticket = ticket;
  }
}

void ReferenceCache::BeginLayer() {
  for (const GroupKey& group : in_use_) groups_[group].in_use = false;
  in_use_.clear();
}

void ReferenceCache::Select(RequestIndex request, std::int64_t layer, std::span<const Unit> added,
                            std::span<const Unit> removed) {
  GroupState& group = groups_[{request, layer}];
  for (const Unit unit : removed) {
    State& s = units_.at({request, layer, unit});
    s.selected = false;
    s.left = ++clock_;
  }
  for (const Unit unit : added) units_.at({request, layer, unit}).selected = true;
  group.in_use = true;
  in_use_.push_back({request, layer});
  group.last_use = ++clock_;
  ++group.num_steps;
  for (auto& [key, s] : units_) {  // the touches themselves
    if (key.request != request || key.layer != layer || !s.selected) continue;
    s.last_use = clock_;
    s.last_step = group.num_steps;
    if (s.resident) ++s.touches;
  }
}

bool ReferenceCache::LoadMisses(std::vector<Key>& loads) {
  std::vector<Key> missing;
  for (const auto& [request, layer] : in_use_) {
    for (auto& [key, s] : units_) {
      if (key.request == request && key.layer == layer && s.selected && !s.resident) {
        missing.push_back(key);
      }
    }
  }
  const auto wanted = static_cast<std::int64_t>(missing.size());
  const std::int64_t possible = std::min(wanted, num_free() + num_evictable());
  while (num_free() < possible) EvictOne();
  for (std::int64_t i = 0; i < possible; ++i) {
    Enter(missing[static_cast<std::size_t>(i)]);
    loads.push_back(missing[static_cast<std::size_t>(i)]);
  }
  return possible == wanted;
}

std::int64_t ReferenceCache::WorkingSet(RequestIndex request) const {
  return std::count_if(units_.begin(), units_.end(), [&](auto& u) {
    const auto group = groups_.find({u.first.request, u.first.layer});
    return u.first.request == request && group != groups_.end() && u.second.last_step > 0 &&
           u.second.last_step > group->second.num_steps - config_.working_set_window;
  });
}

void ReferenceCache::EvictOne() {
  std::optional<Key> victim;
  if (config_.eviction == "lru") victim = LruVictim();
  if (config_.eviction == "layer-cyclic") victim = LayerCyclicVictim();
  if (config_.eviction == "fifo") victim = FifoVictim();
  if (config_.eviction == "clock" || config_.eviction == "sieve") victim = HandVictim();
  if (config_.eviction == "s3-fifo") {
    if (queue_.size() * 10 < queue_.size() + main_.size()) victim = MainVictim();
    if (!victim) victim = SmallVictim();
    if (!victim) victim = MainVictim();
  }
  if (!victim) throw std::logic_error("no victim");
  Forget(*victim);
  ++num_evictions_;
}

std::optional<Key> ReferenceCache::LruVictim() const {
  std::optional<Key> best;
  const auto rank = [&](const Key& key) {
    const State& s = units_.at(key);
    return std::tuple(s.last_use, s.selected, s.selected ? std::int64_t{key.unit} : s.left);
  };
  for (auto& [key, s] : units_) {
    if (s.resident && !pinned(key) && (!best || rank(key) < rank(*best))) best = key;
  }
  return best;
}

std::optional<Key> ReferenceCache::LayerCyclicVictim() const {
  std::optional<Key> best;
  const auto rank = [&](const Key& key) {
    const State& s = units_.at(key);
    if (!s.selected) return std::tuple(false, s.left, std::int64_t{0});
    return std::tuple(true, -groups_.at({key.request, key.layer}).last_use, std::int64_t{key.unit});
  };
  for (auto& [key, s] : units_) {
    if (s.resident && !pinned(key) && (!best || rank(key) < rank(*best))) best = key;
  }
  return best;
}

std::optional<Key> ReferenceCache::FifoVictim() const {
  const auto at =
      std::find_if(queue_.begin(), queue_.end(), [&](const Key& key) { return !pinned(key); });
  return at == queue_.end() ? std::nullopt : std::optional<Key>(*at);
}

Key ReferenceCache::HandVictim() {
  for (;; ++hand_) {
    if (hand_ >= queue_.size()) hand_ = 0;
    State& s = units_.at(queue_[hand_]);
    if (pinned(queue_[hand_])) continue;
    if (s.touches == 0) return queue_[hand_];
    s.touches = 0;
  }
}

std::optional<Key> ReferenceCache::SmallVictim() {
  for (;;) {
    const std::optional<Key> oldest = FifoVictim();
    if (!oldest) return oldest;
    State& s = units_.at(*oldest);
    std::erase(queue_, *oldest);
    if (s.touches <= 1) {
      ghosts_.push_back(*oldest);
      while (ghosts_.size() > static_cast<std::size_t>(config_.hbm_slots * 9 / 10)) {
        ghosts_.pop_front();
      }
      return oldest;
    }
    s.touches = 0;
    main_.push_back(*oldest);
  }
}

std::optional<Key> ReferenceCache::MainVictim() {
  for (;;) {
    const auto at =
        std::find_if(main_.begin(), main_.end(), [&](const Key& key) { return !pinned(key); });
    if (at == main_.end()) return std::nullopt;
    const Key oldest = *at;
    main_.erase(at);
    State& s = units_.at(oldest);
    if (s.touches == 0) return oldest;
    s.touches = std::min(s.touches, 3) - 1;
    main_.push_back(oldest);
  }
}

}  // namespace sparseserve::kvcache
