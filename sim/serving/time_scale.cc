#include "sim/serving/time_scale.h"

namespace sparseserve::serving {

hardware::Machine StretchTimes(hardware::Machine machine, double factor) {
  if (factor == 1) return machine;
  hardware::Gpu& gpu = machine.gpu;
  hardware::HostLink& link = machine.link;
  hardware::Host& host = machine.host;
  for (BytesPerSecond* rate : {&gpu.hbm_bandwidth, &gpu.gpu_link_bandwidth, &link.nominal_bandwidth,
                               &link.h2d_bandwidth, &link.d2h_bandwidth, &link.duplex_bandwidth,
                               &host.dram_bandwidth, &host.dram_reached_bandwidth}) {
    *rate = *rate / factor;
  }
  gpu.bf16_flops = gpu.bf16_flops / factor;
  gpu.fp8_flops = gpu.fp8_flops / factor;
  gpu.gpu_link_latency = gpu.gpu_link_latency * factor;
  return machine;
}

calibration::Record StretchTimes(calibration::Record record, double factor) {
  if (factor == 1) return record;
  for (auto& [name, curve] : record.operations) {
    curve.launch = curve.launch * factor;
    curve.per_item = curve.per_item * factor;
    curve.bandwidth = curve.bandwidth / factor;
    curve.flop_rate = curve.flop_rate / factor;
    for (double& time : curve.grid.times_s) time *= factor;
  }
  for (auto& [name, latency] : record.latencies) latency.value *= factor;
  for (const calibration::CeilingName& ceiling : calibration::kCeilingNames) {
    const bool is_rate = ceiling.unit == calibration::CeilingUnit::kBytesPerSecond ||
                         ceiling.unit == calibration::CeilingUnit::kFlopsPerSecond;
    const auto found = record.ceilings.find(ceiling.name);
    if (is_rate && found != record.ceilings.end()) found->second.value /= factor;
  }
  return record;
}

}  // namespace sparseserve::serving
