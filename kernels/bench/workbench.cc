#include "kernels/bench/workbench.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/bfloat16.h"
#include "sim/core/check.h"
#include "sim/core/rng.h"

namespace sparseserve::bench {
namespace {

using kernels::Buffer;
using kernels::ElementType;
using kernels::Lane;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kPage = 4096;
// The period of the pools' contents: 16 bytes times a prime, so that no two blocks of a pool have
// the same bytes unless they lie millions of blocks apart, and a copy of the wrong one shows.
constexpr std::int64_t kPatternBytes = 16 * 1048573;

// Where call `variant` finds its bytes in a pool. The prime makes neighbouring calls land far
// apart, where no prefetcher looks, and visits every place before it visits one again.
std::int64_t PlaceOf(std::int64_t variant, std::int64_t size, std::int64_t pool_bytes) {
  SPARSESERVE_CHECK(size <= pool_bytes, "a call fits into its pool");
  const std::int64_t stride = CeilDiv(std::max<std::int64_t>(size, 1), kPage) * kPage;
  const std::int64_t num_places = std::max<std::int64_t>(pool_bytes / stride, 1);
  return variant * 7919 % num_places * stride;
}

void FillPattern(std::byte* bytes, ElementType type, std::uint64_t seed) {
  CounterRng rng(seed);
  if (type == ElementType::kFloat32) {
    auto* elements = reinterpret_cast<float*>(bytes);
    for (std::int64_t i = 0; i < kPatternBytes / 4; ++i) {
      elements[i] = static_cast<float>(2 * rng.Uniform() - 1);
    }
    return;
  }
  auto* elements = reinterpret_cast<kernels::Bfloat16*>(bytes);
  for (std::int64_t i = 0; i < kPatternBytes / 2; ++i) {
    elements[i] = kernels::ToBfloat16(static_cast<float>(2 * rng.Uniform() - 1));
  }
}

}  // namespace

PoolSizes ChoosePoolSizes(const kernels::Backend& backend, bool small) {
  const kernels::DeviceInfo device = backend.Describe();
  const auto share = [&device](std::int64_t percent) {
    return device.memory.value() / 100 * percent;
  };
  const auto pages = [](std::int64_t bytes) { return Bytes(bytes / kPage * kPage); };
  if (backend.name() == "cpu") {
    const std::int64_t wanted = small ? std::clamp(2 * device.cache.value(), 48 * kMiB, 128 * kMiB)
                                      : std::max(8 * device.cache.value(), 256 * kMiB);
    const Bytes pool = pages(std::min(wanted, share(10) / 5));
    return {pool, pool, pool, pool, pool};
  }
  // Host pools are pinned, and a machine has at least as much DRAM as its GPU has memory.
  const std::int64_t most = small ? 512 * kMiB : 16384 * kMiB;
  const Bytes input = pages(std::min(most, share(25)));
  const Bytes other = pages(std::min(most / 2, share(12)));
  return {input, other, other, other, other};
}

Workbench::Workbench(kernels::Backend& backend, const ModelShape& model, const PoolSizes& sizes,
                     const kernels::StagingRingOptions& ring, std::uint64_t seed)
    : backend_(backend),
      device_(backend.Describe()),
      model_(model),
      seed_(seed),
      ring_options_(ring),
      input_(backend.AllocateDevice(sizes.device_input)),
      output_(backend.AllocateDevice(sizes.device_output)),
      cache_(backend.AllocateDevice(sizes.device_cache)),
      host_input_(backend.AllocateHost(sizes.host_input)),
      host_output_(backend.AllocateHost(sizes.host_output)),
      pattern_(backend.AllocateHost(Bytes(kPatternBytes))),
      ring_(backend.AllocateHost(ring.slot * ring.num_slots), ring) {
  FillPools();
}

void Workbench::FillPools() {
  FillPattern(pattern_.data(), model_.layout.type, seed_);
  for (const Buffer* pool : {&input_, &output_, &cache_, &host_input_, &host_output_}) {
    for (std::int64_t at = 0; at < pool->size().value(); at += kPatternBytes) {
      const std::int64_t size = std::min(kPatternBytes, pool->size().value() - at);
      backend_.Copy(Lane::kCompute, pool->data() + at, pattern_.data(), Bytes(size));
    }
  }
  backend_.Synchronize();
}

const std::byte* Workbench::Input(std::int64_t variant, std::int64_t size) const {
  return input_.data() + PlaceOf(variant, size, input_bytes());
}
const std::byte* Workbench::Weights(std::int64_t variant, std::int64_t size) const {
  return input_.data() + PlaceOf(variant, size, std::max(weights_bytes(), size));
}

std::int64_t Workbench::NumWeights(std::int64_t size) const {
  return CeilDiv(weights_bytes(), size);
}
std::byte* Workbench::Output(std::int64_t variant, std::int64_t size) const {
  return output_.data() + PlaceOf(variant, size, output_bytes());
}
std::byte* Workbench::Cache(std::int64_t variant, std::int64_t size) const {
  return cache_.data() + PlaceOf(variant, size, cache_bytes());
}
const std::byte* Workbench::HostInput(std::int64_t variant, std::int64_t size) const {
  return host_input_.data() + PlaceOf(variant, size, host_input_bytes());
}
std::byte* Workbench::HostOutput(std::int64_t variant, std::int64_t size) const {
  return host_output_.data() + PlaceOf(variant, size, host_output_bytes());
}

Buffer Workbench::UploadBytes(std::span<const std::byte> bytes) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  Buffer buffer = backend_.AllocateDevice(Bytes(std::max<std::int64_t>(size, 1)));
  for (std::int64_t at = 0; at < size; at += kPatternBytes) {
    const std::int64_t piece = std::min(kPatternBytes, size - at);
    std::memcpy(pattern_.data(), bytes.data() + at, static_cast<std::size_t>(piece));
    backend_.Copy(Lane::kCompute, buffer.data() + at, pattern_.data(), Bytes(piece));
    backend_.Synchronize();
  }
  return buffer;
}

void Workbench::DownloadBytes(const void* device, std::span<std::byte> bytes) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  backend_.Synchronize();
  for (std::int64_t at = 0; at < size; at += kPatternBytes) {
    const std::int64_t piece = std::min(kPatternBytes, size - at);
    backend_.Copy(Lane::kCompute, pattern_.data(), static_cast<const std::byte*>(device) + at,
                  Bytes(piece));
    backend_.Synchronize();
    std::memcpy(bytes.data() + at, pattern_.data(), static_cast<std::size_t>(piece));
  }
}

std::vector<float> Workbench::DownloadElements(const void* device, std::int64_t count) {
  if (model_.layout.type == ElementType::kFloat32) return Download<float>(device, count);
  const auto elements = Download<kernels::Bfloat16>(device, count);
  std::vector<float> values(elements.size());
  std::transform(elements.begin(), elements.end(), values.begin(),
                 [](kernels::Bfloat16 element) { return kernels::ToFloat(element); });
  return values;
}

std::vector<std::int32_t> Permutation(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  CounterRng rng(seed);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[rng.Below(static_cast<std::uint32_t>(i))]);
  }
  return order;
}

}  // namespace sparseserve::bench
