// Closed forms of queueing theory through the real engine, replica and scheduler: one request at a
// time, each of constant service time. The executor is a stub; all else is what simulations run.
#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/rng.h"
#include "sim/scheduler/paged_memory.h"
#include "sim/serving/engine.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {
namespace {

class ConstantService : public Executor {
 public:
  explicit ConstantService(Seconds time) : time_(time) {}
  void BeginDecode(RequestIndex, const RequestState&) override {}
  void EndDecode(RequestIndex) override {}
  IterationResult Execute(SimTime, const IterationPlan&,
                          const std::vector<RequestState>&) override {
    IterationResult result;
    result.time.duration = result.time.compute = time_;
    return result;
  }
  SimTime SavesDone() const override { return SimTime(); }
  void CompleteSaves(SimTime) override {}

 private:
  Seconds time_;
};

// Single-token requests at the given times, served one after the other on `servers` replicas.
metrics::Collector Serve(const std::vector<SimTime>& arrivals, Seconds service,
                         std::int32_t servers = 1, const char* router = "round-robin") {
  scheduler::KvGeometry geometry;
  geometry.num_layers = geometry.heads = 1;
  geometry.unit_bytes = Bytes(1024);
  scheduler::SchedulerConfig scheduling;
  scheduling.max_requests = 1;
  metrics::Collector collector;
  std::vector<std::unique_ptr<Replica>> replicas;
  for (std::int32_t i = 0; i < servers; ++i) {
    replicas.push_back(std::make_unique<Replica>(
        i, scheduling, 1, std::make_unique<scheduler::PagedMemory>(geometry, Bytes(1 << 20)),
        std::make_unique<ConstantService>(service), collector));
  }
  Requests requests;
  for (const SimTime at : arrivals)
    requests.push_back({static_cast<std::int64_t>(requests.size()), at, Tokens(16), Tokens(1)});
  FixedStream stream(std::move(requests));
  Engine engine(std::move(replicas), MakeRouter(router, 1), stream, collector);
  engine.Run();
  return collector;
}

std::vector<SimTime> Every(std::int64_t gap_ns, std::int64_t count) {
  std::vector<SimTime> arrivals;
  for (std::int64_t i = 0; i < count; ++i) arrivals.emplace_back(i * gap_ns);
  return arrivals;
}

TEST(QueueingTest, DD1BelowCapacityNeverWaits) {
  const metrics::Collector c = Serve(Every(10'000'000, 1000), Seconds(0.007));
  for (const metrics::RequestRecord& r : c.requests()) {
    ASSERT_EQ(r.scheduled, r.arrival);
    ASSERT_EQ(r.first_token.ns(), r.arrival.ns() + 7'000'000);
    ASSERT_EQ(r.finish, r.first_token);
  }
}

// Each request waits for what the queue grew by: exactly n (service - gap).
TEST(QueueingTest, DD1AboveCapacityWaitsLongerByTheSameAmountEachTime) {
  const metrics::Collector c = Serve(Every(5'000'000, 1000), Seconds(0.007));
  for (const metrics::RequestRecord& r : c.requests())
    ASSERT_EQ(r.scheduled.ns() - r.arrival.ns(), r.id * 2'000'000);
}

TEST(QueueingTest, ARequestThatArrivesAsAnotherFinishesStartsAtThatInstant) {
  const metrics::Collector c = Serve(Every(7'000'000, 1000), Seconds(0.007));
  for (const metrics::RequestRecord& r : c.requests()) ASSERT_EQ(r.scheduled, r.arrival);
}

TEST(QueueingTest, TwoReplicasInTurnAreTwoIndependentServers) {
  const metrics::Collector c = Serve(Every(5'000'000, 1000), Seconds(0.010), 2);
  for (const metrics::RequestRecord& r : c.requests()) {
    ASSERT_EQ(r.replica, r.id % 2);
    ASSERT_EQ(r.scheduled, r.arrival);
  }
}

TEST(QueueingTest, LeastLoadedSendsToTheEmptiestReplicaFirstOfEquals) {
  // Each takes 10 ms. At 11.5 ms replica 0 works on the third and replica 1 is idle.
  const std::vector<SimTime> arrivals = {SimTime(0), SimTime(1'000'000), SimTime(2'000'000),
                                         SimTime(11'500'000)};
  const metrics::Collector c = Serve(arrivals, Seconds(0.010), 2, "least-loaded");
  std::vector<std::int32_t> replicas;
  for (const metrics::RequestRecord& r : c.requests()) replicas.push_back(r.replica);
  EXPECT_EQ(replicas, (std::vector<std::int32_t>{0, 1, 0, 1}));
}

// Pollaczek-Khinchine for a constant service time S: W = rho S / (2 (1 - rho)). The mean of 40
// batches of 5,000 customers; batches are nearly independent because the queue forgets within some
// hundred customers at these loads. 3.6 is the 99.9 % quantile of t with 39 degrees of freedom,
// two-sided.
TEST(QueueingTest, MD1WaitsAsPollaczekAndKhinchineSay) {
  constexpr std::int64_t kBatches = 40, kBatch = 5000;
  constexpr double kService = 0.010;
  for (const double rho : {0.3, 0.6, 0.8}) {
    RandomStream random(17, "md1");
    std::vector<SimTime> arrivals;
    SimTime now;
    for (std::int64_t i = 0; i < kBatches * kBatch; ++i)
      arrivals.push_back(now = now + Seconds(random.Exponential(kService / rho)));
    const metrics::Collector c = Serve(arrivals, Seconds(kService));
    double sum = 0, squares = 0;
    for (std::int64_t b = 0; b < kBatches; ++b) {
      double wait = 0;
      for (std::int64_t i = b * kBatch; i < (b + 1) * kBatch; ++i) {
        const metrics::RequestRecord& r = c.requests()[static_cast<std::size_t>(i)];
        wait += (r.scheduled - r.arrival).value();
      }
      sum += wait / kBatch;
      squares += wait / kBatch * wait / kBatch;
    }
    const double mean = sum / kBatches;
    const double variance = (squares - sum * mean) / (kBatches - 1);
    const double expected = rho * kService / (2 * (1 - rho));
    EXPECT_NEAR(mean, expected, 3.6 * std::sqrt(variance / kBatches)) << "rho = " << rho;
    EXPECT_NEAR(mean, expected, 0.05 * expected) << "rho = " << rho;
  }
}

}  // namespace
}  // namespace sparseserve::serving
