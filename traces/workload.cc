#include "traces/workload.h"

#include <utility>

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

}  // namespace

std::unique_ptr<RequestStream> OpenWorkload(const Workload& workload) {
  std::unique_ptr<RequestStream> stream = OpenSource(workload);
  if (workload.spread_ties) stream = SpreadTies(std::move(stream));
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
