#include "kernels/cpu/cpu_info.h"

#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "kernels/cpu/compute.h"
#include "kernels/pinned_pool.h"

namespace sparseserve::kernels::cpu {
namespace {

constexpr const char* kUnknown = "unknown";

std::string ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The value of the first line "key : value" of a file of /proc.
std::string ReadField(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// Reads "32768K" and "24000000 kB".
Bytes ParseSize(const std::string& text) {
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc()) return Bytes(0);
  const std::string unit(parsed.ptr, text.data() + text.size());
  if (unit.find_first_of("kK") != std::string::npos) return Bytes(value << 10);
  if (unit.find('M') != std::string::npos) return Bytes(value << 20);
  return Bytes(value);
}

std::string DescribeClocks() {
  const std::string governor = ReadLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  const std::string mhz = ReadField("/proc/cpuinfo", "cpu MHz");
  std::string text = "governor " + (governor.empty() ? kUnknown : governor);
  if (!mhz.empty()) text += ", " + mhz.substr(0, mhz.find('.')) + " MHz on the first core";
  return text + ", not locked";
}

}  // namespace

Bytes ReadLastLevelCache() {
  Bytes size;
  int last_level = 0;
  for (int index = 0;; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    const std::string level = ReadLine(folder + "level");
    if (level.empty()) return size;
    const int number = std::atoi(level.c_str());
    if (number <= last_level) continue;
    last_level = number;
    size = ParseSize(ReadLine(folder + "size"));
  }
}

DeviceInfo ReadCpuInfo() {
  DeviceInfo info;
  info.num_workers = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const std::string model = ReadField("/proc/cpuinfo", "model name");
  info.name = (model.empty() ? kUnknown : model) + ", " + std::to_string(info.num_workers) +
              (info.num_workers == 1 ? " core" : " cores");
  utsname system{};
  info.driver = uname(&system) == 0 ? std::string(system.sysname) + " " + system.release : kUnknown;
#if defined(__clang__)
  info.runtime = "clang " __clang_version__;
#else
  info.runtime = "g++ " __VERSION__;
#endif
  info.clocks = DescribeClocks();
  info.memory = ParseSize(ReadField("/proc/meminfo", "MemTotal"));
  info.cache = ReadLastLevelCache();
  info.query_tile_rows = kQueryTileRows;
  info.numa_nodes = static_cast<int>(FindNumaNodes().size());
  return info;
}

}  // namespace sparseserve::kernels::cpu
