// The table of backends.
#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#ifdef SPARSESERVE_HAVE_CUDA
#include "kernels/cuda/cuda_backend.h"
#endif

namespace sparseserve::kernels {

BackendConfig DefaultBackendConfig() {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  BackendConfig config;
  config.transfer_threads = std::clamp(cores / 8, 1, 4);
  config.scatter_threads = config.transfer_threads;
  config.compute_threads = std::max(1, cores - config.transfer_threads);
  return config;
}

bool HasCuda() {
#ifdef SPARSESERVE_HAVE_CUDA
  return true;
#else
  return false;
#endif
}

std::unique_ptr<Backend> MakeBackend(std::string_view name, const BackendConfig& config) {
  if (name == "cpu") return std::make_unique<cpu::CpuBackend>(config);
  if (name == "cuda") {
#ifdef SPARSESERVE_HAVE_CUDA
    return cuda::MakeCudaBackend(config);
#else
    throw BackendUnavailable("backend cuda: this binary was built without a CUDA toolkit");
#endif
  }
  throw BackendUnavailable("backend '" + std::string(name) + "' is unknown (known: cpu, cuda)");
}

}  // namespace sparseserve::kernels
