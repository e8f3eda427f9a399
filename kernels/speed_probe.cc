#include "kernels/speed_probe.h"

#include <cmath>
#include <cstdint>

#include "kernels/bfloat16.h"

namespace sparseserve::kernels {
namespace {

constexpr std::int64_t kNumWeights = 4;  // matrices that samples walk through

// About a millisecond of one CPU core, some 200 us of a GPU.
template <typename Shape>
Shape ShapeFor(const Backend& backend) {
  if (backend.name() == "cpu") return {ElementType::kFloat32, 16, 2816, 512};
  return {ElementType::kBfloat16, 4096, 4096, 4096};
}

// Numbers between 0.5 and 1 that are no pattern a GPU multiplies faster.
Buffer MakeMatrix(Backend& backend, ElementType type, std::int64_t count) {
  const Bytes size(count * ElementBytes(type));
  Buffer host = backend.AllocateHost(size);
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    const float value = 0.5f + static_cast<float>(state >> 9) * 0x1p-24f;
    if (type == ElementType::kFloat32) {
      host.As<float>()[i] = value;
    } else {
      host.As<Bfloat16>()[i] = ToBfloat16(value);
    }
  }
  Buffer device = backend.AllocateDevice(size);
  backend.Copy(Lane::kCompute, device.data(), host.data(), size);
  backend.Synchronize();
  return device;
}

}  // namespace

SpeedProbe::SpeedProbe(Backend& backend)
    : backend_(backend),
      shape_(ShapeFor<Shape>(backend)),
      x_(MakeMatrix(backend, shape_.type, shape_.m * shape_.k)),
      weights_(MakeMatrix(backend, shape_.type, kNumWeights * shape_.n * shape_.k)),
      y_(backend.AllocateDevice(Bytes(shape_.m * shape_.n * ElementBytes(shape_.type)))) {
  Sample();  // pays for what happens once
}

Seconds SpeedProbe::Sample() {
  const std::int64_t weights = shape_.n * shape_.k * ElementBytes(shape_.type);
  const EventPtr begin = backend_.Record(Lane::kCompute);
  backend_.Gemm({shape_.type, shape_.m, shape_.n, shape_.k, x_.data(),
                 weights_.data() + next_ * weights, y_.data(), false});
  const EventPtr end = backend_.Record(Lane::kCompute);
  end->Synchronize();
  next_ = (next_ + 1) % kNumWeights;
  return backend_.Elapsed(begin, end);
}

std::string SpeedProbe::Describe() const {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  return "GEMM of " + number(shape_.m) + " x " + number(shape_.k) + " by " + number(shape_.k) +
         " x " + number(shape_.n) +
         (shape_.type == ElementType::kFloat32 ? " in fp32" : " in bf16");
}

Seconds SpeedSamples::mean() const {
  Seconds sum;
  for (const Seconds time : times) sum += time;
  return times.empty() ? Seconds() : sum / static_cast<double>(times.size());
}

double SpeedSamples::standard_error() const {
  if (times.size() < 2) return 0;
  const double mean_s = mean().value();
  double squares = 0;
  for (const Seconds time : times) squares += (time.value() - mean_s) * (time.value() - mean_s);
  const auto count = static_cast<double>(times.size());
  return std::sqrt(squares / (count - 1) / count) / mean_s;
}

}  // namespace sparseserve::kernels
