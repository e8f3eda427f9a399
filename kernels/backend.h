// Real memory and real kernels of one device, behind one interface: `cpu` is always built, `cuda`
// where a CUDA toolkit was found. Everything above (harness, calibration, live mode, tests) is
// written once against this header, which names no CUDA type.
//
// Lanes. Work is enqueued on one of three lanes, CUDA streams or CPU threads. A lane runs its work
// in order; lanes run beside each other, ordered only by events: Record on one, Wait on another.
// Calls return before the work is done, errors of the device are thrown by a later call.
//
// Errors. BackendUnavailable: no GPU, a driver too old, built without CUDA. DeviceError: the device
// failed (call, code and text in the message). std::bad_alloc: out of memory, host or device. A
// shape that a kernel cannot run (REQUIRES of operations.h) is our fault and aborts.
//
// Threads: one thread calls a backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/operations.h"
#include "sim/core/units.h"

namespace sparseserve::kernels {

class BackendUnavailable : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Lane : std::uint8_t { kCompute, kH2d, kD2h };
inline constexpr int kNumLanes = 3;

// A point in the work of a lane. Shared and immutable; does not outlive its backend.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool IsDone() const = 0;
  virtual void Synchronize() const = 0;  // blocks the caller until it is done
};
using EventPtr = std::shared_ptr<const Event>;

// A piece of device or pinned host memory; freed on destruction.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, Bytes size, std::function<void(void*)> free)
      : data_(static_cast<std::byte*>(data)), size_(size), free_(std::move(free)) {}
  ~Buffer() { Reset(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    Reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, Bytes());
    free_ = std::exchange(other.free_, nullptr);
    return *this;
  }

  std::byte* data() const { return data_; }
  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(data_);
  }
  Bytes size() const { return size_; }

 private:
  void Reset() {
    if (free_) free_(data_);
    free_ = nullptr;
    data_ = nullptr;
  }

  std::byte* data_ = nullptr;
  Bytes size_;
  std::function<void(void*)> free_;
};

struct DeviceInfo {
  std::string name;         // "NVIDIA H200", "AMD EPYC, 2 cores"
  std::string driver;       // of the GPU; the kernel of the operating system for a CPU
  std::string runtime;      // "CUDA 13.0"; the compiler for a CPU
  std::string clocks;       // as found, in words
  Bytes memory;             // HBM; for a CPU its DRAM
  Bytes cache;              // L2 of a GPU, L3 of a CPU
  int num_workers = 1;      // SMs; cores
  int query_tile_rows = 1;  // (query, query head) that one of them attends for at a time in prefill
  int numa_nodes = 1;
};

struct BackendConfig {
  int device = 0;             // CUDA ordinal
  int compute_threads = 1;    // CPU: of the compute lane
  int transfer_threads = 1;   // CPU: of each copy lane, for the methods that use threads
  int scatter_threads = 1;    // SaveMethod::kStaged
  int num_staging_slots = 4;  // of its ring
  Bytes staging_slot{std::int64_t{4} << 20};
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;  // "cpu", "cuda"
  virtual DeviceInfo Describe() const = 0;
  virtual bool Supports(ElementType type) const = 0;
  virtual bool Supports(LoadMethod method) const = 0;
  virtual bool Supports(SaveMethod method) const = 0;

  // --- memory. The contents are undefined; alignment is 256 bytes or more.
  virtual Buffer AllocateDevice(Bytes size) = 0;
  // Pinned: mapped, touched in parallel, bound to the device's NUMA node where there are nodes, and
  // registered with the device.
  virtual Buffer AllocateHost(Bytes size) = 0;
  // One contiguous copy between any two of the backend's buffers.
  virtual void Copy(Lane lane, void* destination, const void* source, Bytes size) = 0;
  virtual void Fill(Lane lane, void* destination, std::byte value, Bytes size) = 0;

  // --- order and time
  virtual EventPtr Record(Lane lane) = 0;
  virtual void Wait(Lane lane, const EventPtr& event) = 0;
  virtual void Synchronize() = 0;  // all lanes and all scatters
  // REQUIRES: both done, and both from Record (not from Save).
  virtual Seconds Elapsed(const EventPtr& begin, const EventPtr& end) const = 0;
  // Evicts the device's caches (L2 of a GPU, L3 of a CPU), so that what follows starts cold.
  virtual void FlushCache(Lane lane) = 0;

  // --- transfers. REQUIRES: Supports(method).
  virtual void Load(Lane lane, LoadMethod method, const LoadParams& params) = 0;
  // Returns the event of the bytes being in DRAM. kStaged: the lane is free once the copies into
  // the ring are done, the event comes after the scatter; blocks the caller while the ring is full.
  virtual EventPtr Save(Lane lane, SaveMethod method, const SaveParams& params) = 0;

  // --- compute, on Lane::kCompute
  virtual void BuildMetadata(const MetadataParams& params) = 0;
  virtual void Score(const ScoreParams& params) = 0;
  virtual void TopK(const TopKParams& params) = 0;
  virtual void DecodeAttention(const DecodeParams& params) = 0;
  virtual void PrefillAttention(const PrefillParams& params) = 0;
  virtual void Merge(const MergeParams& params) = 0;
  virtual void Gemm(const GemmParams& params) = 0;
  virtual void Norm(const NormParams& params) = 0;
  virtual void RotateStore(const RotateStoreParams& params) = 0;
  virtual void GatedActivation(const GatedActivationParams& params) = 0;
  virtual void Embed(const EmbedParams& params) = 0;
  virtual void Argmax(const ArgmaxParams& params) = 0;
};

// Threads for this machine: an eighth of the cores, at least one and at most four, for each copy
// lane and for scattering (FlexKV #227 uses four for a GPU), the rest for compute. Calibration and
// live mode use the same, so that what was measured is what runs.
BackendConfig DefaultBackendConfig();

// Whether the binary has the CUDA backend; it may still find no GPU.
bool HasCuda();
// `name`: "cpu" or "cuda". Throws BackendUnavailable with one clear line.
std::unique_ptr<Backend> MakeBackend(std::string_view name, const BackendConfig& config);

}  // namespace sparseserve::kernels
