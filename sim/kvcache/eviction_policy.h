// Who leaves HBM when room is needed. The one place where policies differ; the cache never asks
// which one runs.
//
// A policy hears of changes, batch by batch, and keeps what it needs to know. In its plain
// form (as in the papers) a policy is told of every touch; a step touches every selected unit. Here
// a unit that stays selected is touched without a call of its own: a use of its group touches all
// that are selected. Each policy says how its form equals the plain one.
//
// Order of one layer: OnSelect of each group, then Evict (room for all misses), then OnLoad. Pinned
// units (in use or dirty, CacheState::pinned) are passed over and keep their state.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/kvcache/cache_state.h"
#include "sim/kvcache/types.h"

namespace sparseserve::kvcache {

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // The group was used: its selected units are touched. `added` and `removed` are the units that
  // became selected and that ceased to be, resident or not. The state is already that after the
  // use.
  virtual void OnSelect(GroupIndex group, std::span<const Unit> added,
                        std::span<const Unit> removed) = 0;
  // Selected units of the group became resident.
  virtual void OnLoad(GroupIndex group, std::span<const Unit> units) = 0;
  // Units of the group were created in HBM and are not selected yet.
  virtual void OnCreate(GroupIndex group, std::span<const Unit> units) = 0;
  // The group ends: its units are still resident and selected as before.
  virtual void OnEnd(GroupIndex group) = 0;
  // Appends `count` resident units that are not pinned to `victims`, in the order of their
  // eviction, and forgets them. The state still shows them as resident. REQUIRES: that many are not
  // pinned.
  virtual void Evict(std::int64_t count, std::vector<Victim>& victims) = 0;
  // Checks the policy's own invariants by brute force; aborts on a violation.
  virtual void Audit() const {}
};

using EvictionPolicyFactory =
    std::function<std::unique_ptr<EvictionPolicy>(const CacheState& state)>;

// Throws InputError naming the known policies.
EvictionPolicyFactory FindEvictionPolicy(std::string_view name);
std::unique_ptr<EvictionPolicy> MakeEvictionPolicy(std::string_view name, const CacheState& state);
std::vector<std::string> EvictionPolicyNames();

// Evicts up to `count` units that the group holds (selected and resident), in unit order from
// `cursor` on, stopping before the first dirty one. Moves the cursor past what was taken; nothing
// that is held lies before it. Returns how many were taken.
std::int64_t EvictHeld(const CacheState& state, GroupIndex group, std::int64_t count, Unit& cursor,
                       std::vector<Victim>& victims);

}  // namespace sparseserve::kvcache
