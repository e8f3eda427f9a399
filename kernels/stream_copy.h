// Copies for the transfers between two tiers of memory on a CPU.
//
// What a transfer writes is not read soon by the core that wrote it, and it is larger than its
// caches. Stores that go around the caches save the read of a line before it is overwritten
// (write-allocate): 2 bytes of DRAM traffic for a byte copied instead of 3.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparseserve::kernels {

// One copy; both addresses and the size are multiples of 16, and the ranges do not overlap.
struct CopyPiece {
  std::byte* destination;
  const std::byte* source;
  std::int64_t size;
};

// The stores below are weakly ordered: FenceStreamCopies comes before another thread is told.
void StreamCopy(std::byte* destination, const std::byte* source, std::int64_t size);
// Copies two pieces line by line in turn, and asks meanwhile for the sources of the next two, which
// are about as long. Two independent streams hide what one waits for, see cpu/transfer.cc.
void StreamCopyPair(const CopyPiece& a, const CopyPiece& b, const std::byte* next_a,
                    const std::byte* next_b);
// Orders all earlier copies of this thread before its later stores.
void FenceStreamCopies();

}  // namespace sparseserve::kernels
