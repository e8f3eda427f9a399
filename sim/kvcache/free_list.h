// Identities [0, capacity) that are handed out and come back: the last returned goes out first, and
// an identity that was never out only when none has come back.
#pragma once

#include <cstdint>
#include <vector>

namespace sparseserve::kvcache {

class FreeList {
 public:
  explicit FreeList(std::int64_t capacity) : capacity_(capacity) {}

  std::int64_t capacity() const { return capacity_; }
  std::int64_t num_free() const {
    return capacity_ - next_unused_ + static_cast<std::int64_t>(returned_.size());
  }
  // REQUIRES: num_free() > 0.
  std::int32_t Take() {
    if (returned_.empty()) return static_cast<std::int32_t>(next_unused_++);
    const std::int32_t id = returned_.back();
    returned_.pop_back();
    return id;
  }
  void Return(std::int32_t id) { returned_.push_back(id); }
  // For audits: every free identity that was out before.
  const std::vector<std::int32_t>& returned() const { return returned_; }
  std::int64_t next_unused() const { return next_unused_; }

 private:
  std::int64_t capacity_;
  std::int64_t next_unused_ = 0;
  std::vector<std::int32_t> returned_;
};

}  // namespace sparseserve::kvcache
