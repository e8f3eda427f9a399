// Loads and saves of the CPU backend: copies between its two arenas, all done on return.
//
// The twin of the CUDA transfers with the same methods, so that what holds for one (a copy for each
// block is slow, a gather is not) can be seen and tested on a machine without a GPU. kStaged is in
// kernels/staging_ring.h.
#pragma once

#include "kernels/operations.h"
#include "kernels/thread_pool.h"

namespace sparseserve::kernels::cpu {

// LoadMethod::kCopyPerBlock and SaveMethod::kCopyPerBlock: one memcpy after the other on the
// calling thread, as a copy engine works.
void LoadByCopies(const LoadParams& params);
void SaveByCopies(const SaveParams& params);

// LoadMethod::kGather and SaveMethod::kDirect: params.max_workers threads of the pool, which grows
// to that many; 0: all that it has.
void LoadByGather(const LoadParams& params, ThreadPool& pool);
void SaveDirectly(const SaveParams& params, ThreadPool& pool);

}  // namespace sparseserve::kernels::cpu
