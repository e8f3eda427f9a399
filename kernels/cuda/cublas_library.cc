#include "kernels/cuda/cublas_library.h"

#include <cstdio>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "sim/core/check.h"

namespace sparseserve::kernels::cuda {
namespace {

// From cublas_api.h, which not every toolkit installation has; the same in cuBLAS 12 and 13.
constexpr int kSuccess = 0;                             // CUBLAS_STATUS_SUCCESS
constexpr int kAllocationFailed = 3;                    // CUBLAS_STATUS_ALLOC_FAILED
constexpr int kNotTransposed = 0;                       // CUBLAS_OP_N
constexpr int kTransposed = 1;                          // CUBLAS_OP_T
constexpr int kComputeFloat = 68;                       // CUBLAS_COMPUTE_32F
constexpr int kDefaultAlgorithm = -1;                   // CUBLAS_GEMM_DEFAULT
constexpr int kDisallowReducedPrecisionReduction = 16;  // CUBLAS_MATH_DISALLOW_REDUCED_...
constexpr int kBfloat16Data = 14;                       // CUDA_R_16BF of library_types.h
using Create = int(void**);
using Destroy = int(void*);
using SetStream = int(void*, cudaStream_t);
using SetWorkspace = int(void*, void*, std::size_t);
using SetMathMode = int(void*, int);
using GetStatusName = const char*(int);
using GemmEx = int(void*, int, int, int, int, int, const void*, const void*, int, int, const void*,
                   int, int, const void*, void*, int, int, int, int);

std::vector<std::string> ListNames() {
  std::vector<std::string> names;
  for (const std::string folder : {"", "/usr/local/cuda/lib64/"}) {
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
      names.push_back(folder + name);
    }
  }
  return names;
}

int ToInt(std::int64_t extent) {
  SPARSESERVE_CHECK(extent <= std::numeric_limits<int>::max(), "a matrix too large for cuBLAS");
  return static_cast<int>(extent);
}

template <typename Function>
Function* Require(const SharedLibrary& library, const char* symbol) {
  auto* const function = library.Find<Function>(symbol);
  if (function == nullptr) {
    throw BackendUnavailable("backend cuda: libcublas has no " + std::string(symbol));
  }
  return function;
}

}  // namespace

CublasLibrary::CublasLibrary(cudaStream_t stream, void* workspace) : library_(ListNames()) {
  if (!library_.is_open()) {
    throw BackendUnavailable("backend cuda: no cuBLAS for matrix products: " + library_.error());
  }
  auto* const set_stream = Require<SetStream>(library_, "cublasSetStream_v2");
  auto* const set_workspace = Require<SetWorkspace>(library_, "cublasSetWorkspace_v2");
  auto* const set_math_mode = Require<SetMathMode>(library_, "cublasSetMathMode");
  Require<GemmEx>(library_, "cublasGemmEx");
  Require<Destroy>(library_, "cublasDestroy_v2");
  Check(Require<Create>(library_, "cublasCreate_v2")(&handle_), "cublasCreate");
  Check(set_stream(handle_, stream), "cublasSetStream");  // resets the workspace, so it comes first
  Check(set_workspace(handle_, workspace, kWorkspaceBytes), "cublasSetWorkspace");
  Check(set_math_mode(handle_, kDisallowReducedPrecisionReduction), "cublasSetMathMode");
}

CublasLibrary::~CublasLibrary() {
  if (handle_ == nullptr) return;
  const int status = library_.Find<Destroy>("cublasDestroy_v2")(handle_);
  if (status != kSuccess) std::fprintf(stderr, "cublasDestroy: status %d\n", status);
}

void CublasLibrary::Gemm(const GemmParams& params) {
  SPARSESERVE_CHECK(params.type == ElementType::kBfloat16, "CUDA kernels are for bfloat16");
  if (params.m == 0 || params.n == 0) return;
  const int m = ToInt(params.m);
  const int n = ToInt(params.n);
  const int k = ToInt(params.k);
  SPARSESERVE_CHECK(k > 0, "a product over no elements");
  const float alpha = 1;
  const float beta = params.accumulate ? 1 : 0;
  // cuBLAS counts columns first: row-major y [m, n] is its y^T [n, m] = w x^T.
  auto* const gemm = library_.Find<GemmEx>("cublasGemmEx");
  Check(gemm(handle_, kTransposed, kNotTransposed, n, m, k, &alpha, params.w, kBfloat16Data, k,
             params.x, kBfloat16Data, k, &beta, params.y, kBfloat16Data, n, kComputeFloat,
             kDefaultAlgorithm),
        "cublasGemmEx");
}

void CublasLibrary::Check(int status, const char* call) const {
  if (status == kSuccess) return;
  if (status == kAllocationFailed) throw std::bad_alloc();
  auto* const name = library_.Find<GetStatusName>("cublasGetStatusName");
  throw DeviceError(std::string(call) + ": " +
                    (name != nullptr ? name(status) : std::to_string(status)));
}

}  // namespace sparseserve::kernels::cuda
