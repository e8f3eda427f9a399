// Metadata of the blocks of running requests in HBM: for each (request, layer, KV head) one run of
// entries, entry i of block i, so that a row of scores reads consecutive memory.
//
// The memory is an arena of its own, not the slots that the budget reserves for metadata: those
// stay empty, so the HBM in use is larger than the budget by the size of the arena.
#pragma once

#include <cstdint>
#include <map>

#include "kernels/backend.h"

namespace sparseserve::live {

class MetadataStore {
 public:
  // Room for `max_entries` entries of `entry_bytes`.
  MetadataStore(kernels::Backend& backend, std::int64_t entry_bytes, std::int64_t max_entries);

  void* data() const { return arena_.data(); }
  // Takes a run of entries; returns its first. Throws std::bad_alloc when none is free.
  std::int64_t Take(std::int64_t num_entries);
  void Return(std::int64_t first, std::int64_t num_entries);

 private:
  kernels::Buffer arena_;
  std::map<std::int64_t, std::int64_t> free_;  // first entry -> length, never adjacent
};

}  // namespace sparseserve::live
