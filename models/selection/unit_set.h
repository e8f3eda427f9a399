// A set of units, a bit each: comparing two and listing one in order take a word for 64 units,
// which counts where compute waits for it (sim/live) and where recordings are replayed.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "models/selection/selection_model.h"

namespace sparseserve::selection {

class UnitSet {
 public:
  bool Contains(std::uint64_t unit) const {
    return unit / 64 < words_.size() && (words_[unit / 64] & BitOf(unit)) != 0;
  }
  // Keeps the memory.
  void Clear() { words_.assign(words_.size(), 0); }
  // Whether it was not in it.
  bool Insert(Unit unit) {
    if (unit / 64 >= words_.size()) words_.resize(unit / 64 + 1);
    const std::uint64_t before = words_[unit / 64];
    words_[unit / 64] |= BitOf(unit);
    return words_[unit / 64] != before;
  }
  // Whether it was in it.
  bool Erase(Unit unit) {
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
  static std::uint64_t BitOf(std::uint64_t unit) { return std::uint64_t{1} << (unit % 64); }
  template <typename Visit>
  static void Visit64(std::size_t index, std::uint64_t word, const Visit& visit) {
    for (; word != 0; word &= word - 1) {
      visit(static_cast<Unit>(index * 64 + static_cast<std::size_t>(std::countr_zero(word))));
    }
  }

  std::vector<std::uint64_t> words_;
};

}  // namespace sparseserve::selection
