#include "kernels/cuda/device_info.h"

#include <cuda_runtime_api.h>

#include <cctype>
#include <fstream>

#include "kernels/cuda/check.h"
#include "kernels/cuda/compute.h"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/shared_library.h"
#include "kernels/pinned_pool.h"

namespace sparseserve::kernels::cuda {
namespace {

std::string ReadPciBusId(int device) {
  char id[32] = {};
  SPARSESERVE_CUDA_CHECK(cudaDeviceGetPCIBusId(id, sizeof(id), device));
  return id;
}

// The few calls of NVML that tell the clocks; its header is not part of every toolkit.
class Nvml {
 public:
  explicit Nvml(const std::string& pci_bus_id) : library_({"libnvidia-ml.so.1"}) {
    if (!library_.is_open()) return;
    auto* const init = library_.Find<int()>("nvmlInit_v2");
    auto* const find = library_.Find<int(const char*, void**)>("nvmlDeviceGetHandleByPciBusId_v2");
    if (init == nullptr || find == nullptr || init() != 0) return;
    is_ready_ = find(pci_bus_id.c_str(), &device_) == 0;
  }
  ~Nvml() {
    if (!is_ready_) return;
    if (auto* const shut_down = library_.Find<int()>("nvmlShutdown")) shut_down();
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::string ReadDriverVersion() const {
    char version[96] = {};
    if (!is_ready_) return "unknown";
    auto* const read = library_.Find<int(char*, unsigned)>("nvmlSystemGetDriverVersion");
    return read != nullptr && read(version, sizeof(version)) == 0 ? version : "unknown";
  }

  std::string ReadClocks() const {
    constexpr int kSm = 1, kMemory = 2;  // nvmlClockType_t
    return "SM " + ReadClock("nvmlDeviceGetClockInfo", kSm) + " (max " +
           ReadClock("nvmlDeviceGetMaxClockInfo", kSm) + "), memory " +
           ReadClock("nvmlDeviceGetClockInfo", kMemory) + " (max " +
           ReadClock("nvmlDeviceGetMaxClockInfo", kMemory) + ")";
  }

 private:
  std::string ReadClock(const char* function, int clock) const {
    unsigned mhz = 0;
    if (!is_ready_) return "unknown";
    auto* const read = library_.Find<int(void*, int, unsigned*)>(function);
    if (read == nullptr || read(device_, clock, &mhz) != 0) return "unknown";
    return std::to_string(mhz) + " MHz";
  }

  SharedLibrary library_;
  void* device_ = nullptr;
  bool is_ready_ = false;
};

}  // namespace

void SelectDevice(int device) {
  DeviceFacts facts;
  facts.device = device;
  static_cast<void>(cudaDriverGetVersion(&facts.driver));  // 0 where there is none
  static_cast<void>(cudaRuntimeGetVersion(&facts.runtime));
  if (facts.driver != 0) {
    const cudaError_t error = cudaGetDeviceCount(&facts.num_devices);
    facts.is_insufficient_driver = error == cudaErrorInsufficientDriver;
    facts.is_no_device = error == cudaErrorNoDevice;
    if (error != cudaSuccess)
      facts.error = std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
  }
  std::string why = WhyUnusable(facts);
  if (why.empty()) {
    facts.capability = ReadComputeCapability(device);
    why = WhyUnusable(facts);
  }
  if (!why.empty()) throw BackendUnavailable(why);
  SPARSESERVE_CUDA_CHECK(cudaSetDevice(device));
}

int ReadAttribute(int attribute, int device) {
  int value = 0;
  SPARSESERVE_CUDA_CHECK(
      cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(attribute), device));
  return value;
}

int ReadComputeCapability(int device) {
  return ReadAttribute(cudaDevAttrComputeCapabilityMajor, device) * 10 +
         ReadAttribute(cudaDevAttrComputeCapabilityMinor, device);
}

int FindDeviceNumaNode(int device) {
  std::string id = ReadPciBusId(device);
  for (char& c : id) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::ifstream file("/sys/bus/pci/devices/" + id + "/numa_node");
  int node = -1;
  return file >> node ? node : -1;
}

DeviceInfo DescribeDevice(int device) {
  cudaDeviceProp properties = {};
  SPARSESERVE_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  int driver = 0;
  int runtime = 0;
  SPARSESERVE_CUDA_CHECK(cudaDriverGetVersion(&driver));
  SPARSESERVE_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  const Nvml nvml(ReadPciBusId(device));
  DeviceInfo info;
  info.name = properties.name;
  info.driver = nvml.ReadDriverVersion() + " (CUDA " + VersionText(driver) + ")";
  info.runtime = "CUDA " + VersionText(runtime);
  info.clocks = nvml.ReadClocks();
  info.memory = Bytes(static_cast<std::int64_t>(properties.totalGlobalMem));
  info.cache = Bytes(properties.l2CacheSize);
  info.num_workers = properties.multiProcessorCount;
  info.query_tile_rows = kQueryTileRows;
  info.numa_nodes = static_cast<int>(FindNumaNodes().size());
  return info;
}

}  // namespace sparseserve::kernels::cuda
