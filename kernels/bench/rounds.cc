#include "kernels/bench/rounds.h"

#include <algorithm>
#include <utility>

#include "sim/core/quantiles.h"

namespace sparseserve::bench {
namespace {

constexpr int kSamplesPerRound = 2;

}  // namespace

Point& Rounds::Add(Point point) {
  return *points_.emplace_back(std::make_unique<Point>(std::move(point)));
}

void Rounds::SamplePoint(Point& point, Seconds deadline) {
  if (point.num_calls == 0) point.num_calls = sampler_.choose_num_calls(point.call);
  std::vector<double> fresh;
  for (int i = 0; i < kSamplesPerRound; ++i) {
    if (i > 0 && IsOut(deadline)) break;
    fresh.push_back(sampler_.sample(point.call, point.num_calls).value());
  }
  point.samples.insert(point.samples.end(), fresh.begin(), fresh.end());
  point.round_medians.resize(num_rounds_, 0.0);
  point.round_medians.push_back(Summarize(fresh).median);
  point.is_done = Decide(rule_, Summarize(point.samples), false) != Verdict::kContinue;
}

bool Rounds::Run(Seconds deadline) { return RunOver(false, deadline); }

bool Rounds::Revisit(Seconds deadline) { return RunOver(true, deadline); }

bool Rounds::RunOver(bool all, Seconds deadline) {
  bool sampled = false;
  for (const std::unique_ptr<Point>& point : points_) {
    if (point->is_done && !all) continue;
    const bool must = point->required && point->samples.empty() && !sampler_.cancelled();
    if (!must && IsOut(deadline)) continue;
    SamplePoint(*point, deadline);
    sampled = true;
  }
  ++num_rounds_;
  return sampled && !IsOut(deadline);
}

bool Rounds::AllDone() const {
  return std::all_of(points_.begin(), points_.end(),
                     [](const auto& point) { return point->is_done; });
}

double Rounds::Drift() const {
  std::vector<std::vector<double>> rounds(num_rounds_);
  for (const std::unique_ptr<Point>& point : points_) {
    if (point->samples.empty()) continue;
    const double median = point->median().value();
    for (std::size_t i = 0; i < point->round_medians.size(); ++i) {
      if (point->round_medians[i] > 0) rounds[i].push_back(point->round_medians[i] / median);
    }
  }
  // A round of few points tells of those points, not of the machine.
  std::erase_if(rounds, [this](const auto& round) { return round.size() * 4 < points_.size(); });
  return DriftOfRounds(rounds);
}

calibration::Measurement ToMeasurement(const Point& point, const StoppingRule& rule) {
  const Summary summary = Summarize(point.samples);
  calibration::Measurement measurement;
  measurement.operation = point.call.operation;
  measurement.work = point.call.work;
  measurement.median = Seconds(TrimmedMean(point.samples));
  measurement.lower_quartile = Seconds(summary.lower_quartile);
  measurement.upper_quartile = Seconds(summary.upper_quartile);
  measurement.num_samples = summary.num_samples;
  measurement.noisy = Decide(rule, summary, true) == Verdict::kNoisy;
  measurement.held_out = point.held_out;
  return measurement;
}

}  // namespace sparseserve::bench
