#include "sim/report/iterations_reader.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/quantiles.h"
#include "traces/csv.h"
#include "traces/fields.h"

namespace sparseserve::report {
namespace {

constexpr std::int64_t kMaxIterations = 100'000'000;  // 400 MB of durations
constexpr std::array<std::string_view, 5> kPartColumns = {"compute_s", "attention_s",
                                                          "load_stall_s", "save_stall_s", "host_s"};
constexpr std::array kPartMeans = {Metric::kMeanCompute, Metric::kMeanAttention,
                                   Metric::kMeanLoadStall, Metric::kMeanSaveStall,
                                   Metric::kMeanHost};

// The columns that are read, as whole numbers: times in nanoseconds.
class Rows {
 public:
  explicit Rows(const std::string& path) : csv_(traces::LineReader(path)) {
    begin_ = csv_.Require("begin_s");
    end_ = csv_.Require("end_s");
    decodes_ = csv_.Require("num_decodes");
    prefills_ = csv_.Require("num_prefills");
    for (std::size_t i = 0; i < kPartColumns.size(); ++i) parts_[i] = csv_.Require(kPartColumns[i]);
  }

  bool Next() {
    if (!csv_.Next()) return false;
    const std::size_t num_fields = csv_.fields().size();
    if (num_fields != csv_.header().size())
      Fail("", fmt::format("{} fields", num_fields), fmt::format("{}", csv_.header().size()));
    return true;
  }

  std::int64_t num_decodes() const { return Read(decodes_, 0); }
  std::int64_t num_prefills() const { return Read(prefills_, 0); }
  std::int64_t part_ns(std::size_t index) const { return Read(parts_[index], 9); }
  std::int64_t duration_ns() const {
    const std::int64_t duration = Read(end_, 9) - Read(begin_, 9);
    if (duration < 0) Fail("end_s", "before begin_s", "begin_s or later");
    return duration;
  }
  void AddTo(std::int64_t& total, std::int64_t value) const {
    if (__builtin_add_overflow(total, value, &total))
      Fail("", "the times add up to more than 292 years", "the times of a run");
  }

 private:
  // 0 or more, times 10^decimals.
  std::int64_t Read(std::size_t column, int decimals) const {
    const std::string_view text = csv_.fields()[column];
    const std::optional<std::int64_t> value =
        decimals == 0 ? traces::ParseInteger(text) : traces::ParseScaled(text, decimals);
    if (!value || *value < 0) {
      Fail(csv_.header()[column], traces::Quote(text) + " is out of range or no number",
           decimals == 0 ? "an integer, 0 or more" : "seconds, 0 or more");
    }
    return *value;
  }
  [[noreturn]] void Fail(std::string column, std::string what, std::string expected) const {
    throw InputError({csv_.where(), std::move(column), std::move(what), std::move(expected), ""});
  }

  traces::CsvReader csv_;
  std::size_t begin_, end_, decodes_, prefills_;
  std::array<std::size_t, kPartColumns.size()> parts_;
};

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

void AddRow(const Rows& row, Totals& totals) {
  const std::int64_t prefills = row.num_prefills();
  const std::int64_t duration_ns = row.duration_ns();
  ++totals.num_iterations;
  totals.decodes += static_cast<double>(row.num_decodes());
  totals.prefills += static_cast<double>(prefills);
  row.AddTo(totals.duration_ns, duration_ns);
  for (std::size_t i = 0; i < totals.parts_ns.size(); ++i)
    row.AddTo(totals.parts_ns[i], row.part_ns(i));
  totals.durations_ms.push_back(static_cast<float>(1e-6 * static_cast<double>(duration_ns)));
  if (prefills == 0) totals.decode_durations_ms.push_back(totals.durations_ms.back());
}

Totals ReadTotals(const std::string& path, std::int64_t num_iterations) {
  Totals totals;
  for (Rows rows(path); rows.Next();) {
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
