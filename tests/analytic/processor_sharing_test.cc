// Continuous batching shares the GPU between the requests of a batch: M/G/1-PS.
//
// An iteration gives each of its n requests one token and takes n quanta here, so each is served
// at 1/n of the rate. As quanta shrink that is processor sharing (Kleinrock, JACM 1967), where a
// request of service x takes x / (1 - rho) in the mean, whatever the distribution of x. A quantum
// of finite length adds at most what the current iteration still takes, one more quantum shared:
// quantum / (1 - rho), 1 % of a mean request. SPARSESERVE_QUEUEING_CUSTOMERS scales the customers.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "sim/core/rng.h"
#include "tests/analytic/served_queue.h"

namespace sparseserve::serving {
namespace {

constexpr double kQuantum = 0.0001;    // s
constexpr std::int64_t kTokens = 100;  // of the mean request
constexpr double kRho = 0.7;
constexpr int kReplications = 10;
constexpr double kT999 = 4.78;  // 99.9 % quantile of t, 9 degrees of freedom, two-sided

// A tenth of those of laws with one iteration a customer.
std::int64_t Customers() {
  const char* text = std::getenv("SPARSESERVE_QUEUEING_CUSTOMERS");
  return (text == nullptr ? 20'000 : std::atoll(text)) / 10;
}

Seconds OneQuantumEach(const IterationPlan& plan, const std::vector<RequestState>&) {
  return Seconds(kQuantum) * static_cast<double>(plan.prefills.size() + plan.decodes.size());
}

class ProcessorSharingTest : public ::testing::Test {
 protected:
  using Draw = std::function<std::int64_t(RandomStream&)>;
  using Sum = std::pair<double, double>;  // of times in the system, of customers

  // `by_size`: compare requests of each size by themselves; otherwise all with the mean size.
  void Check(const std::string& law, const Draw& tokens, bool by_size) {
    std::map<std::int64_t, std::vector<double>> means;  // by size, of replications
    for (int replication = 0; replication < kReplications; ++replication) {
      for (const auto& [size, sum] : Replicate(law, tokens, by_size, replication))
        means[size].push_back(sum.first / sum.second);
    }
    for (const auto& [size, values] : means) {
      ASSERT_EQ(values.size(), kReplications);
      double mean = 0, squares = 0;
      for (const double v : values) mean += v / kReplications;
      for (const double v : values) squares += (v - mean) * (v - mean);
      const double half = kT999 * std::sqrt(squares / (kReplications - 1) / kReplications);
      const double expected = static_cast<double>(size) * kQuantum / (1 - kRho);
      EXPECT_NEAR(mean, expected, half + kQuantum / (1 - kRho)) << law << " " << size;
      worst_ = std::max(worst_, std::abs(mean / expected - 1));
    }
    customers_ += kReplications * Customers();
  }

  void TearDown() override {
    RecordProperty("sharing_max_relative_error", std::to_string(worst_));
    RecordProperty("sharing_customers", std::to_string(customers_));
  }

 private:
  static std::map<std::int64_t, Sum> Replicate(const std::string& law, const Draw& tokens,
                                               bool by_size, int replication) {
    RandomStream random(17, law, static_cast<std::uint64_t>(replication));
    Requests requests;
    SimTime now;
    for (std::int64_t i = 0; i < Customers(); ++i) {
      now = now + Seconds(random.Exponential(kTokens * kQuantum / kRho));
      requests.push_back({i, now, Tokens(16), Tokens(tokens(random))});
    }
    const metrics::Collector c = Serve(requests, OneQuantumEach, {.max_requests = 1000});
    std::map<std::int64_t, Sum> sums;
    for (std::size_t i = requests.size() / 10; i < requests.size(); ++i) {
      const metrics::RequestRecord& r = c.requests()[i];
      Sum& sum = sums[by_size ? requests[i].output.value() : kTokens];
      sum.first += (r.finish - r.arrival).value();
      sum.second += 1;
    }
    return sums;
  }

  double worst_ = 0;
  std::int64_t customers_ = 0;
};

TEST_F(ProcessorSharingTest, EqualRequests) {
  Check(
      "PS equal", [](RandomStream&) { return kTokens; }, true);
}

TEST_F(ProcessorSharingTest, GeometricRequestsTakeTheSameInTheMean) {
  Check(
      "PS geometric",
      [](RandomStream& random) {
        const double p = 1.0 / kTokens;
        return 1 + static_cast<std::int64_t>(std::log(1 - random.Uniform()) / std::log(1 - p));
      },
      false);
}

// 20 tokens with probability 0.9, 820 with 0.1: under FCFS both would wait alike; here each takes
// in proportion to its size.
TEST_F(ProcessorSharingTest, ShortAndLongRequestsEachTakeInProportionToTheirSize) {
  Check(
      "PS two-point",
      [](RandomStream& random) -> std::int64_t { return random.Uniform() < 0.9 ? 20 : 820; }, true);
}

}  // namespace
}  // namespace sparseserve::serving
