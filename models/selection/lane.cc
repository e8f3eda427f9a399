#include "models/selection/lane.h"

#include <algorithm>
#include <array>
#include <bit>

namespace sparseserve::selection {
namespace {

// Below it, blocks that came back by chance and left once more shift no share of gaps by 0.0003 (64
// of 1,024 blocks, o(1) = 0.80), and looking for them took half as long again as all the rest.
constexpr double kCrowdedHazard = 0.01;

// A word whose bits are set independently with probability p / 2^64: compares 64 binary fractions
// with p digit by digit until all are decided.
std::uint64_t BernoulliWord(std::uint64_t p, CounterRng& rng) {
  std::uint64_t undecided = ~std::uint64_t{0}, below = 0;
  for (; undecided != 0 && p != 0; p <<= 1) {
    const std::uint64_t digits = rng.Next();
    const std::uint64_t p_digit = (p >> 63) ? ~std::uint64_t{0} : 0;
    below |= undecided & p_digit & ~digits;
    undecided &= ~(digits ^ p_digit);
  }
  return below;
}

// How many of `count` independent trials of probability p / 2^64 succeed.
std::uint32_t Binomial(std::uint32_t count, std::uint64_t p, CounterRng& rng) {
  std::uint32_t successes = 0;
  for (; count >= 64; count -= 64) successes += std::popcount(BernoulliWord(p, rng));
  if (count > 0)
    successes += std::popcount(BernoulliWord(p, rng) & ((std::uint64_t{1} << count) - 1));
  return successes;
}

}  // namespace

// From which gap the next block returns, in proportion to the odds of the blocks that are there: a
// tree of two levels, so that a draw compares six sums and not fifteen.
class Lane::GapOdds {
 public:
  // By gap index: the odds of one block, and of all.
  using Odds = std::array<std::uint32_t, kMaxWindow>;
  GapOdds(const Odds& one, const Odds& all) : one_(one), all_(all) {
    for (std::uint32_t i = 0; i < kMaxWindow; ++i) by_four_[i / 4] += all_[i];
    for (const std::uint32_t odds : by_four_) sum_ += odds;
  }

  bool empty() const { return sum_ == 0; }
  // Draws a gap index and takes one block of it away.
  std::uint32_t Take(CounterRng& rng) {
    std::uint32_t at = rng.Below(sum_);
    const std::uint32_t four = Find(by_four_.data(), at);
    const std::uint32_t gap_index = 4 * four + Find(&all_[4 * four], at);
    const std::uint32_t taken = std::min(one_[gap_index], all_[gap_index]);
    all_[gap_index] -= taken;
    by_four_[four] -= taken;
    sum_ -= taken;
    return gap_index;
  }

 private:
  static_assert(kMaxWindow == 16);

  // Which of four adjacent ranges of these lengths `at` lies in; it then counts from there.
  static std::uint32_t Find(const std::uint32_t* lengths, std::uint32_t& at) {
    std::uint32_t found = 0, end = 0, begin = 0;
    for (int i = 0; i < 3; ++i) {
      end += lengths[i];
      found += at >= end;
      begin = at >= end ? end : begin;
    }
    at -= begin;
    return found;
  }

