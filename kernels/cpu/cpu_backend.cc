#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include "kernels/cpu/compute.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/transfer.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cpu {
namespace {

// Where the system does not tell its last-level cache: more than servers of 2026 have on a socket.
constexpr Bytes kUnknownCache{std::int64_t{512} << 20};
constexpr int kFlushFactor = 3;  // times the cache, since none evicts strictly in order

// Of the compute lane: longer than a choice of blocks and the load of all of them, so that it goes
// on as soon after a long load as after a short one (asleep it took 35 us more, 2026-11). On a
// machine of two cores the other threads share the second one: when the host polled as well, copies
// and scatters took their time from the compute (5 % of that of a decode, 2026-11).
constexpr std::chrono::milliseconds kPatience(2);

// Pages are shared out over the nodes by first touch; a process that runs on one node binds there.
PinnedPoolOptions MemoryOptions(const BackendConfig& config) {
  const bool has_nodes = FindNumaNodes().size() > 1;
  return {.touch_threads = std::max(config.transfer_threads, config.compute_threads),
          .numa_node = has_nodes ? FindCurrentNumaNode() : -1};
}

}  // namespace

CpuBackend::CpuBackend(const BackendConfig& config, CpuBackendHooks hooks)
    : config_(config),
      hooks_(std::move(hooks)),
      memory_(MemoryOptions(config)),
      compute_pool_(config.compute_threads) {
  for (auto& pool : copy_pools_) pool = std::make_unique<ThreadPool>(config.transfer_threads);
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    const bool computes = i == static_cast<std::size_t>(Lane::kCompute);
    lanes_[i] = std::make_unique<CpuLane>(computes ? kPatience : std::chrono::nanoseconds(0));
  }
  ring_ =
      std::make_unique<StagingRing>(AllocateHost(config.staging_slot * config.num_staging_slots),
                                    StagingRingOptions{.num_slots = config.num_staging_slots,
                                                       .slot = config.staging_slot,
                                                       .scatter_threads = config.scatter_threads,
                                                       .before_scatter = hooks_.before_scatter});
}

DeviceInfo CpuBackend::Describe() const {
  DeviceInfo info = ReadCpuInfo();
  if (!memory_.remarks().empty()) info.clocks += "; memory: " + memory_.remarks();
  return info;
}

bool CpuBackend::Supports(ElementType /*type*/) const { return true; }

bool CpuBackend::Supports(LoadMethod method) const {
  return method == LoadMethod::kCopyPerBlock || method == LoadMethod::kGather;
}

bool CpuBackend::Supports(SaveMethod /*method*/) const { return true; }

// --- memory

Buffer CpuBackend::AllocateDevice(Bytes size) { return memory_.Allocate(size); }

Buffer CpuBackend::AllocateHost(Bytes size) { return memory_.Allocate(size); }

void CpuBackend::Copy(Lane lane, void* destination, const void* source, Bytes size) {
  if (size.value() == 0) return;
  EnqueueCopy(lane,
              [=] { std::memcpy(destination, source, static_cast<std::size_t>(size.value())); });
}

void CpuBackend::Fill(Lane lane, void* destination, std::byte value, Bytes size) {
  if (size.value() == 0) return;
  EnqueueCopy(lane, [=] {
    std::memset(destination, std::to_integer<int>(value), static_cast<std::size_t>(size.value()));
  });
}

// --- order and time

EventPtr CpuBackend::Record(Lane lane) { return OnLane(lane).Record(); }

void CpuBackend::Wait(Lane lane, const EventPtr& event) { OnLane(lane).Wait(event); }

void CpuBackend::Synchronize() {
  // All of them even if one fails: what the caller frees next must not be in use.
  std::exception_ptr error;
  const auto try_synchronize = [&](auto& part) {
    try {
      part.Synchronize();
    } catch (...) {
      if (!error) error = std::current_exception();
    }
  };
  for (const auto& lane : lanes_) try_synchronize(*lane);
  try_synchronize(*ring_);
  if (error) std::rethrow_exception(error);
}

