#include "kernels/cuda/check.h"

#include <cstdio>
#include <new>
#include <string>

#include "kernels/backend.h"

namespace sparseserve::kernels::cuda {
namespace {

std::string Describe(cudaError_t error, const char* call, const char* file, int line) {
  return std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
         cudaGetErrorName(error) + ": " + cudaGetErrorString(error);
}

}  // namespace

void ThrowCudaError(cudaError_t error, const char* call, const char* file, int line) {
  static_cast<void>(cudaGetLastError());  // an error that does not stick is told once
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw DeviceError(Describe(error, call, file, line));
}

void LogCudaError(cudaError_t error, const char* call, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, call, cudaGetErrorName(error),
               cudaGetErrorString(error));
}

}  // namespace sparseserve::kernels::cuda