  const Odds& one_;
  Odds all_;
  std::array<std::uint32_t, kMaxWindow / 4> by_four_{};
  std::uint32_t sum_ = 0;
};

Lane::Lane(std::uint32_t* words, const LaneLayout& layout)
    : layout_(layout),
      ring_head_(words),
      slot_begin_(ring_head_ + 1),
      slot_size_(slot_begin_ + kSlots),
      dynamic_(slot_size_ + kSlots),
      ring_(dynamic_ + layout.dynamic_blocks),
      bitmap_(ring_ + layout.ring_blocks) {}

void Lane::Start(const DynamicRange& range, const Popularity& popularity, CounterRng& rng,
                 LaneOutput& out) {
  std::uint32_t size = 0;
  Block block = range.begin;
  for (; block < range.leaving_end && size < layout_.dynamic_blocks; ++block) {
    Set(block);
    dynamic_[size++] = block;
  }
  for (; block < range.leaving_end; ++block) Leave(0, &block, 1, out);
  for (; size < layout_.dynamic_blocks; ++size)
    Select(DrawFresh(range, popularity, rng), size, out);
}

void Lane::Choose(std::uint32_t time, const DynamicRange& range, const ReplacementPlan& plan,
                  const Popularity& popularity, CounterRng& rng, LaneScratch& scratch,
                  LaneOutput& out) {
  const std::uint32_t sliding = range.leaving_end - range.leaving_begin;
  const std::uint32_t unselected = range.end - range.begin - layout_.dynamic_blocks - sliding;
  std::uint32_t* const leaving = scratch.positions.data();
  const std::uint32_t num_leaving = PickLeaving(plan.leave, unselected, rng, leaving);

  // All returns, then all fresh draws: branches that can be predicted.
  const std::uint32_t num_returns = Binomial(num_leaving, plan.returns, rng);

  // Blocks that leave at this step keep their bit until all draws are done, so that none of them
  // is drawn again.
  for (Block block = range.leaving_begin; block < range.leaving_end; ++block) Set(block);
  OpenSlot(time);
  const bool crowded = plan.hazard > kCrowdedHazard;
  if (time < kMaxWindow) MarkSeen(range, scratch.seen);
  GapOdds odds = OddsOfGaps(time, plan);
  for (std::uint32_t i = 0; i < num_leaving; ++i) {
    Block block = kNone;
    while (i < num_returns && block == kNone && !odds.empty()) {
      const std::uint32_t gap_index = odds.Take(rng);
      block = IsOnRecord(time, gap_index) ? DrawReturn(time, gap_index, crowded, rng)
                                          : DrawUnseen(range, popularity, scratch.seen, rng);
    }
    if (block == kNone) block = DrawFresh(range, popularity, rng);
    const std::uint32_t position = leaving[i];
    leaving[i] = dynamic_[position];
    Select(block, position, out);
  }
  for (std::uint32_t i = 0; i < num_leaving; ++i) Clear(leaving[i]);
  Leave(time, leaving, num_leaving, out);
  for (Block block = range.leaving_begin; block < range.leaving_end; ++block) Clear(block);
  Slide(time, range, out);
}

void Lane::Slide(std::uint32_t time, const DynamicRange& range, LaneOutput& out) {
  for (Block block = range.leaving_begin; block < range.leaving_end; ++block)
    Leave(time, &block, 1, out);
}

std::uint32_t Lane::PickLeaving(std::uint64_t leave, std::uint32_t limit, CounterRng& rng,
                                std::uint32_t* positions) const {
  std::uint32_t size = 0;
  for (std::uint32_t base = 0; base < layout_.dynamic_blocks; base += 64) {
    std::uint64_t word = BernoulliWord(leave, rng);
    const std::uint32_t rest = layout_.dynamic_blocks - base;
    if (rest < 64) word &= (std::uint64_t{1} << rest) - 1;
    for (; word != 0; word &= word - 1)
      positions[size++] = base + static_cast<std::uint32_t>(std::countr_zero(word));
  }
  if (size <= limit) return size;
  for (std::uint32_t i = 0; i < limit; ++i)  // a uniform subset: Fisher and Yates, cut short
    std::swap(positions[i], positions[i + rng.Below(size - i)]);
  return limit;
}

void Lane::Select(Block block, std::uint32_t position, LaneOutput& out) {
  Set(block);
  dynamic_[position] = block;
  out.Add(block);
}

bool Lane::IsOnRecord(std::uint32_t time, std::uint32_t gap_index) const {
  // Only a lane whose context was selected entirely before has something in the slot of choice 0.
  return gap_index + 1 < time || (gap_index + 1 == time && slot_size_[0] > 0);
}

Lane::GapOdds Lane::OddsOfGaps(std::uint32_t time, const ReplacementPlan& plan) const {
  GapOdds::Odds all = plan.expected_odds;
  for (std::uint32_t i = 0; i + 1 < all.size() && IsOnRecord(time, i); ++i)
    all[i] = plan.odds[i] * slot_size_[Slot(time, i)];
  return {plan.odds, all};
}

Block Lane::DrawReturn(std::uint32_t time, std::uint32_t gap_index, bool crowded, CounterRng& rng) {
  const std::uint32_t slot = Slot(time, gap_index);
  const std::uint32_t mask = layout_.ring_blocks - 1;
  Block& picked = ring_[(slot_begin_[slot] + rng.Below(slot_size_[slot])) & mask];
  const Block block = picked;
  picked = ring_[(slot_begin_[slot] + --slot_size_[slot]) & mask];
  // A fresh draw may have brought it back since.
  if (Test(block)) return kNone;
  if (crowded && HasLeftSince(slot_begin_[(slot + 1) % kSlots], block)) return kNone;
  return block;
}

// Has no branch to leave early, so that compilers compare several at once.
bool Lane::HasLeftSince(std::uint32_t begin, Block block) const {
  const std::uint32_t first = begin & (layout_.ring_blocks - 1);
  const std::uint32_t size = *ring_head_ - begin;
  const std::uint32_t at_end = std::min(size, layout_.ring_blocks - first);
  std::uint32_t found = 0;
  for (std::uint32_t i = 0; i < at_end; ++i) found |= ring_[first + i] == block ? 1U : 0U;
  for (std::uint32_t i = 0; i < size - at_end; ++i) found |= ring_[i] == block ? 1U : 0U;
  return found != 0;
}

template <typename IsTaken>
Block Lane::Draw(const DynamicRange& range, const Popularity& popularity, const IsTaken& is_taken,
                 CounterRng& rng) const {
  const Block num_blocks = range.end - range.begin;
  const Block last = range.end - 1;
  Block block = last;
  for (int tries = 0; tries < 8; ++tries) {
    block = last - popularity.Draw(static_cast<std::uint32_t>(rng.Next() >> 32), num_blocks);
    if (!is_taken(block)) return block;
  }
  for (Block i = 0; i < num_blocks; ++i) {  // a crowded context: the next free block
    block = block == last ? range.begin : block + 1;
    if (!is_taken(block)) return block;
  }
  return kNone;
}

Block Lane::DrawFresh(const DynamicRange& range, const Popularity& popularity,
                      CounterRng& rng) const {
  return Draw(
      range, popularity, [this](Block block) { return Test(block); }, rng);
}

Block Lane::DrawUnseen(const DynamicRange& range, const Popularity& popularity,
                       const std::vector<bool>& seen, CounterRng& rng) const {
  return Draw(
      range, popularity, [&](Block block) { return Test(block) || seen[block]; }, rng);
}

void Lane::MarkSeen(const DynamicRange& range, std::vector<bool>& seen) const {
  seen.assign(range.end, false);
  for (std::uint32_t i = 0; i < *ring_head_; ++i) seen[ring_[i]] = true;
}

void Lane::OpenSlot(std::uint32_t time) {
  slot_begin_[time % kSlots] = *ring_head_;
  slot_size_[time % kSlots] = 0;
}

void Lane::Leave(std::uint32_t time, const Block* blocks, std::uint32_t num_blocks,
                 LaneOutput& out) {
  const std::uint32_t head = *ring_head_;
  const std::uint32_t oldest = slot_begin_[(time + 1) % kSlots];
  // A block that the full ring has no room for can come back only as a fresh draw.
  const std::uint32_t kept = std::min(num_blocks, layout_.ring_blocks - (head - oldest));
  for (std::uint32_t i = 0; i < kept; ++i)
    ring_[(head + i) & (layout_.ring_blocks - 1)] = blocks[i];
  *ring_head_ = head + kept;
  slot_size_[time % kSlots] += kept;
  for (std::uint32_t i = 0; i < num_blocks; ++i) out.Remove(blocks[i]);
}

}  // namespace sparseserve::selection
