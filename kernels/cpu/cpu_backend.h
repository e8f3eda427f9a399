// The backend that every machine has: kernels on threads, "device memory" and "host memory" as two
// arenas of DRAM. It is the twin of the CUDA backend in results, lanes, events and transfer
// methods, not a model of its speed. FlushCache evicts the L3 of the core that the lane runs on.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cpu/lane.h"
#include "kernels/pinned_pool.h"
#include "kernels/staging_ring.h"
#include "kernels/thread_pool.h"

namespace sparseserve::kernels::cpu {

// Called at the start of a piece of work, on the thread that does it; for tests that delay it or
// let it fail.
struct CpuBackendHooks {
  std::function<void(Lane)> before_copy = nullptr;  // a copy, load or save
  std::function<void()> before_scatter = nullptr;   // of a slot of the staging ring
};

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const BackendConfig& config, CpuBackendHooks hooks = {});
  // Completes what was enqueued.
  ~CpuBackend() override = default;

  std::string_view name() const override { return "cpu"; }
  DeviceInfo Describe() const override;
  bool Supports(ElementType type) const override;
  bool Supports(LoadMethod method) const override;
  bool Supports(SaveMethod method) const override;

  Buffer AllocateDevice(Bytes size) override;
  Buffer AllocateHost(Bytes size) override;
  void Copy(Lane lane, void* destination, const void* source, Bytes size) override;
  void Fill(Lane lane, void* destination, std::byte value, Bytes size) override;

  EventPtr Record(Lane lane) override;
  void Wait(Lane lane, const EventPtr& event) override;
  void Synchronize() override;
  Seconds Elapsed(const EventPtr& begin, const EventPtr& end) const override;
  void FlushCache(Lane lane) override;

  void Load(Lane lane, LoadMethod method, const LoadParams& params) override;
  EventPtr Save(Lane lane, SaveMethod method, const SaveParams& params) override;

  void BuildMetadata(const MetadataParams& params) override;
  void Score(const ScoreParams& params) override;
  void TopK(const TopKParams& params) override;
  void DecodeAttention(const DecodeParams& params) override;
  void PrefillAttention(const PrefillParams& params) override;
  void Merge(const MergeParams& params) override;
  void Gemm(const GemmParams& params) override;
  void Norm(const NormParams& params) override;
  void RotateStore(const RotateStoreParams& params) override;
  void GatedActivation(const GatedActivationParams& params) override;
  void Embed(const EmbedParams& params) override;
  void Argmax(const ArgmaxParams& params) override;

 private:
  CpuLane& OnLane(Lane lane) { return *lanes_[static_cast<std::size_t>(lane)]; }
  ThreadPool& PoolOf(Lane lane) { return *copy_pools_[static_cast<std::size_t>(lane)]; }
  void EnqueueCopy(Lane lane, std::function<void()> copy);
  template <typename Params>
  void Compute(void (*operation)(const Params&, ThreadPool&), const Params& params);

  const BackendConfig config_;
  const CpuBackendHooks hooks_;
  PinnedPool memory_;
  Buffer flush_buffer_;  // several times the last-level cache; made by the first FlushCache
  ThreadPool compute_pool_;
  std::array<std::unique_ptr<ThreadPool>, kNumLanes> copy_pools_;
  // Destroyed first, in this order: saves in the ring wait for copies on a lane, a lane for
  // another.
  std::array<std::unique_ptr<CpuLane>, kNumLanes> lanes_;
  std::unique_ptr<StagingRing> ring_;
};

}  // namespace sparseserve::kernels::cpu
