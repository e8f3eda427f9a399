#include "tests/kernels/cuda/emulation.h"

#include "kernels/bfloat16.h"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/transfer.h"
#include "kernels/host_event.h"
#include "sim/core/check.h"
#include "tests/kernels/cuda/emulated_backend.h"

#include <cstring>
#include <new>
#include <utility>

namespace sparseserve::kernels {
namespace {

constexpr int kNumSms = 4;  // few, so that small shapes are split unevenly

cuda::LaunchContext MakeContext() {
  cuda::LaunchContext context;
  context.num_sms = kNumSms;
  context.compute_capability = 90;
  return context;
}

EventPtr MakeDoneEvent() {
  auto event = std::make_shared<HostEvent>();
  event->Complete();
  return event;
}

}  // namespace

DeviceInfo EmulatedBackend::Describe() const {
  DeviceInfo info;
  info.name = "emulated GPU";
  info.driver = "none";
  info.runtime = "emulation";
  info.clocks = "none";
  info.num_workers = kNumSms;
  return info;
}

Buffer EmulatedBackend::AllocateDevice(Bytes size) {
  constexpr std::align_val_t kAlignment{256};
  const auto num_bytes = static_cast<std::size_t>(size.value());
  void* const data = ::operator new(num_bytes, kAlignment);
  std::memset(data, 0xff, num_bytes);
  return Buffer(data, size, [](void* buffer) { ::operator delete(buffer, kAlignment); });
}

void EmulatedBackend::Copy(Lane, void* destination, const void* source, Bytes size) {
  std::memmove(destination, source, static_cast<std::size_t>(size.value()));
}

void EmulatedBackend::Fill(Lane, void* destination, std::byte value, Bytes size) {
  std::memset(destination, static_cast<int>(value), static_cast<std::size_t>(size.value()));
}

EventPtr EmulatedBackend::Record(Lane) { return MakeDoneEvent(); }

void EmulatedBackend::Wait(Lane, const EventPtr& event) { event->Synchronize(); }

void EmulatedBackend::Synchronize() {
  if (ring_) ring_->Synchronize();
}

Seconds EmulatedBackend::Elapsed(const EventPtr& begin, const EventPtr& end) const {
  const auto* const from = dynamic_cast<const HostEvent*>(begin.get());
  const auto* const to = dynamic_cast<const HostEvent*>(end.get());
  SPARSESERVE_CHECK(from != nullptr && to != nullptr, "events of another backend");
  return Seconds(static_cast<double>(to->time_ns() - from->time_ns()) * 1e-9);
}

void EmulatedBackend::Load(Lane, LoadMethod method, const LoadParams& params) {
  SPARSESERVE_CHECK(Supports(method), "a load method that is not supported");
  if (params.num_moves == 0) return;
  if (method == LoadMethod::kGather) return cuda::LaunchGather(params, MakeContext());
  if (method == LoadMethod::kBulkGather) return cuda::LaunchBulkGather(params, MakeContext());
  for (std::int64_t i = 0; i < params.num_moves; ++i) {
    const BlockMove& move = params.moves[i];
    if (move.source < 0) continue;
    std::memcpy(params.hbm + move.destination * params.block_bytes,
                params.dram + move.source * params.block_bytes,
                static_cast<std::size_t>(params.block_bytes));
  }
}

EventPtr EmulatedBackend::Save(Lane lane, SaveMethod method, const SaveParams& params) {
  if (method == SaveMethod::kStaged) {
    if (!ring_) {
      StagingRingOptions options;
      options.num_slots = config_.num_staging_slots;
      options.slot = config_.staging_slot;
      options.scatter_threads = config_.scatter_threads;
      ring_ =
          std::make_unique<StagingRing>(AllocateHost(options.slot * options.num_slots), options);
    }
    return ring_->Save(params, [&](std::byte* slot, const std::byte* source, Bytes size) {
      Copy(lane, slot, source, size);
      return MakeDoneEvent();
    });
  }
  if (method == SaveMethod::kDirect) {
    if (params.num_moves > 0) cuda::LaunchDirectSave(params, MakeContext());
    return MakeDoneEvent();
  }
  for (std::int64_t i = 0; i < params.num_moves; ++i) {
    const FragmentMove& move = params.moves[i];
    if (move.source < 0) continue;
    std::memcpy(params.dram + move.destination, params.hbm + move.source,
                static_cast<std::size_t>(params.fragment_bytes));
  }
  return MakeDoneEvent();
}

void EmulatedBackend::BuildMetadata(const MetadataParams& params) {
  cuda::LaunchBuildMetadata(params, MakeContext());
}
void EmulatedBackend::Score(const ScoreParams& params) { cuda::LaunchScore(params, MakeContext()); }
void EmulatedBackend::TopK(const TopKParams& params) { cuda::LaunchTopK(params, MakeContext()); }
void EmulatedBackend::DecodeAttention(const DecodeParams& params) {
  cuda::LaunchContext context = MakeContext();
  context.workspace_bytes = cuda::WorkspaceBytes(params, kNumSms);
  const Buffer workspace =
      AllocateDevice(Bytes(static_cast<std::int64_t>(context.workspace_bytes)));
  context.workspace = workspace.data();
  cuda::LaunchDecodeAttention(params, context);
}
void EmulatedBackend::PrefillAttention(const PrefillParams& params) {
  cuda::LaunchPrefillAttention(params, MakeContext());
}
void EmulatedBackend::Merge(const MergeParams& params) { cuda::LaunchMerge(params, MakeContext()); }

void EmulatedBackend::Gemm(const GemmParams& params) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels are for bfloat16");
  const auto* const x = static_cast<const Bfloat16*>(params.x);
  const auto* const w = static_cast<const Bfloat16*>(params.w);
  auto* const y = static_cast<Bfloat16*>(params.y);
  for (std::int64_t i = 0; i < params.m; ++i) {
    for (std::int64_t j = 0; j < params.n; ++j) {
      float sum = 0;
      for (std::int64_t k = 0; k < params.k; ++k) {
        sum += ToFloat(x[i * params.k + k]) * ToFloat(w[j * params.k + k]);
      }
      Bfloat16& out = y[i * params.n + j];
      out = ToBfloat16(params.accumulate ? sum + ToFloat(out) : sum);
    }
  }
}

void EmulatedBackend::Norm(const NormParams& params) { cuda::LaunchNorm(params, MakeContext()); }
void EmulatedBackend::RotateStore(const RotateStoreParams& params) {
  cuda::LaunchRotateStore(params, MakeContext());
}
void EmulatedBackend::GatedActivation(const GatedActivationParams& params) {
  cuda::LaunchGatedActivation(params, MakeContext());
}
void EmulatedBackend::Embed(const EmbedParams& params) { cuda::LaunchEmbed(params, MakeContext()); }
void EmulatedBackend::Argmax(const ArgmaxParams& params) {
  cuda::LaunchArgmax(params, MakeContext());
}

}  // namespace sparseserve::kernels
