// Which blocks each request's decode step attends to, as sets that are kept from step to step, so
// that the cache can be told what changes. A set is a bit per unit: the host compares, changes and
// lists the choices of a layer while the compute lane waits.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "models/selection/selection_model.h"

namespace sparseserve::live {

class UnitSet {
 public:
  void Clear() { words_.assign(words_.size(), 0); }
  // Whether it was not in it.
  bool Insert(selection::Unit unit) {
    if (unit / 64 >= words_.size()) words_.resize(unit / 64 + 1);
    const std::uint64_t before = words_[unit / 64];
    words_[unit / 64] |= BitOf(unit);
    return words_[unit / 64] != before;
  }
  // Whether it was in it.
  bool Erase(selection::Unit unit) {
    if (unit / 64 >= words_.size()) return false;
    const std::uint64_t before = words_[unit / 64];
    words_[unit / 64] &= ~BitOf(unit);
    return words_[unit / 64] != before;
  }
  // Calls visit(unit) for each unit in rising order.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (std::size_t i = 0; i < words_.size(); ++i) Visit64(i, words_[i], visit);
  }
  // Calls visit(unit) for each unit that is in this set and not in `other`, in rising order.
  template <typename Visit>
  void ForEachBeyond(const UnitSet& other, const Visit& visit) const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const std::uint64_t theirs = i < other.words_.size() ? other.words_[i] : 0;
      Visit64(i, words_[i] & ~theirs, visit);
    }
  }

 private:
  static std::uint64_t BitOf(selection::Unit unit) { return std::uint64_t{1} << (unit % 64); }
  template <typename Visit>
  static void Visit64(std::size_t index, std::uint64_t word, const Visit& visit) {
    for (; word != 0; word &= word - 1) {
      visit(static_cast<selection::Unit>(index * 64 +
                                         static_cast<std::size_t>(std::countr_zero(word))));
    }
  }

  std::vector<std::uint64_t> words_;
};

// The selected blocks of one (request, layer). The unit of a block and a KV head is
// block * heads + head.
class BlockChoice {
 public:
  explicit BlockChoice(std::int64_t heads = 0)
      : heads_(heads), counts_(static_cast<std::size_t>(heads)) {}

  std::int64_t count(std::int64_t head) const { return counts_[static_cast<std::size_t>(head)]; }
  // Calls visit(block, head) for each selected block, block by block.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    std::int64_t block = 0;
    units_.ForEach([&](selection::Unit unit) {
      while (unit >= (block + 1) * heads_) ++block;
      visit(block, unit - block * heads_);
    });
  }
  // Appends to `delta`, by rising unit, what would change if `wanted` were selected.
  void Compare(const UnitSet& wanted, selection::SelectionDelta& delta) const;
  void Apply(const selection::SelectionDelta& delta);

 private:
  std::int64_t heads_;
  UnitSet units_;
  std::vector<std::int64_t> counts_;  // by head
};

}  // namespace sparseserve::live
