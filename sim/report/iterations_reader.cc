#include "sim/report/iterations_reader.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/quantiles.h"
#include "sim/report/iteration_rows.h"

namespace sparseserve::report {
namespace {

constexpr std::int64_t kMaxIterations = 100'000'000;  // 400 MB of durations
constexpr std::array kPartColumns = {IterationColumn::kCompute, IterationColumn::kAttention,
                                     IterationColumn::kLoadStall, IterationColumn::kSaveStall,
                                     IterationColumn::kHost};
constexpr std::array kPartMeans = {Metric::kMeanCompute, Metric::kMeanAttention,
                                   Metric::kMeanLoadStall, Metric::kMeanSaveStall,
                                   Metric::kMeanHost};

struct Totals {
  std::int64_t num_iterations = 0;
  double decodes = 0;
  double prefills = 0;
  // In nanoseconds, so that equal parts have equal means.
  std::int64_t duration_ns = 0;
  std::array<std::int64_t, kPartColumns.size()> parts_ns{};
  std::vector<float> durations_ms;
  std::vector<float> decode_durations_ms;  // of iterations without a prefill
};

void AddTo(std::int64_t& total, std::int64_t value, const IterationRows& row) {
  if (__builtin_add_overflow(total, value, &total))
    row.Fail("", "the times add up to more than 292 years", "the times of a run");
}

void AddRow(const IterationRows& row, Totals& totals) {
  const std::int64_t prefills = row[IterationColumn::kNumPrefills];
  const std::int64_t duration_ns = row.duration_ns();
  ++totals.num_iterations;
  totals.decodes += static_cast<double>(row[IterationColumn::kNumDecodes]);
  totals.prefills += static_cast<double>(prefills);
  AddTo(totals.duration_ns, duration_ns, row);
  for (std::size_t i = 0; i < totals.parts_ns.size(); ++i)
    AddTo(totals.parts_ns[i], row[kPartColumns[i]], row);
  totals.durations_ms.push_back(static_cast<float>(1e-6 * static_cast<double>(duration_ns)));
  if (prefills == 0) totals.decode_durations_ms.push_back(totals.durations_ms.back());
}

Totals ReadTotals(const std::string& path, std::int64_t num_iterations) {
  Totals totals;
  using enum IterationColumn;
  IterationRows rows(path, {kBegin, kEnd, kNumDecodes, kNumPrefills, kCompute, kAttention,
                            kLoadStall, kSaveStall, kHost});
  while (rows.Next()) {
    AddRow(rows, totals);
    if (totals.num_iterations > num_iterations) break;
  }
  if (totals.num_iterations != num_iterations) {
    const bool more = totals.num_iterations > num_iterations;
    throw InputError(
        {{path, 0, 0},
         "",
         more ? "holds more rows" : fmt::format("holds {} rows", totals.num_iterations),
         fmt::format("the {} iterations of summary.json", num_iterations),
         "the file is torn or of another run"});
  }
  return totals;
}

}  // namespace

void ReadIterations(const std::string& path, std::int64_t num_iterations, double num_replicas,
                    RunFigures& figures) {
  if (num_iterations > kMaxIterations)
    throw InputError({{path, 0, 0}, "", "holds more than 100,000,000 iterations", "", ""});
  Totals totals = ReadTotals(path, num_iterations);
  figures[Metric::kDecodeIterations] = static_cast<double>(totals.decode_durations_ms.size());
  if (!totals.decode_durations_ms.empty())
    figures[Metric::kMedianDecodeIteration] = Quantile(totals.decode_durations_ms, 0.5);
  if (num_iterations == 0) return;
  const auto count = static_cast<double>(num_iterations);
  figures[Metric::kMedianIteration] = Quantile(totals.durations_ms, 0.5);
  figures[Metric::kP95Iteration] = Quantile(totals.durations_ms, 0.95);
  figures[Metric::kMeanDecodes] = totals.decodes / count;
  figures[Metric::kMeanPrefills] = totals.prefills / count;
  BusyTime busy;
  busy.num_iterations = count / num_replicas;
  const auto seconds = [](std::int64_t ns) { return 1e-9 * static_cast<double>(ns); };
  double other_s = seconds(totals.duration_ns);
  for (std::size_t i = 0; i < kPartMeans.size(); ++i) {
    figures[kPartMeans[i]] = 1e-6 * static_cast<double>(totals.parts_ns[i]) / count;
    busy.parts_s[i] = seconds(totals.parts_ns[i]) / num_replicas;
    other_s -= seconds(totals.parts_ns[i]);
  }
  busy.parts_s[static_cast<std::size_t>(BusyPart::kOther)] = other_s / num_replicas;
  figures.busy = busy;
}

}  // namespace sparseserve::report
