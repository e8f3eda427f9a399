// A record of what each lane did when, for a Chrome trace. Kept in memory, bounded; nothing is
// recorded outside the window.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.h"

namespace sparseserve::serving {

enum class Lane : std::uint8_t { kScheduler, kCompute, kH2d, kD2h, kScatter };

struct Slice {
  SimTime begin;
  SimTime end;
  Lane lane;
  const char* name;    // static storage
  std::int64_t layer;  // -1: none
};

class Timeline {
 public:
  Timeline(SimTime begin, SimTime end, std::size_t max_slices)
      : begin_(begin), end_(end), max_slices_(max_slices) {}

  void Add(Lane lane, const char* name, SimTime begin, SimTime end, std::int64_t layer = -1) {
    if (begin < begin_ || begin >= end_ || end <= begin) return;
    if (slices_.size() == max_slices_) {
      ++dropped_;
      return;
    }
    slices_.push_back({begin, end, lane, name, layer});
  }

  const std::vector<Slice>& slices() const { return slices_; }
  std::int64_t dropped() const { return dropped_; }

 private:
  SimTime begin_, end_;
  std::size_t max_slices_;
  std::vector<Slice> slices_;
  std::int64_t dropped_ = 0;
};

}  // namespace sparseserve::serving
