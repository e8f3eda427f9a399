#include "kernels/pinned_pool.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <limits>
#include <memory>
#include <new>
#include <system_error>

#include "kernels/thread_pool.h"
#include "sim/core/check.h"

namespace sparseserve::kernels {
namespace {

constexpr std::int64_t kPage = 4096;
constexpr std::int64_t kHugePage = std::int64_t{2} << 20;
constexpr int kBindPolicy = 2;  // MPOL_BIND of linux/mempolicy.h, which not every system installs

constexpr std::int64_t RoundUp(std::int64_t size, std::int64_t unit) {
  return CeilDiv(size, unit) * unit;
}

// Maps `size` bytes aligned to `alignment`, both multiples of a page.
std::byte* MapAligned(std::int64_t size, std::int64_t alignment) {
  const std::int64_t slack = alignment - kPage;
  void* mapped = mmap(nullptr, static_cast<std::size_t>(size + slack), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(mapped);
  const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(begin));
  const std::int64_t head = RoundUp(address, alignment) - address;
  if (head > 0) munmap(begin, static_cast<std::size_t>(head));
  if (slack > head) munmap(begin + head + size, static_cast<std::size_t>(slack - head));
  return begin + head;
}

// mbind is called by number: libnuma would be a dependency for this one call.
int BindToNode(void* data, std::size_t size, int node) {
  constexpr std::size_t kBits = 8 * sizeof(unsigned long);
  std::array<unsigned long, 1024 / kBits> mask{};
  if (node >= static_cast<int>(mask.size() * kBits)) return EINVAL;
  mask[static_cast<std::size_t>(node) / kBits] |= 1UL << (static_cast<std::size_t>(node) % kBits);
  const long result =
      syscall(SYS_mbind, data, size, kBindPolicy, mask.data(), mask.size() * kBits + 1, 0);
  return result == 0 ? 0 : errno;
}

void Touch(std::byte* data, std::int64_t size, int num_threads) {
  constexpr std::int64_t kWorthThreads = std::int64_t{16} << 20;
  ThreadPool(size < kWorthThreads ? 1 : num_threads)
      .ParallelFor(size / kPage, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t page = begin; page < end; ++page) {
          *const_cast<volatile std::byte*>(data + page * kPage) = std::byte{0};
        }
      });
}

std::string Describe(int error) { return std::generic_category().message(error); }

}  // namespace

Buffer PinnedPool::Allocate(Bytes size) {
  SPARSESERVE_CHECK(size.value() >= 0, "a buffer has a size");
  const std::int64_t unit = size.value() >= kHugePage ? kHugePage : kPage;
  if (size.value() > std::numeric_limits<std::int64_t>::max() - 2 * unit) throw std::bad_alloc();
  const std::int64_t mapped = RoundUp(std::max<std::int64_t>(size.value(), 1), unit);
  const auto mapped_bytes = static_cast<std::size_t>(mapped);
  std::byte* const data = MapAligned(mapped, unit);
  Buffer memory(data, size, [mapped_bytes](void* begin) { munmap(begin, mapped_bytes); });

  if (unit == kHugePage) {
    const int advice = options_.huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    if (madvise(data, mapped_bytes, advice) != 0 && options_.huge_pages) {
      AddRemark("no huge pages: " + Describe(errno));
    }
  }
  if (options_.numa_node >= 0) {
    const int error = BindToNode(data, mapped_bytes, options_.numa_node);
    if (error != 0) {
      AddRemark("not bound to NUMA node " + std::to_string(options_.numa_node) + ": " +
                Describe(error));
    }
  }
  Touch(data, mapped, options_.touch_threads);
  if (!options_.register_range) return memory;

  options_.register_range(data, Bytes(mapped));
  // From here on the range must be forgotten before it is unmapped.
  return Buffer(data, size,
                [unregister = options_.unregister_range,
                 mapping = std::make_shared<Buffer>(std::move(memory))](void* begin) mutable {
                  if (unregister) unregister(begin);
                  mapping.reset();
                });
}

void PinnedPool::AddRemark(const std::string& remark) {
  if (remarks_.find(remark) != std::string::npos) return;
  remarks_ += (remarks_.empty() ? "" : "; ") + remark;
}

std::vector<int> ParseIndexList(std::string_view text) {
  std::vector<int> indices;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc()) break;
    int last = first;
    if (parsed.ptr < end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
      if (parsed.ec != std::errc()) break;
    }
    for (int i = first; i <= last; ++i) indices.push_back(i);
    if (parsed.ptr == end || *parsed.ptr != ',') break;
    at = parsed.ptr + 1;
  }
  return indices;
}

std::vector<int> FindNumaNodes() {
  std::ifstream file("/sys/devices/system/node/online");
  std::string text;
  std::getline(file, text);
  std::vector<int> nodes = ParseIndexList(text);
  return nodes.empty() ? std::vector<int>{0} : nodes;
}

int FindCurrentNumaNode() {
  unsigned cpu = 0;
  unsigned node = 0;
  if (syscall(SYS_getcpu, &cpu, &node, nullptr) != 0) return 0;
  return static_cast<int>(node);
}

}  // namespace sparseserve::kernels
