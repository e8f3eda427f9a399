// The CUDA backend without a GPU: its kernels and launch code in the emulation, host memory for
// both tiers. Every call is done when it returns. So the tests of kernels/ run on it as on the
// others; kBatchCopy has no kernel and is not supported.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/staging_ring.h"

namespace sparseserve::kernels {

class EmulatedBackend : public Backend {
 public:
  explicit EmulatedBackend(const BackendConfig& config) : config_(config) {}

  std::string_view name() const override { return "emulated"; }
  DeviceInfo Describe() const override;
  bool Supports(ElementType type) const override { return type == ElementType::kBfloat16; }
  bool Supports(LoadMethod method) const override { return method != LoadMethod::kBatchCopy; }
  bool Supports(SaveMethod) const override { return true; }

  // Of the exact size, for AddressSanitizer, and filled with 0xff.
  Buffer AllocateDevice(Bytes size) override;
  Buffer AllocateHost(Bytes size) override { return AllocateDevice(size); }
  void Copy(Lane lane, void* destination, const void* source, Bytes size) override;
  void Fill(Lane lane, void* destination, std::byte value, Bytes size) override;

  EventPtr Record(Lane lane) override;
  void Wait(Lane lane, const EventPtr& event) override;
  void Synchronize() override;
  Seconds Elapsed(const EventPtr& begin, const EventPtr& end) const override;
  void FlushCache(Lane) override {}

  void Load(Lane lane, LoadMethod method, const LoadParams& params) override;
  EventPtr Save(Lane lane, SaveMethod method, const SaveParams& params) override;

  void BuildMetadata(const MetadataParams& params) override;
  void Score(const ScoreParams& params) override;
  void TopK(const TopKParams& params) override;
  void DecodeAttention(const DecodeParams& params) override;
  void PrefillAttention(const PrefillParams& params) override;
  void Merge(const MergeParams& params) override;
  void Gemm(const GemmParams& params) override;  // cuBLAS has no twin here: a plain loop
  void Norm(const NormParams& params) override;
  void RotateStore(const RotateStoreParams& params) override;
  void GatedActivation(const GatedActivationParams& params) override;
  void Embed(const EmbedParams& params) override;
  void Argmax(const ArgmaxParams& params) override;

 private:
  const BackendConfig config_;
  std::unique_ptr<StagingRing> ring_;
};

}  // namespace sparseserve::kernels