Seconds CpuBackend::Elapsed(const EventPtr& begin, const EventPtr& end) const {
  const auto* const first = dynamic_cast<const HostEvent*>(begin.get());
  const auto* const last = dynamic_cast<const HostEvent*>(end.get());
  SPARSESERVE_CHECK(first != nullptr && last != nullptr, "events of another backend");
  return Seconds(static_cast<double>(last->time_ns() - first->time_ns()) * 1e-9);
}

void CpuBackend::FlushCache(Lane lane) {
  if (flush_buffer_.data() == nullptr) {
    const Bytes cache = ReadLastLevelCache();
    flush_buffer_ = memory_.Allocate((cache.value() > 0 ? cache : kUnknownCache) * kFlushFactor);
  }
  OnLane(lane).Enqueue([this] {
    // Reading is enough: it takes the lines' places and leaves none to be written back later.
    const volatile std::byte* const data = flush_buffer_.data();
    for (std::int64_t i = 0; i < flush_buffer_.size().value(); i += 64) (void)data[i];
  });
}

// --- transfers

void CpuBackend::EnqueueCopy(Lane lane, std::function<void()> copy) {
  OnLane(lane).Enqueue([this, lane, copy = std::move(copy)] {
    if (hooks_.before_copy) hooks_.before_copy(lane);
    copy();
  });
}

void CpuBackend::Load(Lane lane, LoadMethod method, const LoadParams& params) {
  SPARSESERVE_CHECK(Supports(method), "a load method of CUDA only");
  EnqueueCopy(lane, [this, lane, method, params] {
    if (method == LoadMethod::kGather) return LoadByGather(params, PoolOf(lane));
    LoadByCopies(params);
  });
}

EventPtr CpuBackend::Save(Lane lane, SaveMethod method, const SaveParams& params) {
  if (method == SaveMethod::kStaged) {
    return ring_->Save(params, [&](std::byte* slot, const std::byte* source, Bytes size) {
      Copy(lane, slot, source, size);
      return Record(lane);
    });
  }
  EnqueueCopy(lane, [this, lane, method, params] {
    if (method == SaveMethod::kDirect) return SaveDirectly(params, PoolOf(lane));
    SaveByCopies(params);
  });
  return Record(lane);
}

// --- compute

template <typename Params>
void CpuBackend::Compute(void (*operation)(const Params&, ThreadPool&), const Params& params) {
  OnLane(Lane::kCompute).Enqueue([this, operation, params] { operation(params, compute_pool_); });
}

void CpuBackend::BuildMetadata(const MetadataParams& params) {
  Compute(cpu::BuildMetadata, params);
}
void CpuBackend::Score(const ScoreParams& params) { Compute(cpu::Score, params); }
void CpuBackend::TopK(const TopKParams& params) { Compute(cpu::TopK, params); }
void CpuBackend::DecodeAttention(const DecodeParams& params) {
  Compute(cpu::DecodeAttention, params);
}
void CpuBackend::PrefillAttention(const PrefillParams& params) {
  Compute(cpu::PrefillAttention, params);
}
void CpuBackend::Merge(const MergeParams& params) { Compute(cpu::Merge, params); }
void CpuBackend::Gemm(const GemmParams& params) { Compute(cpu::Gemm, params); }
void CpuBackend::Norm(const NormParams& params) { Compute(cpu::Norm, params); }
void CpuBackend::RotateStore(const RotateStoreParams& params) { Compute(cpu::RotateStore, params); }
void CpuBackend::GatedActivation(const GatedActivationParams& params) {
  Compute(cpu::GatedActivation, params);
}
void CpuBackend::Embed(const EmbedParams& params) { Compute(cpu::Embed, params); }
void CpuBackend::Argmax(const ArgmaxParams& params) { Compute(cpu::Argmax, params); }

}  // namespace sparseserve::kernels::cpu
