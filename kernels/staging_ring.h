// FlashD2H (SparseServe, arXiv 2509.24626): saves small fragments as large copies.
//
//     device memory --copy of the lane--> slot of a pinned ring --threads of the CPU--> DRAM
//
// A fragment (the K or V of one token, 256 bytes for 128 channels in bf16) is too small for a copy
// of its own. The new fragments lie one after the other on the device, so a save is a stream of
// bytes; it is cut into slots, each filled by one copy of the device, and threads scatter a slot to
// where its fragments belong while the next slot is being filled. Shared by both backends: only the
// copy into the slot is the device's.
//
// DRAM traffic for a byte saved: the device writes it, a core reads it and stores it around the
// caches; slots that fit into L3 save the read. Such stores scattered fragments of 64, 128 and
// 16384 bytes 1.5, 1.5 and 2.3 times as fast as memcpy, those of 16 and 32 bytes no slower (EPYC
// 7003, one core, 2026-11). Slots of 1-4 MiB: with smaller ones, waking threads costs more than the
// scatter.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/backend.h"
#include "kernels/host_event.h"
#include "kernels/thread_pool.h"
#include "sim/core/units.h"

namespace sparseserve::kernels {

struct StagingRingOptions {
  int num_slots = 4;
  Bytes slot{std::int64_t{4} << 20};  // a multiple of 16
  int scatter_threads = 1;
  // Called before each slot is scattered, on the scattering thread; for tests.
  std::function<void()> before_scatter = nullptr;
};

// Invariants:
// (1) slots are filled and scattered in the order of the saves, so saves complete in that order;
// (2) a slot is not filled again before it has been scattered: Save blocks while the ring is full;
// (3) every save completes, with the error of its copies if one failed.
// Threads: one thread saves; the scatter runs on threads of its own.
class StagingRing {
 public:
  // Enqueues a copy of `size` bytes from the device into `slot`, returns the event of its end.
  using CopyToSlot = std::function<EventPtr(std::byte* slot, const std::byte* source, Bytes size)>;

  // `memory` is of AllocateHost and holds num_slots slots.
  StagingRing(Buffer memory, StagingRingOptions options);
  // Completes all saves first, so what their copies run on must still exist.
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  // Returns the event of all bytes of the save being in DRAM. The moves are read before it returns.
  // Throws what `copy` throws; slots that it had filled before are still scattered.
  EventPtr Save(const SaveParams& params, const CopyToSlot& copy);
  // Waits for all saves; throws the first error of a save that it has not thrown yet.
  void Synchronize();

 private:
  // A run of bytes of a slot that stays one run in DRAM.
  struct Run {
    std::int64_t offset;  // in the slot
    std::byte* destination;
  };
  struct Job {
    EventPtr copied = nullptr;  // null: nothing to scatter
    std::byte* slot = nullptr;
    std::int64_t size = 0;
    std::vector<Run> runs = {};  // by offset, covering [0, size)
    int num_threads = 1;
    std::shared_ptr<HostEvent> saved = nullptr;  // null: more slots of the save follow
  };

  std::byte* AcquireSlot();
  void ReturnSlot();
  void Push(Job job);
  void ScatterJobs();
  void Scatter(const Job& job);

  const StagingRingOptions options_;
  const Buffer memory_;
  std::int64_t num_acquired_ = 0;  // slots ever taken; of the saving thread

  std::mutex mutex_;
  std::condition_variable pushed_;
  std::condition_variable released_;
  std::deque<Job> jobs_;  // the first is being scattered
  int num_used_ = 0;
  bool stopping_ = false;
  std::exception_ptr first_error_;

  ThreadPool pool_;  // of the scattering thread
  std::thread thread_;
};

}  // namespace sparseserve::kernels
