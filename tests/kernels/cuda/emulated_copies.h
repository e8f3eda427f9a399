// The asynchronous copies of the emulation: each happens as late as the kernel lets it, so that one
// that does not wait finds poison, and one that overwrites its source too early spoils the copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace sparseserve::kernels::cuda::emulation {

struct PendingCopy {
  void* destination = nullptr;
  const void* source = nullptr;
  std::size_t num_bytes = 0;
  std::size_t num_zeros = 0;         // written after the bytes
  std::uint64_t* barrier = nullptr;  // of a bulk load

  void Finish() const;
};

// Copies in groups, as cp.async and bulk stores have them.
class CopyGroups {
 public:
  void Add(const PendingCopy& copy) { open_.push_back(copy); }
  void Commit();
  // Finishes the oldest groups until `num_pending` are left.
  void WaitFor(std::size_t num_pending);
  bool IsEmpty() const;

 private:
  std::vector<PendingCopy> open_;
  std::deque<std::vector<PendingCopy>> groups_;
};

struct ThreadCopies {
  CopyGroups copies;
  CopyGroups bulk_stores;
};

// The bulk loads of a block; they finish in any order.
class BulkLoads {
 public:
  void Add(const PendingCopy& copy) { pending_.push_back(copy); }
  // Finishes the latest or the oldest; false if there is none.
  bool FinishOne(bool latest);
  bool IsEmpty() const { return pending_.empty(); }

 private:
  std::deque<PendingCopy> pending_;
};

// Of the thread and block whose turn it is.
ThreadCopies& RunningCopies();
BulkLoads& RunningLoads();

}  // namespace sparseserve::kernels::cuda::emulation
