#include "kernels/cuda/stream.h"

#include <utility>

#include "kernels/cuda/check.h"

namespace sparseserve::kernels::cuda {

Stream::Stream(int priority) {
  SPARSESERVE_CUDA_CHECK(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority));
}

Stream::~Stream() { SPARSESERVE_CUDA_LOG(cudaStreamDestroy(stream_)); }

EventPool::~EventPool() {
  for (const cudaEvent_t event : free_) SPARSESERVE_CUDA_LOG(cudaEventDestroy(event));
}

cudaEvent_t EventPool::Take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      const cudaEvent_t event = free_.back();
      free_.pop_back();
      return event;
    }
  }
  cudaEvent_t event = nullptr;
  SPARSESERVE_CUDA_CHECK(cudaEventCreateWithFlags(&event, flags_));
  return event;
}

void EventPool::GiveBack(cudaEvent_t event) {
  const std::lock_guard lock(mutex_);
  free_.push_back(event);
}

CudaEvent::CudaEvent(std::shared_ptr<EventPool> pool, const Stream& stream)
    : pool_(std::move(pool)), event_(pool_->Take()) {
  const cudaError_t error = cudaEventRecord(event_, stream.get());
  if (error == cudaSuccess) return;
  pool_->GiveBack(event_);
  ThrowCudaError(error, "cudaEventRecord", __FILE__, __LINE__);
}

CudaEvent::~CudaEvent() { pool_->GiveBack(event_); }

bool CudaEvent::IsDone() const {
  const cudaError_t error = cudaEventQuery(event_);
  if (error == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // no error of ours
    return false;
  }
  SPARSESERVE_CUDA_CHECK(error);
  return true;
}

void CudaEvent::Synchronize() const {
  // A thread that never chose a device would make a context on device 0.
  SPARSESERVE_CUDA_CHECK(cudaSetDevice(pool_->device()));
  SPARSESERVE_CUDA_CHECK(cudaEventSynchronize(event_));
}

}  // namespace sparseserve::kernels::cuda
