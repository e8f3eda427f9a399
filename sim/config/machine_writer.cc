#include "sim/config/machine_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "calibration/fit.h"
#include "sim/config/calibration_writer.h"
#include "sim/config/value_text.h"
#include "sim/core/error.h"

namespace sparseserve::config {
namespace {

using calibration::Record;

double Ceiling(const Record& record, std::string_view name) {
  const auto found = record.ceilings.find(name);
  if (found != record.ceilings.end()) return found->second.value;
  throw InputError({{record.file, 0, 0},
                    fmt::format("ceilings.{}", name),
                    "not measured, and a machine cannot be described without it",
                    "a measurement of it",
                    "or name the machine with --machine"});
}

// The best rate of a transfer in one direction: the ceiling, or a point that was faster.
BytesPerSecond LinkRate(const Record& record, std::string_view direction) {
  double rate = Ceiling(record, direction);
  for (const calibration::Measurement& point : record.measurements) {
    if (!point.operation.starts_with(std::string(direction) + ".")) continue;
    rate = std::max(rate, static_cast<double>(point.work.bytes.value()) / point.median.value());
  }
  return BytesPerSecond(calibration::RoundUp(rate, 6));
}

Bytes WholeBytes(double bytes) { return Bytes(static_cast<std::int64_t>(bytes)); }

void Add(std::string& text, std::size_t indent, const char* key, const std::string& value) {
  text += fmt::format("{}{}:{}\n", std::string(indent, ' '), key, YamlText(value, indent + 2));
}

// Leaves out what is not known.
template <typename Q>
void AddKnown(std::string& text, const char* key, Q quantity) {
  if (quantity.value() > 0) Add(text, 2, key, FormatText(quantity));
}

}  // namespace

hardware::Machine DeriveMachine(const Record& record, const calibration::Peaks& peaks,
                                const std::string& calibration) {
  hardware::Machine machine;
  machine.name = record.machine_name();
  machine.calibration = calibration;
  machine.source = fmt::format(
      "made by 'sparseserve calibrate' from what it measured on {}; no data sheet", record.device);
  const double memory = Ceiling(record, "memory");
  // A CPU is its own host, and its memory serves as both.
  const bool is_host = !record.ceilings.contains("host_memory");
  machine.gpu.name = record.device;
  machine.gpu.hbm_capacity = WholeBytes(is_host ? memory / 2 : memory);
  machine.gpu.hbm_bandwidth = peaks.memory;
  machine.gpu.bf16_flops = peaks.compute;
  machine.gpu.num_sms = static_cast<std::int64_t>(Ceiling(record, "workers"));

  machine.link.name = is_host ? "memory of the host" : "link to the host, as measured";
  machine.link.h2d_bandwidth = LinkRate(record, "h2d");
  machine.link.d2h_bandwidth = LinkRate(record, "d2h");
  machine.link.nominal_bandwidth = std::max(machine.link.h2d_bandwidth, machine.link.d2h_bandwidth);
  machine.link.duplex_bandwidth = BytesPerSecond(Ceiling(record, "duplex"));

  machine.host.name = record.device;
  machine.host.dram_capacity =
      WholeBytes(is_host ? memory - memory / 2 : Ceiling(record, "host_memory"));
  machine.host.dram_bandwidth = BytesPerSecond(2 * Ceiling(record, "dram_copy"));  // both ways
  machine.host.num_cores =
      static_cast<std::int64_t>(Ceiling(record, is_host ? "workers" : "host_cores"));
  return machine;
}

std::string WriteMachine(const hardware::Machine& machine) {
  const hardware::Gpu& gpu = machine.gpu;
  const hardware::HostLink& link = machine.link;
  const hardware::Host& host = machine.host;
  std::string text;
  Add(text, 0, "name", machine.name);
  Add(text, 0, "source", machine.source);
  if (!machine.calibration.empty()) Add(text, 0, "calibration", machine.calibration);
  Add(text, 0, "num_gpus", FormatText(machine.num_gpus));
  Add(text, 0, "gpus_per_switch", FormatText(machine.gpus_per_switch));
  text += "gpu:\n";
  Add(text, 2, "name", gpu.name);
  Add(text, 2, "hbm", FormatText(gpu.hbm_capacity));
  Add(text, 2, "hbm_bandwidth", FormatText(gpu.hbm_bandwidth));
  Add(text, 2, "bf16_flops", FormatText(gpu.bf16_flops));
  AddKnown(text, "fp8_flops", gpu.fp8_flops);
  Add(text, 2, "num_sms", FormatText(gpu.num_sms));
  AddKnown(text, "gpu_link_bandwidth", gpu.gpu_link_bandwidth);
  AddKnown(text, "gpu_link_latency", gpu.gpu_link_latency);
  text += "link:\n";
  Add(text, 2, "name", link.name);
  Add(text, 2, "nominal_bandwidth", FormatText(link.nominal_bandwidth));
  Add(text, 2, "h2d_bandwidth", FormatText(link.h2d_bandwidth));
  Add(text, 2, "d2h_bandwidth", FormatText(link.d2h_bandwidth));
  AddKnown(text, "duplex_bandwidth", link.duplex_bandwidth);
  text += "host:\n";
  Add(text, 2, "name", host.name);
  Add(text, 2, "dram", FormatText(host.dram_capacity));
  Add(text, 2, "dram_bandwidth", FormatText(host.dram_bandwidth));
  AddKnown(text, "dram_reached_bandwidth", host.dram_reached_bandwidth);
  Add(text, 2, "num_cores", FormatText(host.num_cores));
  Add(text, 2, "num_sockets", FormatText(host.num_sockets));
  return text;
}

}  // namespace sparseserve::config
