// The bench matrix: every way to load and save blocks against block size and count, what limits
// them, and what they cost the compute beside them. For people who choose a method; what the
// simulator needs is measured by calibration_plan.h.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/bench/device_values.h"
#include "kernels/bench/timer.h"
#include "kernels/bench/workbench.h"

namespace sparseserve::bench {

struct MatrixOptions {
  double budget_s = 300;
  bool quick = false;  // few sizes, counts and worker caps
  std::function<void(const std::string& what, double done_fraction)> progress;  // may be empty
  std::function<bool()> cancelled;                                              // may be empty
};

// One cell. A block of `block_bytes` is moved whole, or as its K and its V from unrelated places.
struct MatrixRow {
  std::string method;  // "h2d.flash"; "d2h.flash" is the whole staged save, scatter included
  std::int64_t block_bytes = 0;
  std::int64_t num_blocks = 0;
  int max_workers = 0;  // 0: the backend's default
  bool is_split = false;
  double bytes_per_s = 0;            // while the device works
  double submitted_bytes_per_s = 0;  // from the first submission on an idle device
  double share_of_copy = 0;          // bytes_per_s over that of one large copy
  bool noisy = false;

  bool is_load() const { return method.starts_with("h2d"); }
};

// From this number of blocks on, a kernel is faster than copies of the copy engine.
struct Crossover {
  std::int64_t block_bytes = 0;
  std::int64_t num_blocks = 0;  // 0: at none of the measured counts
};

struct MatrixInterference {
  std::string method;
  int max_workers = 0;
  Interference gemm;
  Interference decode;
};

struct MatrixResult {
  Values values;  // ceilings, and "decode.share_of_hbm_read", "topk.256x4096" in seconds
  std::vector<MatrixRow> rows;
  std::vector<Crossover> crossovers;
  std::vector<MatrixInterference> interference;
};

// Throws WrongResult, and what a backend throws.
MatrixResult MeasureMatrix(Workbench& workbench, const MatrixOptions& options);

// Per block size: the smallest count from which h2d.flash or h2d.bulk beats h2d.memcpy and
// h2d.batch at every larger one, by `submitted_bytes_per_s`, because a caller pays for submitting.
std::vector<Crossover> FindCrossovers(const std::vector<MatrixRow>& rows);

void PrintMarkdown(const MatrixResult& result, const kernels::DeviceInfo& device,
                   std::ostream& out);
void WriteMatrix(const MatrixResult& result, const calibration::MeasurementSet& context,
                 std::ostream& out);

}  // namespace sparseserve::bench
