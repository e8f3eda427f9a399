#include "kernels/cuda/cuda_backend.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "kernels/cuda/check.h"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/copies.h"
#include "kernels/cuda/cublas_library.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/transfer.h"
#include "kernels/pinned_pool.h"
#include "kernels/staging_ring.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {
namespace {

constexpr int kMaxTouchThreads = 16;  // more do not map memory faster
constexpr int kFlushedCaches = 4;     // a flush writes this many times the L2
constexpr unsigned kRegisterFlags = cudaHostRegisterPortable | cudaHostRegisterMapped;

// The compute lane goes first: its kernels take SMs before those of transfers that wait for one.
std::array<int, kNumLanes> ChoosePriorities() {
  int lowest = 0;
  int highest = 0;
  SPARSESERVE_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  return {highest, lowest, lowest};
}

PinnedPoolOptions MakePoolOptions(int device) {
  PinnedPoolOptions options;
  options.touch_threads =
      std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxTouchThreads);
  options.numa_node = FindDeviceNumaNode(device);
  options.register_range = [](void* data, Bytes size) {
    SPARSESERVE_CUDA_CHECK(
        cudaHostRegister(data, static_cast<std::size_t>(size.value()), kRegisterFlags));
  };
  options.unregister_range = [](void* data) { SPARSESERVE_CUDA_LOG(cudaHostUnregister(data)); };
  return options;
}

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const BackendConfig& config)
      : config_(config),
        num_sms_(ReadAttribute(cudaDevAttrMultiProcessorCount, config.device)),
        compute_capability_(ReadComputeCapability(config.device)),
        uses_host_pointers_(
            ReadAttribute(cudaDevAttrCanUseHostPointerForRegisteredMem, config.device) != 0),
        pinned_pool_(MakePoolOptions(config.device)),
        timing_events_(std::make_shared<EventPool>(config.device, cudaEventDefault)),
        blocking_events_(std::make_shared<EventPool>(
            config.device, cudaEventBlockingSync | cudaEventDisableTiming)) {
    const auto priorities = ChoosePriorities();
    for (std::size_t i = 0; i < kNumLanes; ++i) {
      streams_[i] = std::make_unique<Stream>(priorities[i]);
    }
  }
  ~CudaBackend() override {
    ring_.reset();  // completes saves, whose copies are on the streams
    for (const auto& stream : streams_) SPARSESERVE_CUDA_LOG(cudaStreamSynchronize(stream->get()));
  }

  std::string_view name() const override { return "cuda"; }
  DeviceInfo Describe() const override { return DescribeDevice(config_.device); }
  bool Supports(ElementType type) const override { return type == ElementType::kBfloat16; }
  bool Supports(LoadMethod method) const override {
    if (method == LoadMethod::kBatchCopy) return batch_copier_.is_supported();
    return method != LoadMethod::kBulkGather || compute_capability_ >= 90;
  }
  bool Supports(SaveMethod) const override { return true; }

  Buffer AllocateDevice(Bytes size) override {
    void* data = nullptr;
    SPARSESERVE_CUDA_CHECK(cudaMalloc(&data, static_cast<std::size_t>(size.value())));
    return Buffer(data, size, [](void* buffer) { SPARSESERVE_CUDA_LOG(cudaFree(buffer)); });
  }
  Buffer AllocateHost(Bytes size) override { return pinned_pool_.Allocate(size); }
  void Copy(Lane lane, void* destination, const void* source, Bytes size) override {
    SPARSESERVE_CUDA_CHECK(cudaMemcpyAsync(destination, source,
                                           static_cast<std::size_t>(size.value()),
                                           cudaMemcpyDefault, StreamOf(lane).get()));
  }
  void Fill(Lane lane, void* destination, std::byte value, Bytes size) override {
    SPARSESERVE_CUDA_CHECK(cudaMemsetAsync(destination, static_cast<int>(value),
                                           static_cast<std::size_t>(size.value()),
                                           StreamOf(lane).get()));
  }

  EventPtr Record(Lane lane) override {
    return std::make_shared<CudaEvent>(timing_events_, StreamOf(lane));
  }
  void Wait(Lane lane, const EventPtr& event) override {
    if (const auto* const on_device = dynamic_cast<const CudaEvent*>(event.get())) {
      SPARSESERVE_CUDA_CHECK(cudaStreamWaitEvent(StreamOf(lane).get(), on_device->get(), 0));
    } else {
      event->Synchronize();
    }
  }
  void Synchronize() override {
    for (const auto& stream : streams_)
      SPARSESERVE_CUDA_CHECK(cudaStreamSynchronize(stream->get()));
    if (ring_) ring_->Synchronize();
  }
  Seconds Elapsed(const EventPtr& begin, const EventPtr& end) const override {
    const auto* const from = dynamic_cast<const CudaEvent*>(begin.get());
    const auto* const to = dynamic_cast<const CudaEvent*>(end.get());
    SPARSESERVE_CHECK(from != nullptr && to != nullptr, "times are between recorded events");
    float milliseconds = 0;
    SPARSESERVE_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, from->get(), to->get()));
    return Seconds(static_cast<double>(milliseconds) * 1e-3);
  }
  void FlushCache(Lane lane) override {
    if (flush_buffer_.size() == Bytes()) {
      const int cache = ReadAttribute(cudaDevAttrL2CacheSize, config_.device);
      flush_buffer_ = AllocateDevice(Bytes(std::int64_t{kFlushedCaches} * std::max(cache, 1)));
    }
    Fill(lane, flush_buffer_.data(), std::byte{0}, flush_buffer_.size());
  }

  void Load(Lane lane, LoadMethod method, const LoadParams& params) override {
    SPARSESERVE_CHECK(Supports(method), "a load method that this device does not support");
    if (params.num_moves == 0) return;
    const Stream& stream = StreamOf(lane);
    if (method == LoadMethod::kCopyPerBlock) return LoadByCopies(params, stream.get());
    if (method == LoadMethod::kBatchCopy) return batch_copier_.Load(params, stream.get());
    LoadParams mapped = params;
    mapped.dram = ToDevicePointer(params.dram);
    mapped.moves = ToDevicePointer(params.moves);
    if (method == LoadMethod::kGather) return LaunchGather(mapped, MakeContext(lane));
    LaunchBulkGather(mapped, MakeContext(lane));
  }

  EventPtr Save(Lane lane, SaveMethod method, const SaveParams& params) override {
    const Stream& stream = StreamOf(lane);
    switch (method) {
      case SaveMethod::kCopyPerBlock:
        SaveByCopies(params, stream.get());
        break;
      case SaveMethod::kDirect: {
        SaveParams mapped = params;
        mapped.dram = ToDevicePointer(params.dram);
        mapped.moves = ToDevicePointer(params.moves);
        if (params.num_moves > 0) LaunchDirectSave(mapped, MakeContext(lane));
        break;
      }
      case SaveMethod::kStaged:
        return Ring().Save(params, [&](std::byte* slot, const std::byte* source, Bytes size) {
          SPARSESERVE_CUDA_CHECK(cudaMemcpyAsync(slot, source,
                                                 static_cast<std::size_t>(size.value()),
                                                 cudaMemcpyDeviceToHost, stream.get()));
          return std::make_shared<CudaEvent>(blocking_events_, stream);
        });
    }
    return Record(lane);
  }

  void BuildMetadata(const MetadataParams& p) override { LaunchBuildMetadata(p, Context()); }
  void Score(const ScoreParams& p) override { LaunchScore(p, Context()); }
  void TopK(const TopKParams& p) override { LaunchTopK(p, Context()); }
  void DecodeAttention(const DecodeParams& p) override {
    GrowWorkspace(Bytes(static_cast<std::int64_t>(WorkspaceBytes(p, num_sms_))));
    LaunchDecodeAttention(p, Context());
  }
  void PrefillAttention(const PrefillParams& p) override { LaunchPrefillAttention(p, Context()); }
  void Merge(const MergeParams& p) override { LaunchMerge(p, Context()); }
  void Gemm(const GemmParams& p) override {
    if (!cublas_) {
      cublas_workspace_ = AllocateDevice(Bytes(CublasLibrary::kWorkspaceBytes));
      cublas_ =
          std::make_unique<CublasLibrary>(StreamOf(Lane::kCompute).get(), cublas_workspace_.data());
    }
    cublas_->Gemm(p);
  }
  void Norm(const NormParams& p) override { LaunchNorm(p, Context()); }
  void RotateStore(const RotateStoreParams& p) override { LaunchRotateStore(p, Context()); }
  void GatedActivation(const GatedActivationParams& p) override {
    LaunchGatedActivation(p, Context());
  }
  void Embed(const EmbedParams& p) override { LaunchEmbed(p, Context()); }
  void Argmax(const ArgmaxParams& p) override { LaunchArgmax(p, Context()); }

 private:
  const Stream& StreamOf(Lane lane) const { return *streams_[static_cast<std::size_t>(lane)]; }
  LaunchContext MakeContext(Lane lane) const {
    return {.stream = StreamOf(lane).get(),
            .num_sms = num_sms_,
            .compute_capability = compute_capability_,
            .workspace = workspace_.data(),
            .workspace_bytes = static_cast<std::size_t>(workspace_.size().value())};
  }
  LaunchContext Context() const { return MakeContext(Lane::kCompute); }

  // Only the compute lane uses the workspace, one kernel after the other.
  void GrowWorkspace(Bytes size) {
    if (size <= workspace_.size()) return;
    SPARSESERVE_CUDA_CHECK(cudaStreamSynchronize(StreamOf(Lane::kCompute).get()));
    workspace_ = Buffer();
    workspace_ = AllocateDevice(std::max(size, Bytes(std::int64_t{16} << 20)));
  }

  // The address at which kernels see pinned memory: the same one on all current systems.
  template <typename T>
  T* ToDevicePointer(T* host) const {
    if (uses_host_pointers_ || host == nullptr) return host;
    void* device = nullptr;
    void* const address = const_cast<void*>(static_cast<const void*>(host));
    SPARSESERVE_CUDA_CHECK(cudaHostGetDevicePointer(&device, address, 0));
    return static_cast<T*>(device);
  }

  StagingRing& Ring() {
    if (!ring_) {
      ring_ = std::make_unique<StagingRing>(
          AllocateHost(config_.staging_slot * config_.num_staging_slots),
          StagingRingOptions{.num_slots = config_.num_staging_slots,
                             .slot = config_.staging_slot,
                             .scatter_threads = config_.scatter_threads,
                             .before_scatter = nullptr});
    }
    return *ring_;
  }

  const BackendConfig config_;
  const int num_sms_;
  const int compute_capability_;
  const bool uses_host_pointers_;
  PinnedPool pinned_pool_;
  BatchCopier batch_copier_;
  const std::shared_ptr<EventPool> timing_events_;    // of Record
  const std::shared_ptr<EventPool> blocking_events_;  // that the ring waits for, asleep
  std::array<std::unique_ptr<Stream>, kNumLanes> streams_;
  Buffer workspace_;
  Buffer flush_buffer_;
  Buffer cublas_workspace_;
  std::unique_ptr<CublasLibrary> cublas_;
  std::unique_ptr<StagingRing> ring_;
};

}  // namespace

std::unique_ptr<Backend> MakeCudaBackend(const BackendConfig& config) {
  SelectDevice(config.device);
  return std::make_unique<CudaBackend>(config);
}

}  // namespace sparseserve::kernels::cuda
