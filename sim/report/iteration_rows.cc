#include "sim/report/iteration_rows.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

#include "sim/core/check.h"
#include "sim/core/error.h"
#include "traces/fields.h"

namespace sparseserve::report {
namespace {

struct ColumnText {
  std::string_view name;
  int decimals;  // 9: seconds, read as nanoseconds
};
constexpr std::array<ColumnText, kNumIterationColumns> kColumns = {{
    {"begin_s", 9},
    {"end_s", 9},
    {"num_decodes", 0},
    {"num_prefills", 0},
    {"num_waiting", 0},
    {"compute_s", 9},
    {"attention_s", 9},
    {"load_stall_s", 9},
    {"save_stall_s", 9},
    {"host_s", 9},
    {"block_loads", 0},
    {"block_touches", 0},
    {"h2d_bytes", 0},
    {"d2h_bytes", 0},
    {"hbm_used_bytes", 0},
    {"dram_used_bytes", 0},
    {"h2d_busy_s", 9},
}};
constexpr std::size_t kAbsent = SIZE_MAX;

}  // namespace

IterationRows::IterationRows(const std::string& path,
                             std::initializer_list<IterationColumn> columns)
    : csv_(traces::LineReader(path)) {
  positions_.fill(kAbsent);
  for (const IterationColumn column : columns) {
    const auto index = static_cast<std::size_t>(column);
    positions_[index] = csv_.Require(kColumns[index].name);
  }
}

bool IterationRows::Next() {
  if (!csv_.Next()) return false;
  const std::size_t num_fields = csv_.fields().size();
  if (num_fields != csv_.header().size())
    Fail("", fmt::format("{} fields", num_fields), fmt::format("{}", csv_.header().size()));
  return true;
}

std::int64_t IterationRows::operator[](IterationColumn column) const {
  const auto index = static_cast<std::size_t>(column);
  SPARSESERVE_CHECK(positions_[index] != kAbsent, "a column that was not asked for");
  const std::string_view text = csv_.fields()[positions_[index]];
  const int decimals = kColumns[index].decimals;
  const std::optional<std::int64_t> value =
      decimals == 0 ? traces::ParseInteger(text) : traces::ParseScaled(text, decimals);
  if (!value || *value < 0) {
    Fail(std::string(kColumns[index].name), traces::Quote(text) + " is out of range or no number",
         decimals == 0 ? "an integer, 0 or more" : "seconds, 0 or more");
  }
  return *value;
}

std::int64_t IterationRows::duration_ns() const {
  const std::int64_t duration = (*this)[IterationColumn::kEnd] - (*this)[IterationColumn::kBegin];
  if (duration < 0) Fail("end_s", "before begin_s", "begin_s or later");
  return duration;
}

void IterationRows::Fail(std::string column, std::string what, std::string expected) const {
  throw InputError({csv_.where(), std::move(column), std::move(what), std::move(expected), ""});
}

}  // namespace sparseserve::report
