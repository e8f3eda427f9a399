// Doubly linked lists threaded through one array of nodes. A list is a ring through a node of its
// own, its sentinel; front and back are the sentinel's neighbours. Every operation is O(1).
#pragma once

#include <cstdint>
#include <vector>

namespace sparseserve::kvcache {

class NodeRing {
 public:
  using Node = std::int32_t;

  void Resize(std::int64_t num_nodes) {
    links_.resize(static_cast<std::size_t>(num_nodes), Links{kUnlinked, kUnlinked});
  }
  std::int64_t size() const { return static_cast<std::int64_t>(links_.size()); }
  void MakeSentinel(Node node) { links_[node] = Links{node, node}; }

  Node next(Node node) const { return links_[node].next; }
  Node prev(Node node) const { return links_[node].prev; }
  bool linked(Node node) const { return links_[node].next != kUnlinked; }

  // REQUIRES: `node` is in no list, `position` is in one.
  void InsertBefore(Node node, Node position) {
    const Node before = links_[position].prev;
    links_[node] = Links{before, position};
    links_[before].next = node;
    links_[position].prev = node;
  }
  // REQUIRES: `node` is in a list.
  void Unlink(Node node) {
    const Links links = links_[node];
    links_[links.prev].next = links.next;
    links_[links.next].prev = links.prev;
    links_[node] = Links{kUnlinked, kUnlinked};
  }
  void Prefetch(Node node) const { __builtin_prefetch(&links_[node], 1); }

 private:
  static constexpr Node kUnlinked = -1;
  struct Links {
    Node prev;
    Node next;
  };
  std::vector<Links> links_;
};

}  // namespace sparseserve::kvcache
