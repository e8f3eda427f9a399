// The selected set of one lane, (request, layer, head), as it changes from step to step.
//
// A lane is a view on flat memory of its request: a bitmap of the dynamic blocks that are selected
// now, the array of these blocks, and a ring of the blocks that left in the last kMaxWindow steps,
// by step. Sinks and recent blocks are always selected and stand in none of them. About 1.2 kB for
// 64 selected of 1,024 blocks.
//
// Cost per step: one random word per 64 dynamic blocks and binary digit needed (7 to 8), the odds
// of 15 gaps, then work in proportion to the changes.
#pragma once

#include <cstdint>
#include <vector>

#include "models/selection/popularity.h"
#include "models/selection/replacement_plan.h"
#include "models/selection/selection_model.h"
#include "sim/core/rng.h"

namespace sparseserve::selection {

using Block = std::uint32_t;

// Sizes in words, the same for all lanes of a layer.
struct LaneLayout {
  std::uint32_t dynamic_blocks = 0;
  std::uint32_t ring_blocks = 0;   // a power of two
  std::uint32_t bitmap_words = 0;  // last, so that a growing context only appends

  std::size_t words() const {
    return 2 * kMaxWindow + 1 + dynamic_blocks + ring_blocks + bitmap_words;
  }
};

// The blocks that a step deals with: dynamic ones are [begin, end); of these, [leaving_begin,
// leaving_end) fall out of the recent window at this step.
struct DynamicRange {
  Block begin = 0;
  Block end = 0;
  Block leaving_begin = 0;
  Block leaving_end = 0;
};

// Where a lane reports its changes, as units block * heads + head. The caller provides the room: at
// a step no more blocks join, and no more leave, than a lane selects plus those that slide.
struct LaneOutput {
  Unit* added;
  Unit* removed;
  std::uint32_t heads;
  std::uint32_t head;

  void Add(Block block) { *added++ = block * heads + head; }
  void Remove(Block block) { *removed++ = block * heads + head; }
};

// Working memory shared by all lanes; each array has room for the dynamic blocks of one.
struct LaneScratch {
  std::vector<std::uint32_t> positions;
  std::vector<bool> seen;  // by block: it has left, at a lane's first choices
};

class Lane {
 public:
  // REQUIRES: `words` has layout.words() words, all zero for a new lane.
  Lane(std::uint32_t* words, const LaneLayout& layout);

  // Starts from the dynamic blocks [begin, leaving_begin), as many as there is room for, drops the
  // rest of those up to `leaving_end`, and fills up with fresh ones.
  void Start(const DynamicRange& range, const Popularity& popularity, CounterRng& rng,
             LaneOutput& out);
  // Makes choice number `time` (1, 2, ...; Start is choice 0).
  void Choose(std::uint32_t time, const DynamicRange& range, const ReplacementPlan& plan,
              const Popularity& popularity, CounterRng& rng, LaneScratch& scratch, LaneOutput& out);
  // Keeps the choice; only [leaving_begin, leaving_end) leave.
  void Slide(std::uint32_t time, const DynamicRange& range, LaneOutput& out);

 private:
  static constexpr std::uint32_t kSlots = kMaxWindow;
  static_assert((kSlots & (kSlots - 1)) == 0, "slots are addressed by masking the time");
  static constexpr Block kNone = ~Block{0};

  bool Test(Block block) const { return (bitmap_[block / 32] >> (block % 32)) & 1; }
  void Set(Block block) { bitmap_[block / 32] |= 1U << (block % 32); }
  void Clear(Block block) { bitmap_[block / 32] &= ~(1U << (block % 32)); }

  // Writes the positions in dynamic_ that leave, each with probability leave / 2^64 and at most
  // `limit`; returns how many.
  std::uint32_t PickLeaving(std::uint64_t leave, std::uint32_t limit, CounterRng& rng,
                            std::uint32_t* positions) const;
  void Select(Block block, std::uint32_t position, LaneOutput& out);
  class GapOdds;
  GapOdds OddsOfGaps(std::uint32_t time, const ReplacementPlan& plan) const;
  // Where the blocks are that were last selected `gap_index` + 2 choices ago.
  static std::uint32_t Slot(std::uint32_t time, std::uint32_t gap_index) {
    return (time - gap_index - 1) % kSlots;
  }
  // One of these, or kNone if the one drawn has come back by chance since. In a crowded context
  // fresh draws bring back many blocks that leave once more: then it is looked for since when the
  // block is out. REQUIRES: the slot has blocks.
  Block DrawReturn(std::uint32_t time, std::uint32_t gap_index, bool crowded, CounterRng& rng);
  // Whether the block is among those put into the ring from `begin` on.
  bool HasLeftSince(std::uint32_t begin, Block block) const;
  // Whether the choice before that gap was made by this lane. A block last selected before it began
  // is one that has not come up yet: so the first steps overlap as much as the later ones.
  bool IsOnRecord(std::uint32_t time, std::uint32_t gap_index) const;
  // Marks the blocks that have left, of the `range.end` there are. REQUIRES: time < kMaxWindow.
  void MarkSeen(const DynamicRange& range, std::vector<bool>& seen) const;
  // A block that is neither selected nor marked; kNone if there is none.
  Block DrawUnseen(const DynamicRange& range, const Popularity& popularity,
                   const std::vector<bool>& seen, CounterRng& rng) const;
  // By popularity, a block that is not taken; kNone if all are.
  template <typename IsTaken>
  Block Draw(const DynamicRange& range, const Popularity& popularity, const IsTaken& is_taken,
             CounterRng& rng) const;
  // REQUIRES: the range has an unselected block.
  Block DrawFresh(const DynamicRange& range, const Popularity& popularity, CounterRng& rng) const;
  void OpenSlot(std::uint32_t time);
  // Puts `blocks` into the slot of `time`, which must be open.
  void Leave(std::uint32_t time, const Block* blocks, std::uint32_t num_blocks, LaneOutput& out);

  LaneLayout layout_;
  std::uint32_t* ring_head_;   // blocks ever put into the ring
  std::uint32_t* slot_begin_;  // [kSlots] ring position of the first block
  std::uint32_t* slot_size_;   // [kSlots] blocks that have not returned
  std::uint32_t* dynamic_;
  std::uint32_t* ring_;
  std::uint32_t* bitmap_;
};

}  // namespace sparseserve::selection
