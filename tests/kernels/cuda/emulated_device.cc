#include "tests/kernels/cuda/emulation.h"

#include <bit>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/cuda/device.cuh"
#include "tests/kernels/cuda/emulated_copies.h"

namespace sparseserve::kernels::cuda {
namespace emulation {
namespace {

constexpr int kPoison = 0xff;

// An mbarrier; 8 bytes, as on the device. A phase ends when nothing is pending.
struct BarrierState {
  std::int32_t num_bytes = 0;
  std::uint32_t phase : 1 = 0;
  std::uint32_t num_arrivals : 15 = 0;
  std::uint32_t num_pending : 16 = 0;

  void EndPhaseIfComplete() {
    if (num_pending != 0 || num_bytes != 0) return;
    phase ^= 1;
    num_pending = num_arrivals & 0x7fffu;
  }
};
static_assert(sizeof(BarrierState) == sizeof(std::uint64_t));

BarrierState ReadBarrier(const std::uint64_t* barrier) {
  CheckAligned(barrier, 8);
  const auto state = std::bit_cast<BarrierState>(*barrier);
  if (*barrier == ~std::uint64_t{0} || state.num_arrivals == 0) {
    Fail("a barrier is used before it is initialised");
  }
  return state;
}

struct MatrixLane {
  const void* row;
  bool transposed;
  std::uint32_t result[4];
};

struct MultiplyLane {
  const std::uint32_t* a;
  std::uint32_t b[2];
  float* d;
};

float Half(std::uint32_t packed, std::size_t half) {
  return half == 0 ? LowBfloat16(packed) : HighBfloat16(packed);
}

// d += a b over a warp's fragments; the sum in double, rounded once.
void MultiplyFragments(void* (&lanes)[32]) {
  float a[16][16];
  float b[16][8];
  for (std::size_t lane = 0; lane < 32; ++lane) {
    const auto& fragment = *static_cast<const MultiplyLane*>(lanes[lane]);
    const std::size_t group = lane / 4;
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t column = 2 * (lane % 4) + half;
      for (std::size_t i = 0; i < 4; ++i) {
        a[group + 8 * (i % 2)][column + 8 * (i / 2)] = Half(fragment.a[i], half);
      }
      for (std::size_t i = 0; i < 2; ++i) b[column + 8 * i][group] = Half(fragment.b[i], half);
    }
  }
  for (std::size_t lane = 0; lane < 32; ++lane) {
    float* const d = static_cast<const MultiplyLane*>(lanes[lane])->d;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t row = lane / 4 + 8 * (i / 2);
      const std::size_t column = 2 * (lane % 4) + i % 2;
      double sum = d[i];
      for (std::size_t k = 0; k < 16; ++k) sum += static_cast<double>(a[row][k]) * b[k][column];
      d[i] = static_cast<float>(sum);
    }
  }
}

void LoadFragments(void* (&lanes)[32]) {
  std::uint16_t matrices[4][8][8];
  for (std::size_t lane = 0; lane < 32; ++lane) {
    std::memcpy(matrices[lane / 8][lane % 8], static_cast<const MatrixLane*>(lanes[lane])->row, 16);
  }
  for (std::size_t lane = 0; lane < 32; ++lane) {
    auto& to = *static_cast<MatrixLane*>(lanes[lane]);
    const std::size_t group = lane / 4;
    const std::size_t pair = 2 * (lane % 4);
    for (std::size_t i = 0; i < 4; ++i) {
      const auto& matrix = matrices[i];
      const std::uint32_t low = to.transposed ? matrix[pair][group] : matrix[group][pair];
      const std::uint32_t high = to.transposed ? matrix[pair + 1][group] : matrix[group][pair + 1];
      to.result[i] = low | high << 16;
    }
  }
}

void CheckBulk(const void* global, const void* shared, std::uint32_t num_bytes) {
  CheckAligned(global, 16);
  CheckAligned(shared, 16);
  if (num_bytes % 16 != 0 || num_bytes == 0) Fail("a bulk copy of no multiple of 16 bytes");
}

}  // namespace

// --- asynchronous copies -------------------------------------------------------------------------

void PendingCopy::Finish() const {
  if (num_bytes > 0) std::memcpy(destination, source, num_bytes);
  if (num_zeros > 0) std::memset(static_cast<std::byte*>(destination) + num_bytes, 0, num_zeros);
  if (barrier == nullptr) return;
  BarrierState state = ReadBarrier(barrier);
  state.num_bytes -= static_cast<std::int32_t>(num_bytes);
  state.EndPhaseIfComplete();
  *barrier = std::bit_cast<std::uint64_t>(state);
}

void CopyGroups::Commit() {
  groups_.push_back(std::move(open_));
  open_.clear();
}

void CopyGroups::WaitFor(std::size_t num_pending) {
  while (groups_.size() > num_pending) {
    for (const PendingCopy& copy : groups_.front()) copy.Finish();
    groups_.pop_front();
  }
}

bool CopyGroups::IsEmpty() const {
  for (const auto& group : groups_) {
    if (!group.empty()) return false;
  }
  return open_.empty();
}

bool BulkLoads::FinishOne(bool latest) {
  if (pending_.empty()) return false;
  const auto copy = latest ? std::prev(pending_.end()) : pending_.begin();
  copy->Finish();
  pending_.erase(copy);
  return true;
}

void CheckAligned(const void* address, std::size_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment != 0) Fail("a misaligned address");
}

