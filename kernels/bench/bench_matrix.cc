#include "kernels/bench/bench_matrix.h"

#include <algorithm>
#include <set>
#include <utility>

#include "kernels/bench/operations.h"
#include "kernels/bench/rounds.h"
#include "kernels/bench/statistics.h"

namespace sparseserve::bench {
namespace {

using kernels::LoadMethod;
using kernels::SaveMethod;

constexpr std::int64_t kKiB = 1024;
constexpr Bytes kMostChecked{std::int64_t{256} << 20};
constexpr int kSubmissionSamples = 5;
// Shares of the budget. A quick run samples all of its few cells, whatever they take.
constexpr double kPreparedEnd = 0.4;
constexpr double kCellsEnd = 0.65;
constexpr double kSubmissionEnd = 0.75;

struct Cell {
  MatrixRow row;
  Point* point = nullptr;
};

class Matrix {
 public:
  Matrix(Workbench& workbench, const MatrixOptions& options)
      : workbench_(workbench),
        options_(options),
        begin_(Now()),
        timer_(workbench, {}),
        rounds_(
            {[this](const Call& call) { return timer_.ChooseNumCalls(call); },
             [this](const Call& call, std::int64_t count) { return timer_.Sample(call, count); },
             Now, [this] { return IsCancelled(); }},
            rule_) {}

  MatrixResult Run() {
    MatrixResult result;
    Report("ceilings");
    result.values = MeasureCeilings(workbench_, timer_, Seconds(options_.budget_s / 20),
                                    [](const std::string&) { return true; });
    AddCells();
    while (!rounds_.AllDone() && rounds_.Run(At(kCellsEnd))) {
      Report(std::to_string(cells_.size()) + " cells");
      timer_.FlushCaches();
    }
    for (Cell& cell : cells_) Finish(cell, result);
    result.crossovers = FindCrossovers(result.rows);
    MeasureCompute(result);
    MeasureAllInterference(result);
    return result;
  }

 private:
  bool IsCancelled() const { return options_.cancelled && options_.cancelled(); }
  Seconds At(double share) const { return begin_ + Seconds(options_.budget_s * share); }
  void Report(const std::string& what) const {
    if (!options_.progress) return;
    options_.progress(what, std::min((Now() - begin_).value() / options_.budget_s, 1.0));
  }

  std::vector<std::int64_t> Sizes() const {
    if (options_.quick) return {4 * kKiB, 16 * kKiB, 64 * kKiB};
    return {4 * kKiB, 8 * kKiB, 16 * kKiB, 24 * kKiB, 28 * kKiB, 32 * kKiB, 64 * kKiB};
  }
  std::vector<std::int64_t> Counts() const {
    if (options_.quick) return {16, 256, 2048};
    return {16, 64, 256, 1024, 4096, 16384, 100000};
  }
  std::vector<int> WorkerCaps() const {
    const int most = workbench_.device().num_workers;
    std::vector<int> caps;
    for (const int cap : {1, 2, 4, 8, 12, 16, 32, 64}) {
      if (cap < most && (!options_.quick || cap == 1)) caps.push_back(cap);
    }
    caps.push_back(most);
    return caps;
  }
  std::vector<LoadMethod> Loads() const {
    std::vector<LoadMethod> methods;
    for (const LoadMethod method : {LoadMethod::kCopyPerBlock, LoadMethod::kBatchCopy,
                                    LoadMethod::kGather, LoadMethod::kBulkGather}) {
      if (workbench_.backend().Supports(method)) methods.push_back(method);
    }
    return methods;
  }
  std::vector<SaveMethod> Saves() const {
    std::vector<SaveMethod> methods;
    for (const SaveMethod method :
         {SaveMethod::kCopyPerBlock, SaveMethod::kDirect, SaveMethod::kStaged}) {
      if (workbench_.backend().Supports(method)) methods.push_back(method);
    }
    return methods;
  }

  template <typename Make>
  void AddCell(const Make& make, std::int64_t size, std::int64_t count, int workers, bool split) {
    const std::int64_t pool =
        std::min({workbench_.cache_bytes(), workbench_.input_bytes(), workbench_.host_input_bytes(),
                  workbench_.host_output_bytes()});
    if (size * count > pool || IsCancelled()) return;
    if (!options_.quick && Now() > At(kPreparedEnd)) return;
    Point point{split ? make(2 * count, size / 2, workers) : make(count, size, workers), count,
                size};
    point.required = options_.quick;
    if (point.call.work.bytes <= kMostChecked) point.call.check();
    MatrixRow row{point.call.operation, size, count, workers, split};
    cells_.push_back({std::move(row), &rounds_.Add(std::move(point))});
  }

  void AddCells() {
    const std::int64_t middle = options_.quick ? 256 : 4096;
    const auto add = [&](const auto& make, bool has_workers) {
      for (const std::int64_t size : Sizes()) {
        for (const std::int64_t count : Counts()) AddCell(make, size, count, 0, false);
        AddCell(make, size, middle, 0, true);
      }
      if (!has_workers) return;
      for (const int cap : WorkerCaps()) AddCell(make, 16 * kKiB, middle, cap, false);
    };
    for (const LoadMethod method : Loads()) {
      Report("preparing loads");
      add(
          [this, method](std::int64_t count, std::int64_t size, int workers) {
            return MakeLoad(workbench_, method, count, size, workers);
          },
          method == LoadMethod::kGather || method == LoadMethod::kBulkGather);
    }
    for (const SaveMethod method : Saves()) {
      Report("preparing saves");
      add(
          [this, method](std::int64_t count, std::int64_t size, int workers) {
            return MakeSave(workbench_, method, count, size, workers);
          },
          method == SaveMethod::kDirect);
    }
  }

