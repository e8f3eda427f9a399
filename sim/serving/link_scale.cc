#include "sim/serving/link_scale.h"

#include <algorithm>

#include "sim/core/check.h"

namespace sparseserve::serving {
namespace {

void ScaleGrid(calibration::Grid& grid, BytesPerSecond rate, double scale) {
  const double saved_per_byte = (1 - 1 / scale) / rate.value();
  const std::size_t columns = grid.item_bytes.size();
  for (std::size_t i = 0; i < grid.times_s.size(); ++i) {
    const std::size_t row = i / columns;
    const std::size_t column = i % columns;
    const double bytes = grid.items[row] * grid.item_bytes[column];
    double& time = grid.times_s[i];
    const double fewest = std::min(time, time / scale);
    const double most = std::max(time, time / scale);
    time = std::clamp(time - bytes * saved_per_byte, fewest, most);
    // More work never takes less time, also where the grid was faster than the rate.
    if (row > 0) time = std::max(time, grid.times_s[i - columns]);
    if (column > 0) time = std::max(time, grid.times_s[i - 1]);
  }
}

}  // namespace

hardware::Machine ScaleLink(const hardware::Machine& machine, double scale) {
  SPARSESERVE_CHECK(scale > 0, "a link without bandwidth");
  hardware::Machine scaled = machine;
  for (BytesPerSecond* rate : {&scaled.link.nominal_bandwidth, &scaled.link.h2d_bandwidth,
                               &scaled.link.d2h_bandwidth, &scaled.link.duplex_bandwidth}) {
    *rate = *rate * scale;
  }
  return scaled;
}

calibration::Record ScaleLink(const calibration::Record& record, const hardware::Machine& machine,
                              double scale) {
  SPARSESERVE_CHECK(scale > 0, "a link without bandwidth");
  calibration::Record scaled = record;
  for (auto& [name, curve] : scaled.operations) {
    const bool loads = name.starts_with("h2d.");
    if (!loads && !name.starts_with("d2h.")) continue;
    curve.bandwidth = curve.bandwidth * scale;
    if (curve.grid.empty()) continue;
    ScaleGrid(curve.grid, loads ? machine.link.h2d_bandwidth : machine.link.d2h_bandwidth, scale);
  }
  return scaled;
}

}  // namespace sparseserve::serving
