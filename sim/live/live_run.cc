#include "sim/live/live_run.h"

#include <chrono>
#include <optional>
#include <thread>

#include "sim/core/error.h"

namespace sparseserve::live {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSamplesAround = 30;  // of the speed, before and after the run

// Holds events back until the wall clock has come to them. Iterations run in the wall time that the
// engine's clock counts for them, so the two drift apart only while the engine itself works; what
// it is late is caught up by waiting less.
class Pacer {
 public:
  explicit Pacer(bool real_time) : real_time_(real_time) {}

  void Wait(SimTime at) {
    const auto now = Clock::now();
    const Seconds due = at - SimTime();
    if (!started_ || !real_time_) {
      started_ = true;
      origin_ = now - std::chrono::duration_cast<Clock::duration>(
                          std::chrono::duration<double>(due.value()));
      return;
    }
    const auto when = origin_ + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(due.value()));
    if (when > now) std::this_thread::sleep_until(when);
  }

 private:
  const bool real_time_;
  bool started_ = false;
  Clock::time_point origin_;
};

void CheckConfig(const serving::SystemConfig& config) {
  if (config.replicas == 1 && config.tensor_parallel == 1) return;
  throw InputError({.where = {},
                    .key = config.replicas != 1 ? "replicas" : "tensor_parallel",
                    .what = "a live run has one GPU",
                    .expected = "1",
                    .hint = ""});
}

}  // namespace

LiveResult RunLive(const serving::SystemConfig& config, kernels::Backend& backend,
                   const LiveConfig& live, traces::RequestStream& requests,
                   const serving::WorkloadBounds& bounds, const metrics::ServiceLevel& slo,
                   metrics::Collector& collector, serving::RunOptions options) {
  CheckConfig(config);
  LiveResult result;
  std::optional<kernels::SpeedProbe> probe;
  if (live.probe_speed) probe.emplace(backend);
  const auto sample = [&](kernels::SpeedSamples& samples) {
    for (int i = 0; probe && i < kSamplesAround; ++i) samples.Add(probe->Sample());
  };
  sample(result.left.speed.before);
  // The replica, and with it the executor, ends with RunSimulation: the tokens are passed out as
  // they are produced.
  options.make_executor = [&](const serving::ReplicaView& view) {
    const LiveExecutorConfig executor{
        .geometry = view.geometry,
        .selection = config.selection,
        .load = config.choice.load,
        .save = config.choice.save,
        .layer_segmented = config.choice.prefill == scheduler::PrefillMode::kLayerSegmented,
        .max_batch_tokens = config.scheduling.max_batch_tokens,
        .max_requests = config.scheduling.max_requests,
        .longest_prompt = bounds.longest_prompt,
        .longest_output = bounds.longest_output,
        .seed = config.seed};
    return std::make_unique<LiveExecutor>(executor, backend, config.model, view.paged, view.offload,
                                          view.replay, view.record, view.timeline,
                                          probe ? &*probe : nullptr, result.left);
  };
  Pacer pacer(live.real_time);
  options.pace = [&](SimTime at) { pacer.Wait(at); };
  result.run = serving::RunSimulation(config, requests, slo, collector, options);
  sample(result.left.speed.after);
  return result;
}

}  // namespace sparseserve::live
