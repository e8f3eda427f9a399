// The host topology as a graph (GPU - switch - root complex - DRAM) and the bandwidth that each of
// several GPUs gets when they transfer at once. The only user of Boost.Graph in the models.
//
// Assumptions
// (1) GPUs fill switches and sockets in order, so that few active GPUs share the most: what is
//     returned is a floor.
// (2) The KV store of a GPU is in the DRAM of its own socket; nothing crosses sockets.
// (3) A switch uplink is one link of the same kind as a GPU's.
// (4) A link carries both directions up to its duplex bandwidth; DRAM has one budget for reads and
//     writes.
// Rates are shared max-min fairly (progressive filling, Bertsekas and Gallager, Data
// Networks, 6.5): all transfers grow together, and each stops when a link on its path is full.
// O(GPUs^2 x links).
#pragma once

#include <cstdint>
#include <string>

#include "models/hardware/hardware.h"

namespace sparseserve::hardware {

enum class Transfers : std::uint8_t { kLoads, kSaves, kBoth };

struct SharedBandwidth {
  BytesPerSecond h2d;  // of the GPU that gets least; 0 if there are no loads
  BytesPerSecond d2h;  // of the GPU that gets least; 0 if there are no saves
  // The link that bounds the loads, or the saves if there are no loads: "PCIe 4.0 x16", "switch
  // uplink" or "host DRAM".
  std::string bottleneck;
};

// The max-min fair share of one of `active_gpus` GPUs that all transfer at full speed.
// `dram_touches_per_byte` is how often one transferred byte crosses the DRAM bus (1 for a DMA, 3
// with a staging copy). REQUIRES: 1 <= active_gpus <= machine.num_gpus, dram_touches_per_byte >= 0.
SharedBandwidth ShareHostLinks(const Machine& machine, std::int64_t active_gpus,
                               double dram_touches_per_byte,
                               Transfers transfers = Transfers::kBoth);

}  // namespace sparseserve::hardware
