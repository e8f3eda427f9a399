// One operation on one machine, with everything resolved: the record's curve where there is one,
// otherwise a roofline; and never faster than the data sheet.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "calibration/record.h"
#include "sim/core/units.h"

namespace sparseserve::cost {

using calibration::Estimate;
using calibration::Work;

// max(flops / compute, bytes / bandwidth). Rates are kept as their inverses, because the division
// is the dear part of a call; an absent limit is zero.
struct Limits {
  double seconds_per_flop = 0;
  double seconds_per_byte = 0;

  static Limits Of(FlopsPerSecond compute, BytesPerSecond bandwidth);
  // The same limits when only these fractions of them are reached.
  Limits Reaching(double compute_efficiency, double memory_efficiency) const {
    return {seconds_per_flop / compute_efficiency, seconds_per_byte / memory_efficiency};
  }
  double Time(const Work& work) const {
    return std::max(work.flops.value() * seconds_per_flop,
                    static_cast<double>(work.bytes.value()) * seconds_per_byte);
  }
};

class Operation {
 public:
  Operation() = default;
  // `floor`: the machine's own limits, which no curve may undercut.
  Operation(const calibration::Curve& curve, Limits floor) : curve_(curve), floor_(floor) {}
  Operation(Seconds launch, Limits reached, Limits floor)
      : launch_(launch), reached_(reached), floor_(floor) {}

  Estimate Time(const Work& work) const {
    if (work.items <= 0) return {};
    Estimate estimate{launch_ + Seconds(reached_.Time(work)), false};
    if (curve_) estimate = curve_->Evaluate(work);
    estimate.time = std::max(estimate.time, Seconds(floor_.Time(work)));
    return estimate;
  }

 private:
  std::optional<calibration::Curve> curve_;
  Seconds launch_;
  Limits reached_;
  Limits floor_;
};

}  // namespace sparseserve::cost
