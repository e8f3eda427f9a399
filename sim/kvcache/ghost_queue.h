// The units that left last, in the order in which they left: those that return soon are told apart.
//
// A ring holds the last so many ghosts. Whether a unit is one of them is a bit, so that a look does
// not search and touches little memory. A ghost that is taken (its unit returned) keeps its place:
// it is dead, and so many dead ghosts a unit has in the ring. When a place is needed again its
// ghost is dead if its unit has a dead one, for the living one of a unit is its youngest. Cost:
// O(1). Memory: 12 bytes a ghost and three bits a unit.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "sim/kvcache/cache_state.h"
#include "sim/kvcache/unit_bits.h"
#include "sim/kvcache/unit_queue.h"

namespace sparseserve::kvcache {

class GhostQueue {
  struct Bits {
    std::uint64_t living = 0;
    std::uint64_t ones = 0, twos = 0;  // of the number of dead ghosts, up to three
  };

 public:
  GhostQueue(const CacheState& state, GroupLives& lives, std::int64_t capacity)
      : state_(state), lives_(lives), ghosts_(static_cast<std::size_t>(capacity)) {}

  // A unit that is none leaves a ghost; the oldest is forgotten if there is no room.
  void Push(UnitId id) {
    if (ghosts_.empty()) return;
    Forget(ghosts_[next_]);
    ghosts_[next_] = {id, lives_.Of(id.group)};
    next_ = next_ + 1 == ghosts_.size() ? 0 : next_ + 1;
    BitsOf(id).living |= BitOf(id.unit);
  }
  // Fetches what Push of that unit needs `ahead` calls later.
  void Prefetch(UnitId id, std::size_t ahead) const {
    PrefetchBits(id);
    const std::size_t at = next_ + ahead;
    PrefetchBits(ghosts_[at < ghosts_.size() ? at : 0].id);
  }
  // Whether the unit is a ghost; it is none any more.
  bool Take(UnitId id) {
    Bits& bits = BitsOf(id);
    const std::uint64_t bit = BitOf(id.unit);
    if ((bits.living & bit) == 0) return false;
    bits.living &= ~bit;
    if ((bits.ones & bits.twos & bit) != 0) {
      ++more_dead_[{id.group, lives_.Of(id.group), id.unit}];
      return true;
    }
    bits.twos ^= bits.ones & bit;
    bits.ones ^= bit;
    return true;
  }
  // Makes room for all units of the group. Called before Push and Take.
  void Resize(GroupIndex group) {
    if (static_cast<std::size_t>(group) >= bits_.size()) bits_.resize(group + 1);
    bits_[group].resize(state_.groups[group].bits.size());
  }
  // After the group's life ended.
  void End(GroupIndex group) {
    if (static_cast<std::size_t>(group) < bits_.size()) bits_[group] = {};
  }

 private:
  struct Ghost {
    UnitId id;  // none when the group is -1
    std::uint32_t life = 0;
  };

  Bits& BitsOf(UnitId id) { return bits_[id.group][id.unit >> 6]; }
  void PrefetchBits(UnitId id) const {
    if (id.group < 0) return;
    const std::vector<Bits>& bits = bits_[id.group];
    if (id.unit >> 6 < bits.size()) __builtin_prefetch(&bits[id.unit >> 6], 1);
  }
  void Forget(const Ghost& ghost) {
    if (ghost.id.group < 0 || lives_.Of(ghost.id.group) != ghost.life) return;
    Bits& bits = BitsOf(ghost.id);
    const std::uint64_t bit = BitOf(ghost.id.unit);
    if (((bits.ones | bits.twos) & bit) == 0) {
      bits.living &= ~bit;
      return;
    }
    if ((bits.ones & bits.twos & bit) != 0 && ForgetMore(ghost)) return;
    bits.twos ^= ~bits.ones & bit;
    bits.ones ^= bit;
  }
  // False when no more than three of the unit are dead.
  bool ForgetMore(const Ghost& ghost) {
    const auto more = more_dead_.find({ghost.id.group, ghost.life, ghost.id.unit});
    if (more == more_dead_.end()) return false;
    if (--more->second == 0) more_dead_.erase(more);
    return true;
  }

  const CacheState& state_;
  GroupLives& lives_;
  std::vector<Ghost> ghosts_;            // a ring
  std::size_t next_ = 0;                 // where the next goes, and the oldest lies
  std::vector<std::vector<Bits>> bits_;  // per group and 64 units
  std::map<std::tuple<GroupIndex, std::uint32_t, Unit>, std::int64_t> more_dead_;  // beyond three
};

}  // namespace sparseserve::kvcache
