// Samples many points in rounds: every round takes a few samples of each point that is not yet
// known well enough, or of all. A phase in which a shared machine is slow then touches all points a
// little and none entirely, and shows as a round that is slower than the others.
//
// Precise is not right: samples of one minute agree with one another, and the next minute may be
// another. Rounds over all points, spread over the time that is left, see more than one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "calibration/measurement.h"
#include "kernels/bench/call.h"
#include "kernels/bench/statistics.h"
#include "kernels/bench/stopping_rule.h"
#include "sim/core/units.h"

namespace sparseserve::bench {

struct Point {
  Call call;
  std::int64_t x = 0;  // place on the axes of its operation
  std::int64_t y = 0;
  bool held_out = false;
  bool required = false;  // sampled at least once, even when time is out

  std::int64_t num_calls = 0;  // per sample; 0: not run yet
  std::vector<double> samples{};
  std::vector<double> round_medians{};  // by round since the start; 0: not sampled in it
  bool is_done = false;

  Seconds median() const { return Seconds(Summarize(samples).median); }
};

// What a round needs of the machine; a test gives it a synthetic one.
struct Sampler {
  std::function<std::int64_t(const Call&)> choose_num_calls;
  std::function<Seconds(const Call&, std::int64_t num_calls)> sample;
  std::function<Seconds()> now;
  std::function<bool()> cancelled;
};

class Rounds {
 public:
  Rounds(Sampler sampler, StoppingRule rule) : sampler_(std::move(sampler)), rule_(rule) {}

  Point& Add(Point point);
  // One round of the points that are not known well enough; returns false when there were none or
  // time is out.
  bool Run(Seconds deadline);
  // One round of all points; returns false when time is out.
  bool Revisit(Seconds deadline);
  bool AllDone() const;
  const std::vector<std::unique_ptr<Point>>& points() const { return points_; }
  // How much slower the slowest of the rounds was; see DriftOfRounds.
  double Drift() const;

 private:
  bool RunOver(bool all, Seconds deadline);
  void SamplePoint(Point& point, Seconds deadline);
  bool IsOut(Seconds deadline) const { return sampler_.cancelled() || sampler_.now() >= deadline; }

  const Sampler sampler_;
  const StoppingRule rule_;
  std::vector<std::unique_ptr<Point>> points_;
  std::size_t num_rounds_ = 0;
};

// Its time is the mean without the slowest twentieth of the samples, because runs add such times
// up: a machine that is slow for a third of the time is slow for a third of a run.
calibration::Measurement ToMeasurement(const Point& point, const StoppingRule& rule);

}  // namespace sparseserve::bench
