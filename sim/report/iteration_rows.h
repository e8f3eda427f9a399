// iterations.csv row by row, in one pass and constant memory. Private to sim/report.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "traces/csv.h"

namespace sparseserve::report {

// clang-format off
enum class IterationColumn : std::uint8_t {
  kBegin, kEnd, kNumDecodes, kNumPrefills, kNumWaiting, kCompute, kAttention, kLoadStall,
  kSaveStall, kHost, kBlockLoads, kBlockTouches, kH2dBytes, kD2hBytes, kHbmUsed, kDramUsed,
  kH2dBusy,
};
// clang-format on
inline constexpr std::size_t kNumIterationColumns =
    static_cast<std::size_t>(IterationColumn::kH2dBusy) + 1;

class IterationRows {
 public:
  // Reads the header. Throws InputError when the file or one of `columns` is missing.
  IterationRows(const std::string& path, std::initializer_list<IterationColumn> columns);

  // Reads the next row; false at the end. Throws InputError for a row of another length.
  bool Next();

  // A value of the row, times in nanoseconds. Throws InputError naming line and column for what is
  // negative or no number. REQUIRES: the column was asked for.
  std::int64_t operator[](IterationColumn column) const;
  // end - begin; refuses a row that ends before it begins.
  std::int64_t duration_ns() const;

  [[noreturn]] void Fail(std::string column, std::string what, std::string expected) const;

 private:
  traces::CsvReader csv_;
  std::array<std::size_t, kNumIterationColumns> positions_;
};

}  // namespace sparseserve::report
