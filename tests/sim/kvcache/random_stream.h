// Random but legal use of a KV cache: requests come and go, step through their layers with random
// changes of what they select, grow, reserve and give back space, and have saves in flight. Drives
// a KvCache and, when given, the reference beside it, and expects the same of both after every
// call.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "sim/core/rng.h"
#include "sim/kvcache/kv_cache.h"
#include "tests/sim/kvcache/reference_cache.h"

namespace sparseserve::kvcache {

struct StreamShape {
  std::uint64_t seed = 0;
  std::int32_t max_requests = 4;
  std::uint32_t max_prompt_blocks = 8;
  std::uint32_t max_selected = 12;  // per group
  bool saves_lag = true;            // blocks stay dirty for a while
  bool reserves = true;             // HBM is taken out of the cache and given back
};

class RandomStream {
 public:
  RandomStream(const StreamShape& shape, const KvCacheConfig& config, KvCache& cache,
               ReferenceCache* reference)
      : shape_(shape), config_(config), cache_(cache), reference_(reference), rng_(shape.seed) {}

  void Step() {
    const std::uint32_t dice = rng_.Below(100);
    if (dice < 12) Begin();
    if (dice >= 12 && dice < 19) End();
    if (dice >= 19 && dice < 30 && shape_.reserves) ReserveOrRelease();
    if (dice >= 30 && dice < 42) Append();
    if (dice >= 42 && dice < 50) CompleteSaves(saved_ + rng_.Below(ticket_ - saved_ + 1));
    if (dice >= 50) DecodeStep();
    Compare();
  }

 private:
  struct Group {
    std::vector<Unit> selected, unselected;
  };
  struct Live {
    std::int64_t num_blocks = 0;
    std::vector<Group> groups;  // per layer
  };

  void Begin() {
    RequestIndex request = 0;
    while (live_.contains(request)) ++request;
    if (request >= shape_.max_requests) return;
    const std::int64_t num_blocks = 1 + rng_.Below(shape_.max_prompt_blocks);
    const std::int64_t num_slots = num_blocks * config_.num_layers * config_.heads;
    const bool adopt = rng_.Below(2) == 0 && Reserve(num_slots);
    cache_.AddRequest(request);
    ASSERT_TRUE(cache_.ReserveDram(request, num_blocks));
    if (adopt) {
      const std::int64_t dirty_from = shape_.saves_lag ? rng_.Below(9) : num_blocks;
      cache_.AdoptPrefill(request, num_blocks, space_, dirty_from, ++ticket_);
      if (reference_) reference_->AdoptPrefill(request, num_blocks, dirty_from, ticket_);
    } else {
      cache_.AddSavedUnits(request, num_blocks);
      if (reference_) reference_->AddSavedUnits(request, num_blocks);
    }
    live_[request].groups.resize(static_cast<std::size_t>(config_.num_layers));
    Grow(request, num_blocks);
  }
  void End() {
    if (live_.empty()) return;
    const RequestIndex request = Pick();
    cache_.RemoveRequest(request);
    if (reference_) reference_->RemoveRequest(request);
    live_.erase(request);
  }
  bool Reserve(std::int64_t num_slots) {
    const bool done = cache_.Reserve(num_slots, space_);
    if (reference_) {
      EXPECT_EQ(done, reference_->Reserve(num_slots));
    }
    return done;
  }
  void ReserveOrRelease() {
    const std::int64_t share = rng_.Below(static_cast<std::uint32_t>(config_.hbm_slots / 6 + 1));
    if (rng_.Below(2) == 0) {
      if (cache_.reserved_slots() < config_.hbm_slots / 4) Reserve(share);
      return;
    }
    const std::int64_t num_slots = std::min(share, space_.size());
    cache_.Release(space_, num_slots);
    if (reference_) reference_->Release(num_slots);
  }
  void Append() {
    if (live_.empty()) return;
    const RequestIndex request = Pick();
    if (live_[request].num_blocks >= 2 * shape_.max_prompt_blocks) return;
    ASSERT_TRUE(cache_.ReserveDram(request, live_[request].num_blocks + 1));
    const bool done = cache_.AppendBlock(request);
    if (reference_) {
      ASSERT_EQ(done, reference_->AppendBlock(request));
    }
    if (!done) return;
    Grow(request, live_[request].num_blocks + 1);
    if (!shape_.saves_lag || rng_.Below(4) != 0) MarkTail(request);
  }
  void MarkTail(RequestIndex request) {
    const SaveTicket ticket = shape_.saves_lag ? ++ticket_ : 0;
    cache_.MarkTailDirty(request, ticket);
    if (reference_) reference_->MarkTailDirty(request, ticket);
  }
  void CompleteSaves(SaveTicket up_to) {
    saved_ = std::max(saved_, up_to);
    cache_.CompleteSaves(up_to);
    if (reference_) reference_->CompleteSaves(up_to);
  }

