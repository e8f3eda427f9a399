#include "traces/arrivals.h"

#include <string>

#include "sim/core/check.h"
#include "sim/core/error.h"

namespace sparseserve::traces {

ArrivalClock::ArrivalClock(const ArrivalOptions& options, std::uint64_t seed)
    : options_(options), random_(seed, "arrivals") {
  if (options.kind == ArrivalKind::kAsRecorded) {
    throw InputError({{},
                      "workload.arrivals",
                      "there are no recorded times here",
                      "constant, Poisson or gamma arrivals",
                      ""});
  }
  if (!(options.rate_per_s >= 1e-6 && options.rate_per_s <= 1e9)) {
    throw InputError({{},
                      "workload.rate",
                      std::to_string(options.rate_per_s) + " is out of range",
                      "1e-6 to 1e9 requests per second",
                      ""});
  }
  if (options.kind == ArrivalKind::kGamma && !(options.cv >= 0.01 && options.cv <= 100)) {
    throw InputError({{},
                      "workload.cv",
                      std::to_string(options.cv) + " is out of range",
                      "0.01 to 100",
                      "1 is as bursty as Poisson"});
  }
}

SimTime ArrivalClock::Next() {
  const Seconds gap = DrawGap();
  if (now_.seconds() + gap.value() > 1e9) {
    throw InputError({{},
                      "workload.rate",
                      "the requests span more than 1e9 s",
                      "a shorter trace",
                      "raise the rate or ask for fewer requests"});
  }
  return now_ = now_ + gap;
}

Seconds ArrivalClock::DrawGap() {
  const double mean_s = 1.0 / options_.rate_per_s;
  switch (options_.kind) {
    case ArrivalKind::kConstant:
      return Seconds(mean_s);
    case ArrivalKind::kPoisson:
      return Seconds(random_.Exponential(mean_s));
    case ArrivalKind::kGamma: {
      const double cv_squared = options_.cv * options_.cv;
      return Seconds(random_.Gamma(1.0 / cv_squared, cv_squared * mean_s));
    }
    case ArrivalKind::kAsRecorded:
      break;
  }
  SPARSESERVE_CHECK(false, "no arrival process");
}

}  // namespace sparseserve::traces
