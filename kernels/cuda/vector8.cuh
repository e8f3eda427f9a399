// Eight neighbouring bfloat16, the 16 bytes that a lane moves at once, as floats.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/cuda/device.cuh"

namespace sparseserve::kernels::cuda {

inline constexpr int kVector = 8;

struct Vector8 {
  float at[kVector];
};

__device__ __forceinline__ Vector8 Unpack(uint4 bits) {
  return {{LowBfloat16(bits.x), HighBfloat16(bits.x), LowBfloat16(bits.y), HighBfloat16(bits.y),
           LowBfloat16(bits.z), HighBfloat16(bits.z), LowBfloat16(bits.w), HighBfloat16(bits.w)}};
}

__device__ __forceinline__ uint4 Pack(const Vector8& v) {
  return make_uint4(PackBfloat16(v.at[0], v.at[1]), PackBfloat16(v.at[2], v.at[3]),
                    PackBfloat16(v.at[4], v.at[5]), PackBfloat16(v.at[6], v.at[7]));
}

// A plain load, cached in L1: for what is read again, or written by this kernel.
__device__ __forceinline__ Vector8 LoadVector(const Bfloat16* aligned) {
  return Unpack(*reinterpret_cast<const uint4*>(aligned));
}
__device__ __forceinline__ void StoreVector(Bfloat16* aligned, const Vector8& v) {
  *reinterpret_cast<uint4*>(aligned) = Pack(v);
}

}  // namespace sparseserve::kernels::cuda
