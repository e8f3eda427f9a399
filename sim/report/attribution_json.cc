#include "sim/report/attribution_json.h"

#include <cmath>

#include "sim/core/check.h"

namespace sparseserve::report {
namespace {

using Json = nlohmann::ordered_json;

double Finite(double value) {
  SPARSESERVE_CHECK(std::isfinite(value), "a figure of the breakdowns is not a number");
  return value;
}

Json PartsJson(const metrics::Breakdown& breakdown, bool with_queue) {
  Json parts = Json::object();
  for (std::size_t i = 0; i < metrics::kNumParts; ++i) {
    if (!with_queue && static_cast<metrics::Part>(i) == metrics::Part::kQueue) continue;
    parts[std::string(metrics::kPartNames[i])] = Finite(breakdown.parts_ms[i]);
  }
  return parts;
}

Json SlowestJson(const metrics::Breakdown& breakdown, bool with_queue) {
  return {{"samples", breakdown.samples},
          {"from_ms", Finite(breakdown.from_ms)},
          {"mean_ms", Finite(breakdown.mean_ms)},
          {"breakdown_ms", PartsJson(breakdown, with_queue)}};
}

template <std::size_t kSize>
Json BoundsJson(const std::array<metrics::BoundShare, kSize>& bounds,
                const std::array<std::string_view, kSize>& names) {
  Json json = Json::object();
  for (std::size_t i = 0; i < kSize; ++i) {
    json[std::string(names[i])] = {{"iterations", bounds[i].iterations},
                                   {"time_s", static_cast<double>(bounds[i].ns) * 1e-9}};
  }
  return json;
}

}  // namespace

void AddAttribution(const Explanation& e, Json& json) {
  json["ttft_breakdown_ms"] = PartsJson(e.ttft, true);
  json["itl_breakdown_ms"] = PartsJson(e.itl, false);
  json["ttft_slowest_1pct"] = SlowestJson(e.slowest_ttft, true);
  json["itl_slowest_1pct"] = SlowestJson(e.slowest_itl, false);
  json["iteration_bound"] = BoundsJson(e.iteration_bounds, metrics::kIterationBoundNames);
  json["batch_bound"] = BoundsJson(e.batch_bounds, metrics::kBatchBoundNames);
  json["block_reloads"] = e.block_reloads;
}

}  // namespace sparseserve::report
