// First in, first out: the unit that has been in HBM longest leaves, however often it is used.
// Touches change nothing, so the lazy form is the plain one. O(1) per load and eviction, plus the
// pinned units that a batch of evictions passes over.
#include "sim/core/check.h"
#include "sim/kvcache/node_ring.h"
#include "sim/kvcache/policies.h"

namespace sparseserve::kvcache {
namespace {

class Fifo final : public EvictionPolicy {
 public:
  explicit Fifo(const CacheState& state)
      : state_(state), sentinel_(static_cast<NodeRing::Node>(state.owners.size())) {
    queue_.Resize(sentinel_ + 1);
    queue_.MakeSentinel(sentinel_);
  }

  void OnSelect(GroupIndex, std::span<const Slot>, std::span<const Slot>) override {}
  void OnLoad(GroupIndex, std::span<const Slot> slots) override {
    for (const Slot slot : slots) queue_.InsertBefore(slot, sentinel_);
  }
  void OnCreate(GroupIndex group, std::span<const Slot> slots) override { OnLoad(group, slots); }
  void OnEnd(GroupIndex, std::span<const Slot> slots) override {
    for (const Slot slot : slots) queue_.Unlink(slot);
  }

  void Evict(std::int64_t count, std::vector<Slot>& victims) override {
    for (NodeRing::Node node = queue_.next(sentinel_), next; count > 0; node = next) {
      SPARSESERVE_CHECK(node != sentinel_, "too little is evictable");
      next = queue_.next(node);
      if (state_.pinned(node)) continue;
      queue_.Unlink(node);
      victims.push_back(node);
      --count;
    }
  }

 private:
  const CacheState& state_;
  const NodeRing::Node sentinel_;
  NodeRing queue_;  // from the first to the last that came in
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeFifo(const CacheState& state) {
  return std::make_unique<Fifo>(state);
}

}  // namespace sparseserve::kvcache
