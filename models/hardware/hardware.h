// A serving machine: GPU, host, links. Peak figures come from data sheets, "reached" ones from
// published measurements; what a kernel reaches of them is the cost model's business. The files in
// models/hardware/configs/ fill it (sim/config/machine_loader.h) and name the source of each value.
#pragma once

#include <cstdint>
#include <string>

#include "sim/core/units.h"

namespace sparseserve::hardware {

struct Gpu {
  std::string name;
  Bytes hbm_capacity;  // what the driver shows, before the CUDA context
  BytesPerSecond hbm_bandwidth;
  FlopsPerSecond bf16_flops;  // dense, tensor cores
  FlopsPerSecond fp8_flops;   // 0: no fp8 units
  std::int64_t num_sms = 0;
  BytesPerSecond gpu_link_bandwidth;  // to the other GPUs of the node, one direction; 0: none
  Seconds gpu_link_latency;
};

// One GPU's link to host memory.
struct HostLink {
  std::string name;                  // "PCIe 4.0 x16"
  BytesPerSecond nominal_bandwidth;  // one direction, raw
  BytesPerSecond h2d_bandwidth;      // reached by the copy engine on large copies
  BytesPerSecond d2h_bandwidth;
  BytesPerSecond duplex_bandwidth;  // both directions at once, sum; 0: the sum of the two above
};

struct Host {
  std::string name;
  Bytes dram_capacity;
  BytesPerSecond dram_bandwidth;          // all sockets, reads and writes together
  BytesPerSecond dram_reached_bandwidth;  // of that, by streams (STREAM triad); 0: not known
  std::int64_t num_cores = 0;
  std::int64_t num_sockets = 1;
};

struct Machine {
  std::string name;
  Gpu gpu;
  std::int64_t num_gpus = 1;         // per host
  std::int64_t gpus_per_switch = 1;  // GPUs that share one uplink; 1: each has its own root port
  HostLink link;
  Host host;
  std::string calibration;  // name of the calibration record that belongs to it
  std::string source;
};

}  // namespace sparseserve::hardware
