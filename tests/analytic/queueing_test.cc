// Queues without chance (D/D/1 and two servers): every waiting time is exact.
#include <gtest/gtest.h>

#include "tests/analytic/served_queue.h"

namespace sparseserve::serving {
namespace {

std::function<Seconds(std::int64_t)> Constant(double seconds) {
  return [seconds](std::int64_t /*id*/) { return Seconds(seconds); };
}

std::vector<SimTime> Every(std::int64_t gap_ns, std::int64_t count) {
  std::vector<SimTime> arrivals;
  for (std::int64_t i = 0; i < count; ++i) arrivals.emplace_back(i * gap_ns);
  return arrivals;
}

TEST(QueueingTest, DD1BelowCapacityNeverWaits) {
  const metrics::Collector c = Serve(Every(10'000'000, 1000), Constant(0.007));
  for (const metrics::RequestRecord& r : c.requests()) {
    ASSERT_EQ(r.scheduled, r.arrival);
    ASSERT_EQ(r.first_token.ns(), r.arrival.ns() + 7'000'000);
    ASSERT_EQ(r.finish, r.first_token);
  }
}

// Each request waits for what the queue grew by: exactly n (service - gap).
TEST(QueueingTest, DD1AboveCapacityWaitsLongerByTheSameAmountEachTime) {
  const metrics::Collector c = Serve(Every(5'000'000, 1000), Constant(0.007));
  for (const metrics::RequestRecord& r : c.requests())
    ASSERT_EQ(r.scheduled.ns() - r.arrival.ns(), r.id * 2'000'000);
}

TEST(QueueingTest, ARequestThatArrivesAsAnotherFinishesStartsAtThatInstant) {
  const metrics::Collector c = Serve(Every(7'000'000, 1000), Constant(0.007));
  for (const metrics::RequestRecord& r : c.requests()) ASSERT_EQ(r.scheduled, r.arrival);
}

TEST(QueueingTest, TwoReplicasInTurnAreTwoIndependentServers) {
  const metrics::Collector c = Serve(Every(5'000'000, 1000), Constant(0.010), {2});
  for (const metrics::RequestRecord& r : c.requests()) {
    ASSERT_EQ(r.replica, r.id % 2);
    ASSERT_EQ(r.scheduled, r.arrival);
  }
}

TEST(QueueingTest, LeastLoadedSendsToTheEmptiestReplicaFirstOfEquals) {
  // Each takes 10 ms. At 11.5 ms replica 0 works on the third and replica 1 is idle.
  const std::vector<SimTime> arrivals = {SimTime(0), SimTime(1'000'000), SimTime(2'000'000),
                                         SimTime(11'500'000)};
  const metrics::Collector c = Serve(arrivals, Constant(0.010), {2, "least-loaded"});
  std::vector<std::int32_t> replicas;
  for (const metrics::RequestRecord& r : c.requests()) replicas.push_back(r.replica);
  EXPECT_EQ(replicas, (std::vector<std::int32_t>{0, 1, 0, 1}));
}

}  // namespace
}  // namespace sparseserve::serving