void StartCopy(void* shared, const void* global, std::size_t num_bytes, std::size_t num_zeros) {
  CheckAligned(shared, 16);
  CheckAligned(global, 16);
  std::memset(shared, kPoison, num_bytes + num_zeros);
  RunningCopies().copies.Add({shared, global, num_bytes, num_zeros, nullptr});
}

void CommitCopyGroup() { RunningCopies().copies.Commit(); }
void WaitForCopyGroups(std::size_t num_pending) { RunningCopies().copies.WaitFor(num_pending); }

void StartBulkLoad(void* shared, const void* global, std::uint32_t num_bytes,
                   std::uint64_t* barrier) {
  CheckBulk(global, shared, num_bytes);
  ReadBarrier(barrier);
  std::memset(shared, kPoison, num_bytes);
  RunningLoads().Add({shared, global, num_bytes, 0, barrier});
}

void StartBulkStore(void* global, const void* shared, std::uint32_t num_bytes) {
  CheckBulk(global, shared, num_bytes);
  std::memset(global, kPoison, num_bytes);
  RunningCopies().bulk_stores.Add({global, shared, num_bytes, 0, nullptr});
}

void CommitBulkStoreGroup() { RunningCopies().bulk_stores.Commit(); }
void WaitForBulkStoreGroups(std::size_t num_pending) {
  RunningCopies().bulk_stores.WaitFor(num_pending);
}

// --- barriers in shared memory -------------------------------------------------------------------

void InitBarrier(std::uint64_t* barrier, std::uint32_t num_arrivals) {
  CheckAligned(barrier, 8);
  BarrierState state;
  state.num_arrivals = num_arrivals & 0x7fffu;
  state.num_pending = num_arrivals & 0x7fffu;
  *barrier = std::bit_cast<std::uint64_t>(state);
}

void ArriveAtBarrier(std::uint64_t* barrier, std::uint32_t num_expected_bytes) {
  BarrierState state = ReadBarrier(barrier);
  if (state.num_pending == 0) Fail("more arrivals at a barrier than it was made for");
  state.num_bytes += static_cast<std::int32_t>(num_expected_bytes);
  --state.num_pending;
  state.EndPhaseIfComplete();
  *barrier = std::bit_cast<std::uint64_t>(state);
}

void WaitAtBarrier(std::uint64_t* barrier, std::uint32_t parity) {
  if (parity > 1) Fail("the parity of a barrier is 0 or 1");
  WaitUntil("mbarrier.try_wait", [=] { return ReadBarrier(barrier).phase != parity; });
}

// --- warps ---------------------------------------------------------------------------------------

unsigned Ballot(const char* operation, unsigned mask, bool predicate) {
  struct BallotLane {
    bool predicate;
    unsigned result;
  };
  BallotLane lane{predicate, 0};
  Collect(operation, mask, &lane, [](void*(&lanes)[32]) {
    unsigned result = 0;
    for (unsigned i = 0; i < 32; ++i) {
      if (lanes[i] != nullptr && static_cast<const BallotLane*>(lanes[i])->predicate) {
        result |= 1u << i;
      }
    }
    for (void* pointer : lanes) {
      if (pointer != nullptr) static_cast<BallotLane*>(pointer)->result = result;
    }
  });
  return lane.result;
}

unsigned Reduce(const char* operation, unsigned mask, unsigned value,
                unsigned (*join)(unsigned, unsigned)) {
  struct ReduceLane {
    unsigned value;
    unsigned (*join)(unsigned, unsigned);
    unsigned result;
  };
  ReduceLane lane{value, join, 0};
  Collect(operation, mask, &lane, [](void*(&lanes)[32]) {
    const ReduceLane* first = nullptr;
    unsigned result = 0;
    for (void* pointer : lanes) {
      if (pointer == nullptr) continue;
      const auto& from = *static_cast<const ReduceLane*>(pointer);
      result = first == nullptr ? from.value : from.join(result, from.value);
      first = &from;
    }
    for (void* pointer : lanes) {
      if (pointer != nullptr) static_cast<ReduceLane*>(pointer)->result = result;
    }
  });
  return lane.result;
}

void LoadMatrices(const char* operation, std::uint32_t (&registers)[4], const void* row,
                  bool transposed) {
  CheckAligned(row, 16);
  MatrixLane lane{row, transposed, {}};
  Collect(operation, kAllLanes, &lane, LoadFragments);
  std::memcpy(registers, lane.result, sizeof(lane.result));
}

void MultiplyAdd(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  MultiplyLane lane{a, {b0, b1}, d};
  Collect("mma", kAllLanes, &lane, MultiplyFragments);
}

}  // namespace emulation

std::uint32_t PackBfloat16(float low, float high) {
  return ToBfloat16(low).bits | static_cast<std::uint32_t>(ToBfloat16(high).bits) << 16;
}

std::uint32_t MinBfloat16x2(std::uint32_t a, std::uint32_t b) {
  return PackBfloat16(std::fmin(LowBfloat16(a), LowBfloat16(b)),
                      std::fmin(HighBfloat16(a), HighBfloat16(b)));
}
std::uint32_t MaxBfloat16x2(std::uint32_t a, std::uint32_t b) {
  return PackBfloat16(std::fmax(LowBfloat16(a), LowBfloat16(b)),
                      std::fmax(HighBfloat16(a), HighBfloat16(b)));
}

}  // namespace sparseserve::kernels::cuda
