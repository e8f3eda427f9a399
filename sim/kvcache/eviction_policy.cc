#include "sim/kvcache/eviction_policy.h"

#include <array>

#include "sim/core/error.h"
#include "sim/kvcache/policies.h"

namespace sparseserve::kvcache {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<EvictionPolicy> (*make)(const CacheState& state);
};

constexpr std::array<Entry, 6> kPolicies{{{"lru", MakeLru},
                                          {"fifo", MakeFifo},
                                          {"clock", MakeClock},
                                          {"sieve", MakeSieve},
                                          {"s3-fifo", MakeS3Fifo},
                                          {"layer-cyclic", MakeLayerCyclic}}};

}  // namespace

EvictionPolicyFactory FindEvictionPolicy(std::string_view name) {
  std::string known;
  for (const Entry& entry : kPolicies) {
    if (entry.name == name) return entry.make;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  const std::string closest = ClosestMatch(std::string(name), EvictionPolicyNames());
  throw InputError({.where = {},
                    .key = "eviction",
                    .what = "'" + std::string(name) + "' is no eviction policy",
                    .expected = known,
                    .hint = closest.empty() ? "" : "did you mean " + closest + "?"});
}

std::unique_ptr<EvictionPolicy> MakeEvictionPolicy(std::string_view name, const CacheState& state) {
  return FindEvictionPolicy(name)(state);
}

std::vector<std::string> EvictionPolicyNames() {
  std::vector<std::string> names;
  names.reserve(std::size(kPolicies));
  for (const Entry& entry : kPolicies) names.emplace_back(entry.name);
  return names;
}

std::int64_t EvictHeld(const CacheState& state, GroupIndex index, std::int64_t count, Unit& cursor,
                       std::vector<Victim>& victims) {
  if (count == 0) return 0;
  const Group& group = state.groups[index];
  std::int64_t num_taken = 0;
  cursor = ScanUnits(group, cursor, group.first_dirty, kHeldWord, [&](Unit unit) {
    victims.push_back({index, unit});
    return ++num_taken < count;
  });
  return num_taken;
}

}  // namespace sparseserve::kvcache
