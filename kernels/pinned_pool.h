// Host memory as a device wants it: mapped, in huge pages, on one NUMA node, touched, registered.
//
// Pages are touched by several threads before they are registered, since the kernel zeroes them at
// the first touch and a registration alone would do it on one thread (8 GiB: 2.8 s against 0.9-1.1
// s, dynamo pull request 13710). Transparent huge pages are asked for: a gather of 16 KB blocks in
// random order otherwise misses the TLB in every block. Both are wishes: remarks() says what the
// system did not grant.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "sim/core/units.h"

namespace sparseserve::kernels {

struct PinnedPoolOptions {
  int touch_threads = 1;
  bool huge_pages = true;
  int numa_node = -1;  // binds to this node; negative: where the touching threads run
  // Make a range known to the device and forget it, e.g. cudaHostRegister. Forgetting may not
  // throw.
  std::function<void(void* data, Bytes size)> register_range = nullptr;
  std::function<void(void* data)> unregister_range = nullptr;
};

// Threads: one at a time. Its buffers may outlive it.
class PinnedPool {
 public:
  explicit PinnedPool(PinnedPoolOptions options) : options_(std::move(options)) {}

  // Returns zeroed memory, aligned to a page, from 2 MiB on to a huge page. Throws std::bad_alloc,
  // or what register_range throws.
  Buffer Allocate(Bytes size);
  // What was asked of the system and refused, in words; empty if nothing was.
  const std::string& remarks() const { return remarks_; }

 private:
  void AddRemark(const std::string& remark);

  PinnedPoolOptions options_;
  std::string remarks_;
};

// Reads a list of the form "0-2,5" as /sys has it for nodes and cores.
std::vector<int> ParseIndexList(std::string_view text);
// The nodes that are online; {0} where the system does not know nodes.
std::vector<int> FindNumaNodes();
// The node of the calling thread.
int FindCurrentNumaNode();

}  // namespace sparseserve::kernels
