#include "kernels/bench/calibration_plan.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <memory>
#include <regex>
#include <utility>
#include <vector>

#include "kernels/bench/cold_read.h"
#include "kernels/bench/device_values.h"
#include "kernels/bench/operations.h"
#include "kernels/bench/refinement.h"
#include "kernels/bench/rounds.h"
#include "kernels/bench/timer.h"
#include "kernels/speed_probe.h"
#include "sim/core/rng.h"

namespace sparseserve::bench {
namespace {

using calibration::MeasurementSet;

// Shares of the budget; the rest is for the points.
constexpr double kRangesShare = 0.15;
constexpr double kValuesShare = 0.25;
constexpr double kRefineEnd = 0.6;  // all points are revisited from then on
constexpr double kPointsEnd = 0.97;
// Below this budget there is time for the corners of each rectangle only.
constexpr double kSmallBudget = 20;
constexpr double kLargePools = 60;  // filling them takes seconds
constexpr int kCoarseLines = 3;
constexpr double kRefineAbove = 0.02;  // a line mispredicted by less is not worth another
constexpr int kLinesPerRefinement = 4;
// Of one operation: beyond it the error is noise, and others need the time more.
constexpr std::size_t kMostFitted = 120;
// One call may take this share of the budget: some hundred points are sampled several times.
constexpr double kCallShare = 1.0 / 3000;
constexpr int kRangeSteps = 6;
// What is still noisy then has to wait for the revisits: they see the machine in other minutes.
constexpr std::int64_t kMostSamplesAtOnce = 24;
// Cores that are shared with other machines change their speed within a millisecond; what runs on
// them for longer meets the mean.
constexpr Seconds kLeastSampleOnCores{1e-3};
constexpr int kProbesPerRound = 10;
constexpr std::pair<const char*, kernels::LoadMethod> kColdReads[] = {
    {"h2d.memcpy", kernels::LoadMethod::kCopyPerBlock},
    {"h2d.flash", kernels::LoadMethod::kGather}};
constexpr std::int64_t kLeastColdReads = 3;
constexpr double kColdShare = 0.02;  // of the time passed; every round, they took a tenth
const std::string kProbe = "latencies.probe";
// Comparing the results of larger calls would take longer than timing them.
constexpr Bytes kMostChecked{std::int64_t{256} << 20};

using Place = std::pair<std::int64_t, std::int64_t>;

struct Operation {
  OperationPlan plan;
  Rectangle rectangle{};
  std::map<Place, Point*> grid{};  // on the rectangle
  std::int64_t num_held_out = 0;
  std::size_t num_extras = 0;
};

Seconds LeastSample(const kernels::Backend& backend) {
  return backend.name() == "cpu" ? kLeastSampleOnCores : TimerOptions().least_sample;
}

std::string Percent(double fraction) { return std::to_string(std::lround(fraction * 100)) + " %"; }

// With one digit behind the point.
std::string Tenths(double value) {
  const long tenths = std::lround(value * 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

std::string Today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[sizeof "2000-01-01"];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

class Calibration {
 public:
  Calibration(kernels::Backend& backend, const MeasureOptions& options)
      : options_(options),
        begin_(Now()),
        filter_(options.filter),
        workbench_(backend, options.model.value_or(DefaultModelShape(backend.name())),
                   options.pools.value_or(ChoosePoolSizes(backend, options.budget_s < kLargePools)),
                   options.ring, options.seed),
        timer_(workbench_, {.warm = options.warm, .least_sample = LeastSample(backend)}),
        rounds_(MakeSampler(), rule_),
        random_(options.seed) {
    for (OperationPlan& plan : PlanOperations(workbench_)) {
      if (IsWanted(plan.name)) operations_.push_back({std::move(plan)});
    }
  }

  MeasurementSet Run() {
    MeasurementSet set = DescribeDevice(workbench_.backend(), options_.commit);
    FitRanges();
    set.values = MeasureValues();
    for (Operation& operation : operations_) AddCoarse(operation);
    MakeColdReads();
    SampleAndRefine();
    for (const auto& point : rounds_.points()) {
      if (IsComplete(*point)) set.points.push_back(ToMeasurement(*point, rule_));
    }
    AddMemoryRates(set);
    AddSpeed(set);
    AddColdReads(set);
    set.provenance.clocks += "; the slowest round of samples took " + Percent(rounds_.Drift()) +
                             " longer than the fastest";
    return set;
  }

 private:
  bool IsSmall() const { return options_.budget_s < kSmallBudget; }
  bool IsWanted(const std::string& name) const {
    return options_.filter.empty() || std::regex_search(name, filter_);
  }
  bool IsCancelled() const { return options_.cancelled && options_.cancelled(); }
  Seconds At(double share) const { return begin_ + Seconds(options_.budget_s * share); }
  void Report(const std::string& what) const {
    if (!options_.progress) return;
    options_.progress(what, std::min((Now() - begin_).value() / options_.budget_s, 1.0));
  }

  Sampler MakeSampler() {
    return {[this](const Call& call) { return timer_.ChooseNumCalls(call); },
            [this](const Call& call, std::int64_t count) { return timer_.Sample(call, count); },
            Now, [this] { return IsCancelled(); }};
  }

  // Walks from the smallest corner of each range towards the largest until a call takes too long or
  // its bytes leave the pools.
  void FitRanges() {
    const double most_s = std::clamp(options_.budget_s * kCallShare, 0.5e-3, 0.1);
    const Seconds each(options_.budget_s * kRangesShare / static_cast<double>(operations_.size()));
    for (Operation& operation : operations_) {
      if (IsCancelled()) return;
      OperationPlan& plan = operation.plan;
      Report("sizes of " + plan.name);
      const Seconds deadline = Now() + each;
      std::int64_t x = plan.x.least;
      std::int64_t y = plan.y.least;
      for (int step = 0; step <= kRangeSteps; ++step) {
        const std::int64_t next_x = Step(plan.x, step);
        const std::int64_t next_y = plan.y.is_refinable() ? Step(plan.y, step) : plan.y.most;
        const Call call = plan.prepare(next_x, next_y);
        if (step > 0 && call.work.bytes > workbench_.smallest_pool()) break;
        if (step == 0) call.check();
        const double time = timer_.Sample(call, 1).value();
        x = next_x;
        y = next_y;
        if (step > 0 && (time > most_s || Now() > deadline)) break;
      }
      plan.x.most = x;
      const std::int64_t last_line = plan.y.lines.empty() ? 0 : plan.y.lines.back();
      if (plan.y.is_refinable()) plan.y.most = std::max(y, last_line);
    }
  }
  // The place a few steps up a range, in equal factors.
  static std::int64_t Step(const Axis& axis, int step) {
    return step == 0 ? axis.least : axis.Draw(static_cast<double>(step) / kRangeSteps);
  }

  Values MeasureValues() {
    const auto wanted = [this](const std::string& name) {
      if (IsCancelled() || !IsWanted(name)) return false;
      Report(name);
      return true;
    };
    const Seconds budget(options_.budget_s * kValuesShare / 2);
    Values values = MeasureCeilings(workbench_, timer_, budget, wanted);
    values.merge(MeasureSlowdowns(workbench_, timer_, budget, wanted));
    return values;
  }

  void AddCoarse(Operation& operation) {
    const int lines = IsSmall() ? 2 : kCoarseLines;
    operation.rectangle = {operation.plan.x.Spread(lines), operation.plan.y.Spread(lines)};
    for (const std::int64_t x : operation.rectangle.x) {
      for (const std::int64_t y : operation.rectangle.y) AddToGrid(operation, x, y, true);
    }
    AddHeldOut(operation);
  }

  void AddToGrid(Operation& operation, std::int64_t x, std::int64_t y, bool required) {
    if (IsCancelled()) return;
    Point point{operation.plan.prepare(x, y), x, y};
    point.required = required;
    operation.grid[{x, y}] = &AddChecked(std::move(point));
  }

  Point& AddChecked(Point point) {
    const bool has_time = Now() < At(kPointsEnd) && !IsSmall();
    if (has_time && point.call.work.bytes <= kMostChecked) point.call.check();
    return rounds_.Add(std::move(point));
  }

  // Keeps a fifth of the operation's points held out: log-uniform over its ranges, and the model's
  // own shapes in turn.
  void AddHeldOut(Operation& operation) {
    OperationPlan& plan = operation.plan;
    const auto wanted = static_cast<std::int64_t>(operation.grid.size() + 3) / 4;
    for (int attempt = 0; operation.num_held_out < wanted && attempt < 100; ++attempt) {
      const std::int64_t x = plan.x.Draw(random_.Uniform());
      const std::int64_t y = plan.y.Draw(random_.Uniform());
      if (IsCancelled()) return;
      const bool is_extra = operation.num_held_out % 2 == 0 && !plan.extras.empty();
      Point point{is_extra ? plan.extras[operation.num_extras++ % plan.extras.size()](x)
                           : plan.prepare(x, y),
                  x, y, true};
      if (IsKnown(point.call)) continue;
      // Every operation is judged by one point at least.
      point.required = operation.num_held_out == 0;
      AddChecked(std::move(point));
      ++operation.num_held_out;
    }
  }

  bool IsKnown(const Call& call) const {
    return std::any_of(
        rounds_.points().begin(), rounds_.points().end(), [&call](const auto& point) {
          return point->call.operation == call.operation && point->call.work == call.work;
        });
  }

  void SampleAndRefine() {
    timer_.FlushCaches();
    bool can_refine = true;
    do {  // once even without time: some points are required
      Report(std::to_string(rounds_.points().size()) + " points");
      can_refine &= Now() < At(kRefineEnd);
      const bool revisits = !can_refine && IsSampled();
      revisits ? rounds_.Revisit(At(kPointsEnd)) : rounds_.Run(At(kPointsEnd));
      SampleSpeed();
      SampleColdReads();
      // On a noisy machine medians get precise late or never; lines are worth more by then.
      if (can_refine && IsSampled()) can_refine = Refine();
      timer_.FlushCaches();
    } while (Now() < At(kPointsEnd) && !IsCancelled());
  }

  // The machine's speed while the points are sampled.
  void SampleSpeed() {
    if (!IsWanted(kProbe)) return;
    if (!probe_) probe_.emplace(workbench_.backend());
    for (int i = 0; i < kProbesPerRound; ++i) {
      timer_.FlushCaches();  // as the iterations of a model leave them
      speed_.Add(probe_->Sample());
    }
  }

  void AddSpeed(MeasurementSet& set) const {
    if (!probe_) return;
    set.values[kProbe] = {speed_.mean().value(), probe_->Describe() + ", mean of " +
                                                     std::to_string(speed_.times.size()) +
                                                     " samples beside the points, standard error " +
                                                     Tenths(100 * speed_.standard_error()) + " %"};
  }

  // The loads that the cost model knows, while the points are sampled.
  void MakeColdReads() {
    for (const auto& [name, method] : kColdReads) {
      const std::string key = std::string("slowdowns.cold.") + name;
      if (IsCancelled() || !workbench_.backend().Supports(method) || !IsWanted(key)) continue;
      cold_reads_.emplace_back(key, std::make_unique<ColdRead>(workbench_, method));
    }
  }

  void SampleColdReads() {
    const Seconds begin = Now();
    if (cold_time_ > (begin - begin_) * kColdShare) return;
    for (const auto& [key, read] : cold_reads_) read->Sample();
    cold_time_ += Now() - begin;
  }

  void AddColdReads(MeasurementSet& set) {
    if (IsCancelled()) return;
    for (const auto& [key, read] : cold_reads_) {
      while (read->num_samples() < kLeastColdReads) read->Sample();
      set.values[key] = {std::max(read->slowdown(), 1.0),
                         "decode attention over " + std::to_string(read->num_blocks()) +
                             " blocks, mean of " + std::to_string(read->num_samples()) +
                             " beside the points: " + ToString(read->cold()) + " from memory, " +
                             ToString(read->loaded()) + " right after the load"};
    }
  }

  // Whether every point has the samples that a verdict needs.
  bool IsSampled() const {
    return std::all_of(rounds_.points().begin(), rounds_.points().end(), [this](const auto& point) {
      return point->is_done ||
             static_cast<std::int64_t>(point->samples.size()) >= rule_.min_samples;
    });
  }

  // Adds a few lines where interpolation is worst; false when it is good everywhere.
  bool Refine() {
    bool refined = false;
    std::vector<std::pair<double, Operation*>> by_error;
    for (Operation& operation : operations_) {
      if (operation.grid.size() >= kMostFitted) continue;
      if (const std::optional<Split> split = FindSplit(operation)) {
        by_error.emplace_back(split->error, &operation);
      }
    }
    std::stable_sort(by_error.begin(), by_error.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    if (by_error.size() > kLinesPerRefinement) by_error.resize(kLinesPerRefinement);
    for (const auto& [error, operation] : by_error) {
      AddLine(*operation, *FindSplit(*operation));
      AddHeldOut(*operation);
      refined = true;
    }
    return refined;
  }

  std::optional<Split> FindSplit(const Operation& operation) const {
    return ChooseSplit(
        operation.rectangle, operation.plan.x, operation.plan.y,
        [&operation](std::int64_t x, std::int64_t y) {
          return operation.grid.at({x, y})->median().value();
        },
        kRefineAbove);
  }

  void AddLine(Operation& operation, const Split& split) {
    Rectangle& rectangle = operation.rectangle;
    std::vector<std::int64_t>& lines = split.in_x ? rectangle.x : rectangle.y;
    lines.insert(std::lower_bound(lines.begin(), lines.end(), split.value), split.value);
    for (const std::int64_t other : split.in_x ? rectangle.y : rectangle.x) {
      if (split.in_x) {
        AddToGrid(operation, split.value, other, false);
      } else {
        AddToGrid(operation, other, split.value, false);
      }
    }
  }

  // Whether the point was sampled, and with it all others of its lines that are no coarse ones.
  bool IsComplete(const Point& point) const {
    if (point.samples.empty()) return false;
    if (point.held_out) return true;
    for (const Operation& operation : operations_) {
      const auto found = operation.grid.find({point.x, point.y});
      if (found == operation.grid.end() || found->second != &point) continue;
      return IsLineComplete(operation, point.x, true) && IsLineComplete(operation, point.y, false);
    }
    return false;
  }
  static bool IsLineComplete(const Operation& operation, std::int64_t value, bool in_x) {
    const Rectangle& rectangle = operation.rectangle;
    bool is_coarse = false;
    bool is_whole = true;
    for (const std::int64_t other : in_x ? rectangle.y : rectangle.x) {
      const auto found = operation.grid.find(in_x ? Place{value, other} : Place{other, value});
      if (found == operation.grid.end()) return false;
      is_coarse |= found->second->required;
      is_whole &= !found->second->samples.empty();
    }
    return is_coarse || is_whole;
  }

  // The point of `operation` that moved its bytes fastest.
  static const calibration::Measurement* FindFastest(const MeasurementSet& set,
                                                     std::string_view operation) {
    const calibration::Measurement* fastest = nullptr;
    for (const calibration::Measurement& point : set.points) {
      if (point.operation != operation) continue;
      if (fastest == nullptr || RateOf(point) > RateOf(*fastest)) fastest = &point;
    }
    return fastest;
  }
  static double RateOf(const calibration::Measurement& point) {
    return static_cast<double>(point.work.bytes.value()) / point.median.value();
  }

  void AddMemoryRates(MeasurementSet& set) const {
    const auto describe = [](const calibration::Measurement& point, const std::string& what) {
      return "the fastest " + what + ", " + std::to_string(point.work.items) + " items of " +
             ToString(point.work.item_bytes);
    };
    const auto ceiling = set.values.find("ceilings.hbm_read");
    if (ceiling == set.values.end()) return;
    const calibration::Measurement* read = FindFastest(set, "attention.decode_full");
    if (read != nullptr && RateOf(*read) > ceiling->second.value) {
      ceiling->second = {RateOf(*read), describe(*read, "full decode attention")};
    }
    const calibration::Measurement* stream = FindFastest(set, "elementwise");
    if (stream == nullptr || !IsWanted("efficiencies.elementwise.memory")) return;
    set.values["efficiencies.elementwise.memory"] = {
        RateOf(*stream) / ceiling->second.value,
        describe(*stream, "elementwise") + ", over hbm_read"};
  }

  const MeasureOptions& options_;
  const Seconds begin_;
  const std::regex filter_;
  const StoppingRule rule_{.max_samples = kMostSamplesAtOnce};
  Workbench workbench_;
  Timer timer_;
  Rounds rounds_;
  CounterRng random_;
  std::vector<Operation> operations_;
  std::optional<kernels::SpeedProbe> probe_;
  kernels::SpeedSamples speed_;
  std::vector<std::pair<std::string, std::unique_ptr<ColdRead>>> cold_reads_;  // by key
  Seconds cold_time_{0};  // spent on sampling them
};

}  // namespace

MeasurementSet DescribeDevice(const kernels::Backend& backend, const std::string& commit) {
  const kernels::DeviceInfo device = backend.Describe();
  MeasurementSet set;
  set.backend = backend.name();
  set.provenance = {device.name, device.driver, device.runtime, device.clocks, Today(), commit};
  return set;
}

MeasurementSet MeasureDevice(kernels::Backend& backend, const MeasureOptions& options) {
  return Calibration(backend, options).Run();
}

}  // namespace sparseserve::bench
