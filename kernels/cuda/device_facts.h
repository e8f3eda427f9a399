// Whether the backend can run on what was found, told in one line. No CUDA header, so that every
// answer is tested on machines without a GPU.
#pragma once

#include <string>

namespace sparseserve::kernels::cuda {

struct DeviceFacts {
  int driver = 0;   // CUDA version that it supports, 1000 * major + 10 * minor; 0: none
  int runtime = 0;  // that the binary needs, likewise
  bool is_insufficient_driver = false;  // the error codes of cudaGetDeviceCount
  bool is_no_device = false;
  std::string error = {};  // any other: "name: text"; empty: none
  int num_devices = 0;
  int device = 0;      // asked for
  int capability = 0;  // of it, 10 * major + minor
};

inline constexpr int kLeastCapability = 80;  // bfloat16 and asynchronous copies

inline std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Empty: it can run. `capability` is looked at last and may be 0 while anything else is wrong.
inline std::string WhyUnusable(const DeviceFacts& facts) {
  const std::string backend = "backend cuda: ";
  if (facts.driver == 0) return backend + "no NVIDIA driver on this machine";
  if (facts.is_insufficient_driver) {
    return backend + "the driver supports CUDA " + VersionText(facts.driver) +
           ", this binary needs CUDA " + VersionText(facts.runtime);
  }
  if (facts.is_no_device || (facts.error.empty() && facts.num_devices == 0))
    return backend + "the driver finds no GPU";
  if (!facts.error.empty()) return backend + facts.error;
  if (facts.device < 0 || facts.device >= facts.num_devices) {
    return backend + "no device " + std::to_string(facts.device) + ", there are " +
           std::to_string(facts.num_devices);
  }
  if (facts.capability > 0 && facts.capability < kLeastCapability) {
    return backend + "device " + std::to_string(facts.device) + " has compute capability " +
           std::to_string(facts.capability / 10) + "." + std::to_string(facts.capability % 10) +
           ", 8.0 is needed";
  }
  return "";
}

}  // namespace sparseserve::kernels::cuda
