// The KV cache done slowly and obviously: every touch of every step is carried out, every choice is
// a scan. The yardstick for sim/kvcache; the rules it spells out are those of the headers there.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/kvcache/kv_cache.h"

namespace sparseserve::kvcache {

struct Key {
  RequestIndex request = 0;
  std::int64_t layer = 0;
  Unit unit = 0;
  auto operator<=>(const Key&) const = default;
};

class ReferenceCache {
 public:
  explicit ReferenceCache(const KvCacheConfig& config) : config_(config) {}

  void RemoveRequest(RequestIndex request);
  bool Reserve(std::int64_t num_slots);
  void Release(std::int64_t num_slots) { reserved_ -= num_slots; }
  void AdoptPrefill(RequestIndex request, std::int64_t num_blocks, std::int64_t dirty_from,
                    SaveTicket ticket);
  void AddSavedUnits(RequestIndex request, std::int64_t num_blocks);
  bool AppendBlock(RequestIndex request);
  void MarkTailDirty(RequestIndex request, SaveTicket ticket);
  void CompleteSaves(SaveTicket up_to) { saved_ = std::max(saved_, up_to); }
  void BeginLayer();
  void Select(RequestIndex request, std::int64_t layer, std::span<const Unit> added,
              std::span<const Unit> removed);
  bool LoadMisses(std::vector<Key>& loads);

  std::int64_t WorkingSet(RequestIndex request) const;
  bool resident(const Key& key) const { return units_.at(key).resident; }
  bool dirty(const Key& key) const { return units_.at(key).ticket > saved_; }
  std::int64_t num_resident() const;
  std::int64_t num_evictions() const { return num_evictions_; }

 private:
  struct State {
    bool selected = false, resident = false;
    SaveTicket ticket = 0;
    std::int64_t last_use = 0;   // on the clock of uses
    std::int64_t left = 0;       // when it ceased to be selected or was created, for ties
    std::int64_t last_step = 0;  // of its group, in which it was selected; 0: never
    int touches = 0;             // since a policy looked
  };
  struct GroupState {
    bool in_use = false;
    std::int64_t num_steps = 0, last_use = 0;
  };
  using GroupKey = std::pair<RequestIndex, std::int64_t>;

  std::int64_t num_free() const { return config_.hbm_slots - reserved_ - num_resident(); }
  bool pinned(const Key& key) const;
  std::int64_t num_evictable() const;
  bool MakeRoom(std::int64_t count);
  void Create(RequestIndex request, Unit begin, Unit end);
  void Enter(const Key& key);  // becomes resident
  void Forget(const Key& key);
  void EvictOne();
  std::optional<Key> LruVictim() const;
  std::optional<Key> LayerCyclicVictim() const;
  std::optional<Key> FifoVictim() const;
  Key HandVictim();
  std::optional<Key> SmallVictim();
  std::optional<Key> MainVictim();

  KvCacheConfig config_;
  std::map<Key, State> units_;
  std::map<GroupKey, GroupState> groups_;
  std::map<RequestIndex, std::int64_t> num_blocks_;
  std::vector<GroupKey> in_use_;
  std::int64_t reserved_ = 0, clock_ = 0, num_evictions_ = 0;
  SaveTicket saved_ = 0;
  std::vector<Key> queue_, main_;  // old to new: queue_ is FIFO's, the hand's, S3-FIFO's small one
  std::size_t hand_ = 0;
  std::deque<std::optional<Key>> ghosts_;
};

}  // namespace sparseserve::kvcache
