// The names of things in the KV cache: a unit within its group, a slot of HBM, a save.
#pragma once

#include <cstdint>

namespace sparseserve::kvcache {

using RequestIndex = std::int32_t;  // dense and reused
using GroupIndex = std::int32_t;    // request * num_layers + layer
using Unit = std::uint32_t;         // within its group: block * heads + head
using Slot = std::int32_t;          // in HBM, [0, hbm_slots)
using SaveTicket = std::uint32_t;   // saves complete in ticket order; 0 is "saved"

constexpr Slot kNoSlot = -1;
constexpr Unit kNoUnit = ~Unit{0};

}  // namespace sparseserve::kvcache