  void Finish(Cell& cell, MatrixResult& result) {
    if (cell.point->samples.empty()) return;
    const calibration::Measurement measured = ToMeasurement(*cell.point, rule_);
    const auto bytes = static_cast<double>(measured.work.bytes.value());
    std::vector<double> submitted;
    for (int i = 0; i < kSubmissionSamples; ++i) {
      if (i > 0 && Now() > At(kSubmissionEnd)) break;
      submitted.push_back(timer_.SampleWithSubmission(cell.point->call).value());
    }
    MatrixRow& row = cell.row;
    row.bytes_per_s = bytes / measured.median.value();
    row.submitted_bytes_per_s = bytes / Summarize(submitted).median;
    row.share_of_copy =
        row.bytes_per_s / result.values.at(row.is_load() ? "ceilings.h2d" : "ceilings.d2h").value;
    row.noisy = measured.noisy;
    result.rows.push_back(row);
  }

  // Full decode attention against the bandwidth of the device, and top-k at a size that is
  // published for other kernels.
  void MeasureCompute(MatrixResult& result) {
    if (IsCancelled()) return;
    Report("decode and top-k");
    const auto median = [this](const Call& call) {
      call.check();
      const std::int64_t num_calls = timer_.ChooseNumCalls(call);
      std::vector<double> times;
      for (int i = 0; i < 9; ++i) times.push_back(timer_.Sample(call, num_calls).value());
      return Summarize(std::move(times)).median;
    };
    const Call decode = MakeComputeCalls(workbench_, timer_).decode;
    const double rate = static_cast<double>(decode.work.bytes.value()) / median(decode);
    result.values["decode.share_of_hbm_read"] = {
        rate / result.values.at("ceilings.hbm_read").value,
        "full decode attention, " + std::to_string(decode.work.items) + " requests of " +
            ToString(decode.work.item_bytes)};
    result.values["topk.256x4096"] = {median(MakeTopK(workbench_, 256, 4096, 64)),
                                      "seconds to choose 64 of 4096 blocks in each of 256 rows"};
  }

  void MeasureAllInterference(MatrixResult& result) {
    const std::int64_t block = 16 * kKiB;
    const std::int64_t count = options_.quick ? 128 : 1024;
    std::vector<std::pair<Call, int>> transfers;
    for (const LoadMethod method : Loads()) {
      const bool is_kernel = method == LoadMethod::kGather || method == LoadMethod::kBulkGather;
      for (const int cap : is_kernel ? WorkerCaps() : std::vector<int>{0}) {
        transfers.emplace_back(MakeLoad(workbench_, method, count, block, cap), cap);
      }
    }
    for (const SaveMethod method : Saves()) {
      if (method == SaveMethod::kStaged) {
        transfers.emplace_back(MakeStagingCopy(workbench_, count, block), 0);
        continue;
      }
      for (const int cap : method == SaveMethod::kDirect ? WorkerCaps() : std::vector<int>{0}) {
        transfers.emplace_back(MakeSave(workbench_, method, count, block, cap), cap);
      }
    }
    const ComputeCalls compute = MakeComputeCalls(workbench_, timer_);
    const Seconds left = At(1) - Now();
    const Seconds each = std::max(left, Seconds(0)) / (2.0 * static_cast<double>(transfers.size()));
    for (const auto& [transfer, cap] : transfers) {
      if (IsCancelled() || Now() > At(1)) return;
      Report("interference of " + transfer.operation);
      result.interference.push_back(
          {transfer.operation, cap,
           MeasureInterference(workbench_, timer_, compute.gemm, transfer, each),
           MeasureInterference(workbench_, timer_, compute.decode, transfer, each)});
    }
  }

  Workbench& workbench_;
  const MatrixOptions& options_;
  const Seconds begin_;
  const StoppingRule rule_;
  Timer timer_;
  Rounds rounds_;
  std::vector<Cell> cells_;
};

}  // namespace

MatrixResult MeasureMatrix(Workbench& workbench, const MatrixOptions& options) {
  return Matrix(workbench, options).Run();
}

std::vector<Crossover> FindCrossovers(const std::vector<MatrixRow>& rows) {
  struct Best {
    double kernel = 0;
    double copies = 0;
  };
  std::map<std::int64_t, std::map<std::int64_t, Best>> best;  // by size, count
  for (const MatrixRow& row : rows) {
    if (!row.is_load() || row.is_split || row.max_workers != 0) continue;
    const bool is_kernel = row.method == "h2d.flash" || row.method == "h2d.bulk";
    Best& cell = best[row.block_bytes][row.num_blocks];
    double& rate = is_kernel ? cell.kernel : cell.copies;
    rate = std::max(rate, row.submitted_bytes_per_s);
  }
  std::vector<Crossover> crossovers;
  for (const auto& [size, counts] : best) {
    Crossover crossover{size, 0};
    for (auto it = counts.rbegin(); it != counts.rend() && it->second.kernel > it->second.copies;
         ++it) {
      crossover.num_blocks = it->first;
    }
    crossovers.push_back(crossover);
  }
  return crossovers;
}

}  // namespace sparseserve::bench
