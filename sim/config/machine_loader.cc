#include "sim/config/machine_loader.h"

namespace sparseserve::config {
namespace {

void ReadGpu(MapReader gpu, hardware::Gpu& out) {
  gpu.Required("name", out.name, {.doc = "as the vendor writes it"});
  gpu.Required("hbm", out.hbm_capacity,
               {.doc = "capacity that the driver shows", .positive = true});
  gpu.Required("hbm_bandwidth", out.hbm_bandwidth, {.doc = "peak", .positive = true});
  gpu.Required("bf16_flops", out.bf16_flops,
               {.doc = "peak, dense, tensor cores", .positive = true});
  gpu.Optional("fp8_flops", out.fp8_flops, {.doc = "peak, dense; 0: no fp8 units"});
  gpu.Required("num_sms", out.num_sms, {.doc = "streaming multiprocessors", .min = 1});
  gpu.Optional("gpu_link_bandwidth", out.gpu_link_bandwidth,
               {.doc = "to the other GPUs, one direction; 0: none"});
  gpu.Optional("gpu_link_latency", out.gpu_link_latency, {.doc = "of one small message"});
}

void ReadLink(MapReader link, hardware::HostLink& out) {
  link.Required("name", out.name, {.doc = "such as PCIe 4.0 x16"});
  link.Required("nominal_bandwidth", out.nominal_bandwidth,
                {.doc = "one direction, raw", .positive = true});
  link.Required("h2d_bandwidth", out.h2d_bandwidth,
                {.doc = "reached by large copies to the GPU", .positive = true});
  link.Required("d2h_bandwidth", out.d2h_bandwidth,
                {.doc = "reached by large copies to the host", .positive = true});
  link.Optional("duplex_bandwidth", out.duplex_bandwidth,
                {.doc = "reached in both directions at once, sum; 0: the sum of the two"});
  for (const auto& [key, reached] : {std::pair{"h2d_bandwidth", out.h2d_bandwidth},
                                     std::pair{"d2h_bandwidth", out.d2h_bandwidth}}) {
    if (reached <= out.nominal_bandwidth) continue;
    link.AddProblem(key, {"'" + FormatText(reached) + "' is more than the link has",
                          "at most nominal_bandwidth, " + FormatText(out.nominal_bandwidth), ""});
  }
}

void ReadHost(MapReader host, hardware::Host& out) {
  host.Required("name", out.name, {.doc = "processor"});
  host.Required("dram", out.dram_capacity, {.doc = "capacity, all sockets", .positive = true});
  host.Required("dram_bandwidth", out.dram_bandwidth,
                {.doc = "peak, all sockets, reads and writes together", .positive = true});
  host.Optional("dram_reached_bandwidth", out.dram_reached_bandwidth,
                {.doc = "of that, by streams; 0: not known, the peak is used"});
  host.Required("num_cores", out.num_cores, {.doc = "physical, all sockets", .min = 1});
  host.Optional("num_sockets", out.num_sockets, {.doc = "NUMA domains with own DRAM", .min = 1});
  if (out.dram_reached_bandwidth > out.dram_bandwidth) {
    host.AddProblem("dram_reached_bandwidth",
                    {"'" + FormatText(out.dram_reached_bandwidth) + "' is more than the peak",
                     "at most dram_bandwidth, " + FormatText(out.dram_bandwidth), ""});
  }
}

}  // namespace

hardware::Machine LoadMachine(const std::string& path, Schema* schema) {
  const Node root = LoadYamlFile(path);
  MapReader reader(root, schema);
  hardware::Machine machine;
  reader.Required("name", machine.name, {.doc = "as results print it"});
  reader.Required("source", machine.source, {.doc = "documents behind the values, with dates"});
  reader.Optional("calibration", machine.calibration,
                  {.doc = "record in calibration/devices that belongs to it"});
  reader.Optional("num_gpus", machine.num_gpus, {.doc = "per host", .min = 1, .max = 64});
  reader.Optional("gpus_per_switch", machine.gpus_per_switch,
                  {.doc = "GPUs that share one uplink; 1: each has its own", .min = 1, .max = 64});
  ReadGpu(reader.Map("gpu"), machine.gpu);
  ReadLink(reader.Map("link", "one GPU's link to host memory"), machine.link);
  ReadHost(reader.Map("host"), machine.host);
  if (machine.num_gpus % machine.host.num_sockets != 0 && machine.num_gpus > 1) {
    reader.AddProblem("num_gpus", {"the GPUs do not divide evenly over the sockets",
                                   "a multiple of host.num_sockets", ""});
  }
  reader.Finish();
  return machine;
}

}  // namespace sparseserve::config
