#include "traces/workload.h"

#include <algorithm>
#include <utility>

#include "sim/core/rng.h"
#include "traces/transform.h"

namespace sparseserve::traces {
namespace {

std::unique_ptr<RequestStream> OpenSource(const Workload& workload) {
  switch (workload.source) {
    case WorkloadSource::kLongBench:
      return GenerateLongBench(workload.longbench);
    case WorkloadSource::kSynthetic:
      return GenerateSynthetic(workload.synthetic);
    case WorkloadSource::kTrace:
      break;
  }
  return OpenTrace(workload.path, workload.read);
}

// Where the window begins: every place that leaves room for it is equally likely.
std::int64_t DrawWindow(const Workload& workload) {
  std::int64_t num_rows = 0;
  for (const auto rows = OpenSource(workload); rows->Next();) ++num_rows;
  RandomStream random(workload.seed, "window");
  return random.UniformInt(0, std::max<std::int64_t>(0, num_rows - workload.num_requests));
}

}  // namespace

std::unique_ptr<RequestStream> OpenWorkload(const Workload& workload) {
  std::unique_ptr<RequestStream> stream = OpenSource(workload);
  if (workload.spread_ties) stream = SpreadTies(std::move(stream));
  if (workload.random_window && workload.num_requests > 0)
    stream = Skip(std::move(stream), DrawWindow(workload));
  if (workload.source == WorkloadSource::kTrace) {
    stream = RedrawArrivals(std::move(stream), workload.arrivals, workload.seed);
  }
  if (workload.speed != 1) stream = ScaleRate(std::move(stream), workload.speed);
  if (workload.max_prompt > Tokens(0) || workload.max_output > Tokens(0)) {
    stream = std::make_unique<LengthCapStream>(
        std::move(stream),
        LengthCaps{workload.max_prompt, workload.max_output, workload.drop_longer});
  }
  if (workload.num_requests > 0) stream = Take(std::move(stream), workload.num_requests);
  return stream;
}

}  // namespace sparseserve::traces