  // All layers of one step for a random part of the requests.
  void DecodeStep() {
    std::vector<RequestIndex> batch;
    for (const auto& [request, live] : live_) {
      if (rng_.Below(3) != 0) batch.push_back(request);
    }
    for (const RequestIndex request : batch) {
      if (shape_.saves_lag && rng_.Below(2) == 0) MarkTail(request);
    }
    for (std::int64_t layer = 0; layer < config_.num_layers; ++layer) {
      cache_.BeginLayer();
      if (reference_) reference_->BeginLayer();
      for (const RequestIndex request : batch) SelectRandomly(request, layer);
      if (!LoadMisses()) {
        CompleteSaves(ticket_);
        LoadMisses();  // a failure now leaves the layer incomplete: legal, the misses come back
      }
    }
  }
  void SelectRandomly(RequestIndex request, std::int64_t layer) {
    Group& group = live_[request].groups[static_cast<std::size_t>(layer)];
    const std::uint32_t changes = rng_.Below(8) == 0 ? shape_.max_selected : rng_.Below(4);
    const std::vector<Unit> removed = Take(group.selected, changes);
    const std::size_t room =
        shape_.max_selected - std::min<std::size_t>(shape_.max_selected, group.selected.size());
    const std::vector<Unit> added =
        Take(group.unselected, std::min(static_cast<std::uint32_t>(room), changes + 1));
    group.selected.insert(group.selected.end(), added.begin(), added.end());
    group.unselected.insert(group.unselected.end(), removed.begin(), removed.end());
    cache_.Select(request, layer, added, removed);
    if (reference_) reference_->Select(request, layer, added, removed);
  }
  bool LoadMisses() {
    std::vector<Load> loads;
    std::int64_t num_loads = 0;
    const bool complete = cache_.LoadMisses(num_loads, &loads);
    EXPECT_EQ(num_loads, static_cast<std::int64_t>(loads.size()));
    if (!reference_) return complete;
    std::vector<Key> expected, actual;
    EXPECT_EQ(complete, reference_->LoadMisses(expected));
    for (const Load& load : loads) {
      actual.push_back({load.request, load.layer, load.unit});
      EXPECT_EQ(load.slot, cache_.SlotOf(load.request, load.layer, load.unit));
    }
    EXPECT_EQ(actual, expected);
    return complete;
  }

  void Compare() {
    cache_.Audit();
    if (!reference_) return;
    ASSERT_EQ(cache_.stats().evictions, reference_->num_evictions());
    ASSERT_EQ(cache_.resident_slots(), reference_->num_resident());
    for (const auto& [request, live] : live_) {
      ASSERT_EQ(cache_.WorkingSet(request), reference_->WorkingSet(request));
      for (std::int64_t layer = 0; layer < config_.num_layers; ++layer) {
        for (Unit unit = 0; unit < live.num_blocks * config_.heads; ++unit) {
          ASSERT_EQ(cache_.SlotOf(request, layer, unit) != kNoSlot,
                    reference_->resident({request, layer, unit}))
              << "request " << request << " layer " << layer << " unit " << unit;
        }
      }
    }
  }

  RequestIndex Pick() {
    auto it = live_.begin();
    std::advance(it, rng_.Below(static_cast<std::uint32_t>(live_.size())));
    return it->first;
  }
  std::vector<Unit> Take(std::vector<Unit>& from, std::uint32_t count) {
    std::vector<Unit> taken;
    for (; count > 0 && !from.empty(); --count) {
      std::swap(from[rng_.Below(static_cast<std::uint32_t>(from.size()))], from.back());
      taken.push_back(from.back());
      from.pop_back();
    }
    return taken;
  }
  void Grow(RequestIndex request, std::int64_t num_blocks) {
    Live& live = live_[request];
    for (Group& group : live.groups) {
      for (auto unit = static_cast<Unit>(live.num_blocks * config_.heads);
           unit < num_blocks * config_.heads; ++unit) {
        group.unselected.push_back(unit);
      }
    }
    live.num_blocks = num_blocks;
  }

  const StreamShape shape_;
  const KvCacheConfig config_;
  KvCache& cache_;
  ReferenceCache* reference_;
  CounterRng rng_;
  std::map<RequestIndex, Live> live_;
  Reservation space_;
  SaveTicket ticket_ = 0, saved_ = 0;
};

}  // namespace sparseserve::kvcache
