// The memory that all measured operations share: pools of random elements. Device kernels read
// `input` and write `output`, loads read `host_input` and write `cache`, saves read `input` and
// write `host_output`, so that lanes which run beside each other never write the same bytes.
// Repeated calls of an operation walk through the pools and find in no cache what the call before
// left there: a pool is several times as large as the caches. Only what a forward pass reads again
// comes back after as many bytes as such a pass reads, so that what a CPU's cache keeps of a small
// model from one pass to the next it keeps here too: weights, which walk through as many bytes as
// the model has (7 % of a GEMM of one row with 56 MB of them and an L3 of 32 MiB), and the KV of
// decodes (16 to 38 % of their attention beside weights of 28 MB).
//
// Elements are random, never zero: zeros hide what was not written, and multiply faster on a GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/bench/model_shape.h"
#include "kernels/staging_ring.h"
#include "sim/core/units.h"

namespace sparseserve::bench {

// Bytes of each pool.
struct PoolSizes {
  Bytes device_input;
  Bytes device_output;
  Bytes device_cache;
  Bytes host_input;
  Bytes host_output;
};

// Together at most 60 % of the device's memory; of a CPU, where all are in DRAM, a few times
// the L3 and at most 10 %. `small`: for a budget of seconds, in which nothing large can be filled.
PoolSizes ChoosePoolSizes(const kernels::Backend& backend, bool small);

class Workbench {
 public:
  Workbench(kernels::Backend& backend, const ModelShape& model, const PoolSizes& sizes,
            const kernels::StagingRingOptions& ring, std::uint64_t seed);

  kernels::Backend& backend() { return backend_; }
  const kernels::DeviceInfo& device() const { return device_; }
  const ModelShape& model() const { return model_; }
  Bytes smallest_pool() const {
    return std::min(
        {input_.size(), output_.size(), cache_.size(), host_input_.size(), host_output_.size()});
  }
  bool is_host() const { return backend_.name() == "cpu"; }  // the device's memory is the host's
  // A ring like the backend's, to measure its scatter alone.
  kernels::StagingRing& ring() { return ring_; }
  const kernels::StagingRingOptions& ring_options() const { return ring_options_; }
  std::uint64_t seed() const { return seed_; }

  std::int64_t input_bytes() const { return input_.size().value(); }
  std::int64_t output_bytes() const { return output_.size().value(); }
  std::int64_t cache_bytes() const { return cache_.size().value(); }
  std::int64_t host_input_bytes() const { return host_input_.size().value(); }
  std::int64_t host_output_bytes() const { return host_output_.size().value(); }

  // Where call number `variant` finds `size` bytes. REQUIRES: the pool holds them.
  const std::byte* Input(std::int64_t variant, std::int64_t size) const;
  const std::byte* Weights(std::int64_t variant, std::int64_t size) const;
  std::byte* Output(std::int64_t variant, std::int64_t size) const;
  std::byte* Cache(std::int64_t variant, std::int64_t size) const;
  const std::byte* HostInput(std::int64_t variant, std::int64_t size) const;
  std::byte* HostOutput(std::int64_t variant, std::int64_t size) const;

  // Whether a cache may hold some of the weights when a forward pass comes back to them. Not on a
  // GPU, whose caches are evicted before each sample (timer.h).
  bool keeps_weights() const { return is_host() && weights_bytes() < input_bytes(); }
  // How many weights of this size a forward pass reads.
  std::int64_t NumWeights(std::int64_t size) const;

  // Device memory with these contents.
  template <typename T>
  kernels::Buffer Upload(const std::vector<T>& values) {
    return UploadBytes(std::as_bytes(std::span(values)));
  }
  // Waits for all lanes, then reads device memory.
  template <typename T>
  std::vector<T> Download(const void* device, std::int64_t count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    DownloadBytes(device, std::as_writable_bytes(std::span(values)));
    return values;
  }
  // The same for elements of the model's type.
  std::vector<float> DownloadElements(const void* device, std::int64_t count);

 private:
  kernels::Buffer UploadBytes(std::span<const std::byte> bytes);
  void DownloadBytes(const void* device, std::span<std::byte> bytes);
  void FillPools();
  std::int64_t weights_bytes() const {
    return model_.weight_bytes > 0 ? std::min(model_.weight_bytes, input_bytes()) : input_bytes();
  }

  kernels::Backend& backend_;
  const kernels::DeviceInfo device_;
  const ModelShape model_;
  const std::uint64_t seed_;
  const kernels::StagingRingOptions ring_options_;
  kernels::Buffer input_, output_, cache_, host_input_, host_output_;
  kernels::Buffer pattern_;  // host; random elements, later the staging of up- and downloads
  kernels::StagingRing ring_;
};

// A random permutation of [0, count), the same for equal seeds.
std::vector<std::int32_t> Permutation(std::int64_t count, std::uint64_t seed);

}  // namespace sparseserve::bench
