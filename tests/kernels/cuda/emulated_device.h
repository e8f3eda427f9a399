// The emulation's twins of the functions of kernels/cuda/device.cuh; contracts are there.
// Included by emulation.h only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparseserve::kernels::cuda {

namespace emulation {

// The asynchronous copies of the running thread and block.
void CheckAligned(const void* address, std::size_t alignment);
void StartCopy(void* shared, const void* global, std::size_t num_bytes, std::size_t num_zeros);
void CommitCopyGroup();
void WaitForCopyGroups(std::size_t num_pending);
void StartBulkLoad(void* shared, const void* global, std::uint32_t num_bytes,
                   std::uint64_t* barrier);
void StartBulkStore(void* global, const void* shared, std::uint32_t num_bytes);
void CommitBulkStoreGroup();
void WaitForBulkStoreGroups(std::size_t num_pending);
void InitBarrier(std::uint64_t* barrier, std::uint32_t num_arrivals);
void ArriveAtBarrier(std::uint64_t* barrier, std::uint32_t num_expected_bytes);
void WaitAtBarrier(std::uint64_t* barrier, std::uint32_t parity);

void LoadMatrices(const char* operation, std::uint32_t (&registers)[4], const void* row,
                  bool transposed);
void MultiplyAdd(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

}  // namespace emulation

inline constexpr unsigned kAllLanes = 0xffffffffu;

inline std::byte* SharedMemory() { return emulation::SharedBytes(); }

inline void SyncSomeThreads(int id, int num_threads) {
  emulation::Barrier("barrier.sync", id, num_threads, 0);
}

inline uint4 LoadOnce(const void* global) {
  emulation::CheckAligned(global, 16);
  return *static_cast<const uint4*>(global);
}
inline void StoreNoAllocate(void* global, uint4 value) {
  emulation::CheckAligned(global, 16);
  *static_cast<uint4*>(global) = value;
}
inline void StoreStreaming(void* global, uint4 value) { StoreNoAllocate(global, value); }

inline void CopyAsync(void* shared, const void* global) {
  emulation::StartCopy(shared, global, 16, 0);
}
inline void CopyAsyncOrZero(void* shared, const void* global, bool valid) {
  emulation::StartCopy(shared, global, valid ? 16 : 0, valid ? 0 : 16);
}
inline void CommitCopies() { emulation::CommitCopyGroup(); }
template <int kPending>
void WaitCopies() {
  emulation::WaitForCopyGroups(kPending);
}

inline void LoadMatrices(std::uint32_t (&registers)[4], const void* row) {
  emulation::LoadMatrices("ldmatrix", registers, row, false);
}
inline void LoadMatricesTransposed(std::uint32_t (&registers)[4], const void* row) {
  emulation::LoadMatrices("ldmatrix.trans", registers, row, true);
}
inline std::uint32_t TransposeMatrix(std::uint32_t matrix) {
  // Element (row, column) lies in lane 4 * row + column / 2, half column % 2.
  const int group = static_cast<int>(emulation::LaneIndex() / 4);
  const int row = 2 * static_cast<int>(emulation::LaneIndex() % 4);
  const std::uint32_t low = __shfl_sync(kAllLanes, matrix, 4 * row + group / 2);
  const std::uint32_t high = __shfl_sync(kAllLanes, matrix, 4 * (row + 1) + group / 2);
  const int shift = 16 * (group % 2);
  return (low >> shift & 0xffffu) | (high >> shift & 0xffffu) << 16;
}
inline void MultiplyAdd(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                        std::uint32_t b1) {
  emulation::MultiplyAdd(d, a, b0, b1);
}

std::uint32_t PackBfloat16(float low, float high);
std::uint32_t MinBfloat16x2(std::uint32_t a, std::uint32_t b);
std::uint32_t MaxBfloat16x2(std::uint32_t a, std::uint32_t b);
inline void SinCosPi(float x, float& sine, float& cosine) {
  const double angle = 3.14159265358979323846 * static_cast<double>(x);
  sine = static_cast<float>(std::sin(angle));
  cosine = static_cast<float>(std::cos(angle));
}
inline float Exp2(float x) {
  const float result = std::exp2(x);
  return result < std::numeric_limits<float>::min() ? 0.0f : result;  // NaN stays
}

inline void InitBarrier(std::uint64_t* barrier, std::uint32_t num_arrivals) {
  emulation::InitBarrier(barrier, num_arrivals);
}
inline void ArriveAtBarrier(std::uint64_t* barrier) { emulation::ArriveAtBarrier(barrier, 0); }
inline void FenceBarrierInit() {}
inline void FenceSharedForBulk() {}
inline void ArriveExpectingBytes(std::uint64_t* barrier, std::uint32_t num_bytes) {
  emulation::ArriveAtBarrier(barrier, num_bytes);
}
inline void WaitAtBarrier(std::uint64_t* barrier, std::uint32_t parity) {
  emulation::WaitAtBarrier(barrier, parity);
}
inline void BulkLoad(void* shared, const void* global, std::uint32_t num_bytes,
                     std::uint64_t* barrier) {
  emulation::StartBulkLoad(shared, global, num_bytes, barrier);
}
inline void BulkStore(void* global, const void* shared, std::uint32_t num_bytes) {
  emulation::StartBulkStore(global, shared, num_bytes);
}
inline void CommitBulkStores() { emulation::CommitBulkStoreGroup(); }
template <int kPending>
void WaitBulkStoresRead() {
  emulation::WaitForBulkStoreGroups(kPending);
}
template <int kPending>
void WaitBulkStores() {
  emulation::WaitForBulkStoreGroups(kPending);
}

}  // namespace sparseserve::kernels::cuda
