#include "tests/kernels/backend_test.h"

#include <cmath>
#include <ostream>
#include <utility>

#include "kernels/bfloat16.h"
#include "tests/kernels/cpu/baseline_backend.h"
#ifdef SPARSESERVE_HAVE_EMULATION
#include "tests/kernels/cuda/emulated_backend.h"
#endif

namespace sparseserve::kernels {

void PrintTo(const BackendCase& backend_case, std::ostream* out) {
  *out << backend_case.backend
       << (backend_case.type == ElementType::kFloat32 ? "_float32" : "_bfloat16");
}

std::unique_ptr<Backend> MakeTestBackend(std::string_view name, int compute_threads) {
  const BackendConfig config{.compute_threads = compute_threads};
#ifdef SPARSESERVE_HAVE_EMULATION
  if (name == "emulated") return std::make_unique<EmulatedBackend>(config);
#endif
  if (name == "baseline") return std::make_unique<BaselineBackend>(config);
  return MakeBackend(name, config);
}

std::vector<BackendCase> ListBackendCases() {
  return {{"cpu", ElementType::kFloat32},       {"cpu", ElementType::kBfloat16},
          {"baseline", ElementType::kFloat32},  {"baseline", ElementType::kBfloat16},
#ifdef SPARSESERVE_HAVE_EMULATION
          {"emulated", ElementType::kBfloat16},
#endif
          {"cuda", ElementType::kBfloat16}};
}

std::string NameCase(const testing::TestParamInfo<BackendCase>& info) {
  return testing::PrintToString(info.param);
}

void BackendTest::SetUp() {
  try {
    backend_ = MakeTestBackend(GetParam().backend);
  } catch (const BackendUnavailable& error) {
    GTEST_SKIP() << error.what();
  }
  ASSERT_TRUE(backend_->Supports(type()));
}

std::vector<std::int32_t> BackendTest::HeadDims() const {
  if (IsBaseline()) return {64, 80};
  if (IsCpu()) return {32, 64, 80, 128};
  return {64, 128};
}

std::vector<std::int32_t> BackendTest::Groups() const {
  if (IsBaseline()) return {1, 7};
  if (IsCpu()) return {1, 4, 7, 8};
  return {1, 4, 8};
}

Mirror BackendTest::Upload(std::vector<std::byte> bytes) {
  const Bytes size(static_cast<std::int64_t>(bytes.size()));
  Mirror mirror{std::move(bytes), backend_->AllocateDevice(size)};
  Reset(mirror);
  return mirror;
}

void BackendTest::Reset(const Mirror& mirror) {
  if (mirror.host.empty()) return;
  const Buffer staging = backend_->AllocateHost(mirror.device.size());
  std::memcpy(staging.data(), mirror.host.data(), mirror.host.size());
  backend_->Copy(Lane::kCompute, mirror.device.data(), staging.data(), staging.size());
  backend_->Synchronize();
}

Mirror BackendTest::MakeElements(const std::vector<double>& values) {
  if (type() == ElementType::kFloat32) {
    return MakeArray(std::vector<float>(values.begin(), values.end()));
  }
  std::vector<Bfloat16> elements;
  elements.reserve(values.size());
  for (const double x : values) elements.push_back(ToBfloat16(static_cast<float>(x)));
  return MakeArray(elements);
}

Mirror BackendTest::MakeRandom(std::int64_t count, double scale) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& x : values) x = (2 * random_.Uniform() - 1) * scale;
  return MakeElements(values);
}

Mirror BackendTest::MakePoisoned(std::int64_t num_bytes) {
  return Upload(std::vector<std::byte>(static_cast<std::size_t>(num_bytes), std::byte{0xff}));
}

std::vector<std::byte> BackendTest::ReadBytes(const Mirror& mirror) {
  backend_->Synchronize();  // also where there is nothing to copy: buffers may be freed after this
  if (mirror.host.empty()) return {};
  const Buffer staging = backend_->AllocateHost(mirror.device.size());
  backend_->Copy(Lane::kCompute, staging.data(), mirror.device.data(), staging.size());
  backend_->Synchronize();
  return {staging.data(), staging.data() + staging.size().value()};
}

std::vector<double> BackendTest::ReadElements(const Mirror& mirror) {
  const std::vector<std::byte> bytes = ReadBytes(mirror);
  std::vector<double> values(bytes.size() / static_cast<std::size_t>(ElementBytes(type())));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = reference::ReadElement(bytes.data(), type(), static_cast<std::int64_t>(i));
  }
  return values;
}

void ExpectNear(const std::vector<reference::Value>& expected, const std::vector<double>& actual,
                const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double value = expected[i].value;
    const bool near = std::isfinite(value) ? std::abs(actual[i] - value) <= expected[i].bound
                      : std::isnan(value)  ? std::isnan(actual[i])
                                           : actual[i] == value;
    ASSERT_TRUE(near) << what << ": element " << i << " of " << expected.size() << " is "
                      << actual[i] << ", expected " << value << " +- " << expected[i].bound;
  }
}

}  // namespace sparseserve::kernels
