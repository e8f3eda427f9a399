// The units that are resident and not selected, in batches on a list: what LRU and layer-cyclic
// evict first. Units enter when they leave the selection or are created; that they are selected
// again or evicted by another way is not told: such an entry goes stale and is dropped when it is
// met.
//
// Entries of a group stand in one array in the order of entering; a batch is a range of it and a
// node of the list, which the policy orders. Only a unit's last entry counts. One bit per unit says
// which that is: entries are *new* until the next Clean, and the bit is set for units with a new
// one. An old entry of such a unit is stale, and Clean keeps the last of the new ones. So an old
// entry is good when its unit is resident, not selected and without the bit.
//
// Cost: O(1) per unit that enters, amortised: the search cleans a group when it has come to its new
// entries, and a group is cleaned when its entries have doubled and no eviction did it. Memory: per
// group at most 4 bytes for each of twice the entries that were good at the last Clean, an eighth
// of its units and those of one use, and one bit per unit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/kvcache/cache_state.h"
#include "sim/kvcache/node_ring.h"

namespace sparseserve::kvcache {

class UnselectedLog {
 public:
  using Node = NodeRing::Node;
  explicit UnselectedLog(const CacheState& state) : state_(state) {}

  // The list. Nodes without a batch are the policy's own: sentinels, and marks of groups.
  Node MakeNode(GroupIndex group);
  void FreeNode(Node node);
  GroupIndex group_of(Node node) const { return batches_[node].group; }
  NodeRing& list() { return list_; }

  // Those of `units` that are resident enter as one batch before `position`.
  void Enter(GroupIndex group, std::span<const Unit> units, Node position);
  // Evicts up to `count` units of the batch that follows `before` in the list, in order, but not
  // those that are not saved. Returns how many; a batch that has no more is out of the list.
  std::int64_t EvictNext(Node before, std::int64_t count, std::vector<Victim>& victims);
  // Forgets all batches of the group.
  void End(GroupIndex group);
  // Aborts unless each resident unit that is not selected has exactly one good entry. O(units).
  void Audit() const;

 private:
  struct Batch {
    GroupIndex group = -1;
    std::uint32_t begin = 0, end = 0;  // of its group's entries
  };
  struct GroupLog {
    std::vector<Unit> entries;
    std::vector<Node> batches;           // in the order of entering
    std::size_t num_old = 0;             // entries
    std::size_t clean_at = 0;            // entries and batches
    std::vector<std::uint64_t> has_new;  // bits
  };
  // Drops the stale entries of the group, and the batches that had no others.
  void Clean(GroupIndex index);
  void AuditLog(const GroupLog& log, const Group& group) const;

  const CacheState& state_;
  NodeRing list_;
  std::vector<Batch> batches_;  // per node
  std::vector<Node> free_nodes_;
  std::vector<GroupLog> logs_;  // per group
};

}  // namespace sparseserve::kvcache
