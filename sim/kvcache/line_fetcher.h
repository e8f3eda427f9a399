// Fetches an array into the processor's cache, a line at each call, between other work.
//
// The groups of a batch do not fit into the caches and come in a cycle, so the data of the group
// that is likely to come next is fetched while the present one changes: a line with each change, so
// that a step of few changes fetches little.
#pragma once

#include <cstddef>
#include <vector>

namespace sparseserve::kvcache {

class LineFetcher {
 public:
  template <typename T>
  explicit LineFetcher(const std::vector<T>& array)
      : next_(reinterpret_cast<const char*>(array.data())),
        num_lines_(array.size() * sizeof(T) / kLine) {}

  void FetchOne() {
    if (num_lines_ == 0) return;
    __builtin_prefetch(next_, 1, 2);  // to be written, into the second level
    next_ += kLine;
    --num_lines_;
  }

 private:
  static constexpr std::size_t kLine = 64;  // bytes
  const char* next_;
  std::size_t num_lines_;
};

}  // namespace sparseserve::kvcache
