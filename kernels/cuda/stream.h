// Streams and events of the CUDA runtime with owners.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <vector>

#include "kernels/backend.h"

namespace sparseserve::kernels::cuda {

// A stream that does not wait for the legacy default stream.
class Stream {
 public:
  // `priority` as in cudaDeviceGetStreamPriorityRange: lower numbers go first.
  explicit Stream(int priority);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// Recycles events, since creating one costs more than recording it. Threads: any may give back.
class EventPool {
 public:
  // `flags` of cudaEventCreateWithFlags; `device` is the one that the events belong to.
  EventPool(int device, unsigned flags) : device_(device), flags_(flags) {}
  ~EventPool();
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;

  cudaEvent_t Take();
  void GiveBack(cudaEvent_t event);
  int device() const { return device_; }

 private:
  const int device_;
  const unsigned flags_;
  std::mutex mutex_;
  std::vector<cudaEvent_t> free_;
};

// Recorded once, when it is made.
class CudaEvent : public Event {
 public:
  CudaEvent(std::shared_ptr<EventPool> pool, const Stream& stream);
  ~CudaEvent() override;
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  bool IsDone() const override;
  void Synchronize() const override;  // from any thread
  cudaEvent_t get() const { return event_; }

 private:
  const std::shared_ptr<EventPool> pool_;
  const cudaEvent_t event_;
};

}  // namespace sparseserve::kernels::cuda
