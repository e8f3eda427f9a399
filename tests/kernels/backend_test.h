// What the tests of kernel operations share: each runs on every backend and element type, with
// arrays that exist twice, on the host for the reference and on the device for the kernel.
//
// A test fills outputs with NaN (0xff bytes), runs the kernel, and only then the reference: memory
// that was used before cannot fake a result.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "sim/core/rng.h"
#include "tests/kernels/reference.h"

namespace sparseserve::kernels {

struct BackendCase {
  // "cpu", "cuda", "baseline": the CPU's kernels without AVX2, "emulated": those of CUDA without
  // GPU
  std::string backend;
  ElementType type;
};
void PrintTo(const BackendCase& backend_case, std::ostream* out);

// Throws BackendUnavailable. The emulated one is known where its library is linked.
std::unique_ptr<Backend> MakeTestBackend(std::string_view name, int compute_threads = 2);
std::vector<BackendCase> ListBackendCases();
std::string NameCase(const testing::TestParamInfo<BackendCase>& info);

enum class Side : std::uint8_t { kHost, kDevice };

// An array in both memories. The host's copy is what was uploaded; kernels change the device's.
struct Mirror {
  std::vector<std::byte> host;
  Buffer device;

  template <typename T = void>
  T* On(Side side) {
    void* const data = side == Side::kHost ? host.data() : device.data();
    return static_cast<T*>(data);
  }
};

class BackendTest : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override;

  ElementType type() const { return GetParam().type; }
  bool IsBaseline() const { return GetParam().backend == "baseline"; }
  bool IsCpu() const { return IsBaseline() || GetParam().backend == "cpu"; }
  bool IsEmulated() const { return GetParam().backend == "emulated"; }
  // Head dimensions and group sizes to go through.
  std::vector<std::int32_t> HeadDims() const;
  std::vector<std::int32_t> Groups() const;

  // Elements of type(), uniform in [-1, 1) * scale and rounded to the type.
  Mirror MakeRandom(std::int64_t count, double scale = 1);
  Mirror MakeElements(const std::vector<double>& values);
  template <typename T>
  Mirror MakeArray(const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return Upload(std::move(bytes));
  }
  Mirror MakePoisoned(std::int64_t num_bytes);  // all bits set: NaN, or -1
  Mirror MakePoisonedElements(std::int64_t count) {
    return MakePoisoned(count * ElementBytes(type()));
  }

  std::vector<std::byte> ReadBytes(const Mirror& mirror);
  std::vector<double> ReadElements(const Mirror& mirror);
  template <typename T>
  std::vector<T> ReadArray(const Mirror& mirror) {
    const std::vector<std::byte> bytes = ReadBytes(mirror);
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  // Restores the device's copy to what was uploaded.
  void Reset(const Mirror& mirror);

  std::unique_ptr<Backend> backend_;
  RandomStream random_{20260114, "kernels"};

 private:
  Mirror Upload(std::vector<std::byte> bytes);
};

// Values with their error bounds; infinities and NaN must be equal.
void ExpectNear(const std::vector<reference::Value>& expected, const std::vector<double>& actual,
                const std::string& what);

}  // namespace sparseserve::kernels
