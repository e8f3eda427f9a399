#include <cmath>
#include <string>

#include "sim/core/check.h"
#include "sim/core/error.h"
#include "traces/generator.h"

namespace sparseserve::traces {
namespace {

constexpr int kMaxDraws = 100'000;  // per length, before the range is called empty

class LengthSampler {
 public:
  // `name` is the purpose of the random stream and the key in messages.
  LengthSampler(const LengthDistribution& lengths, std::uint64_t seed, const std::string& name)
      : lengths_(lengths), name_(name), random_(seed, name) {
    Check(lengths.min >= Tokens(1) && lengths.min <= lengths.max &&
              lengths.max <= Tokens(1'000'000'000),
          "the range is empty or out of bounds", "1 <= min <= max <= 1000000000");
    Check(lengths.mean >= 1 && lengths.mean <= 1e9, "the mean is out of range", "1 to 1e9 tokens");
    Check(lengths.standard_deviation >= 0 && lengths.standard_deviation <= 1e9,
          "the standard deviation is out of range", "0 to 1e9 tokens");
    const double ratio = lengths.standard_deviation / lengths.mean;
    const double log_variance = std::log1p(ratio * ratio);
    log_deviation_ = std::sqrt(log_variance);
    log_mean_ = std::log(lengths.mean) - log_variance / 2;
  }

  Tokens Draw() {
    for (int i = 0; i < kMaxDraws; ++i) {
      const double length = DrawOnce();
      if (length > 2e9) continue;  // llround must not overflow
      const Tokens rounded(std::llround(length));
      if (rounded >= lengths_.min && rounded <= lengths_.max) return rounded;
    }
    Check(false, "hardly any length drawn lies in [min, max]", "a range around the mean");
    return lengths_.min;
  }

 private:
  double DrawOnce() {
    switch (lengths_.kind) {
      case LengthKind::kConstant:
        return lengths_.mean;
      case LengthKind::kUniform:
        return static_cast<double>(random_.UniformInt(lengths_.min.value(), lengths_.max.value()));
      case LengthKind::kNormal:
        return random_.Normal(lengths_.mean, lengths_.standard_deviation);
      case LengthKind::kLogNormal:
        return std::exp(log_mean_ + log_deviation_ * random_.Normal(0, 1));
      case LengthKind::kExponential:
        return random_.Exponential(lengths_.mean);
    }
    SPARSESERVE_CHECK(false, "no length distribution");
  }

  void Check(bool good, const char* what, const char* expected) const {
    if (!good) throw InputError({{}, "workload." + name_, what, expected, ""});
  }

  LengthDistribution lengths_;
  std::string name_;
  RandomStream random_;
  double log_mean_ = 0;
  double log_deviation_ = 0;
};

class SyntheticStream : public RequestStream {
 public:
  explicit SyntheticStream(const SyntheticOptions& options)
      : prompt_(options.prompt, options.seed, "prompt"),
        output_(options.output, options.seed, "output"),
        clock_(options.arrivals, options.seed),
        num_requests_(options.num_requests) {}

  std::optional<Request> Next() override {
    if (next_id_ >= num_requests_) return std::nullopt;
    return Request{next_id_++, clock_.Next(), prompt_.Draw(), output_.Draw()};
  }

 private:
  LengthSampler prompt_;
  LengthSampler output_;
  ArrivalClock clock_;
  std::int64_t num_requests_;
  std::int64_t next_id_ = 0;
};

}  // namespace

std::unique_ptr<RequestStream> GenerateSynthetic(const SyntheticOptions& options) {
  return std::make_unique<SyntheticStream>(options);
}

}  // namespace sparseserve::traces
