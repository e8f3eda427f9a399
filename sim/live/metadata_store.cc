#include "sim/live/metadata_store.h"

#include <new>

namespace sparseserve::live {

MetadataStore::MetadataStore(kernels::Backend& backend, std::int64_t entry_bytes,
                             std::int64_t max_entries)
    : arena_(backend.AllocateDevice(Bytes(entry_bytes * max_entries))) {
  free_[0] = max_entries;
}

std::int64_t MetadataStore::Take(std::int64_t num_entries) {
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const auto [first, length] = *it;
    if (length < num_entries) continue;
    free_.erase(it);
    if (length > num_entries) free_[first + num_entries] = length - num_entries;
    return first;
  }
  throw std::bad_alloc();
}

void MetadataStore::Return(std::int64_t first, std::int64_t num_entries) {
  auto next = free_.lower_bound(first);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == first) {
      first = before->first;
      num_entries += before->second;
      free_.erase(before);
    }
  }
  if (next != free_.end() && first + num_entries == next->first) {
    num_entries += next->second;
    free_.erase(next);
  }
  free_[first] = num_entries;
}

}  // namespace sparseserve::live
