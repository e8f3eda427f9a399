// How fast the machine is right now: one small GEMM, always the same, between other work.
//
// A shared machine changes its speed from minute to minute (2x within milliseconds and 25 % between
// minutes were seen on a virtual one, whose neighbours run on the same cores). `calibrate` takes a
// sample after each of its rounds and keeps the mean in the record (latencies.probe); `live` takes
// samples before, between and after its iterations. The ratio of the two means is the machine's
// drift. Means, not medians, because what is compared with a prediction are sums of times.
//
// Its weights are walked through, so that caches which the work between two samples left behind
// decide little. It uses Lane::kCompute and waits for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace sparseserve::kernels {

class SpeedProbe {
 public:
  explicit SpeedProbe(Backend& backend);

  // Runs it once on an idle compute lane.
  Seconds Sample();
  // "GEMM of 16 x 512 by 512 x 2816 in fp32".
  std::string Describe() const;

 private:
  struct Shape {
    ElementType type;
    std::int64_t m, n, k;
  };

  Backend& backend_;
  const Shape shape_;
  Buffer x_, weights_, y_;
  std::int64_t next_ = 0;
};

// Samples so far.
struct SpeedSamples {
  std::vector<Seconds> times;

  void Add(Seconds time) { times.push_back(time); }
  Seconds mean() const;           // zero without samples
  double standard_error() const;  // of the mean, relative to it; zero with fewer than two
};

}  // namespace sparseserve::kernels
