#include "sim/report/calibration_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace sparseserve::report {
namespace {

using calibration::Curve;

constexpr std::string_view kRow = "{:<24}  {:<9}  {:>6}  {:>8}  {:>6}  {:>6}  {}\n";

std::string FormOf(const Curve& curve) {
  if (curve.source.kind != calibration::Kind::kMeasured)
    return std::string(calibration::KindName(curve.source.kind));
  if (curve.grid.empty()) return "linear";
  return fmt::format("grid {}x{}", curve.grid.items.size(), curve.grid.item_bytes.size());
}

std::string PercentText(double fraction) {
  const double percent = 100 * fraction;
  return fmt::format("{:.{}f}", percent, percent < 9.95 ? 1 : 0);
}

std::string BytesText(double bytes) { return ToString(Bytes(static_cast<std::int64_t>(bytes))); }

std::string RangeText(const Curve& curve) {
  std::string text;
  const auto add = [&](const calibration::Range& range, auto&& number) {
    if (!std::isfinite(range.max)) return;
    text += text.empty() ? "" : " of ";
    text += number(range.min);
    if (range.max > range.min) text += " to " + number(range.max);
  };
  add(curve.valid_items, [](double x) { return fmt::format("{:.0f}", x); });
  add(curve.valid_item_bytes, BytesText);
  return text.empty() ? "any" : text;
}

}  // namespace

std::string CalibrationTable(const calibration::Record& record) {
  std::string text =
      fmt::format(fmt::runtime(kRow), "", "", "points", "held out", "median", "p95", "range:");
  text += fmt::format(fmt::runtime(kRow), "operation", "form", "fitted", "points", "err %", "err %",
                      "items of item bytes");
  text += std::string(100, '-') + "\n";
  std::string warnings, missing;
  for (const std::string_view name : calibration::kOperationNames) {
    const auto found = record.operations.find(name);
    if (found == record.operations.end()) {
      missing += (missing.empty() ? "" : ", ") + std::string(name);
      continue;
    }
    const Curve& curve = found->second;
    const auto fitted = std::count_if(
        record.measurements.begin(), record.measurements.end(),
        [&](const auto& point) { return point.operation == name && !point.held_out; });
    const auto& error = curve.holdout_error;
    text += fmt::format(fmt::runtime(kRow), name, FormOf(curve), fitted, error ? error->points : 0,
                        error ? PercentText(error->median) : "-",
                        error ? PercentText(error->p95) : "-", RangeText(curve));
    if (error && error->median > kTolerableError) {
      warnings += fmt::format(
          "warning: {} is {} % off at the median of the points held out; measure longer "
          "(--budget), or on a machine with nothing else to do\n",
          name, PercentText(error->median));
    }
  }
  text += "\n" + warnings;
  if (!missing.empty()) text += fmt::format("not measured: {}\n", missing);
  return text;
}

}  // namespace sparseserve::report
