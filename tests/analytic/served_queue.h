// Requests through the real engine, replicas and scheduler; only the executor is a stub: an
// iteration takes what the caller says. So closed forms of queueing theory apply.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "sim/scheduler/paged_memory.h"
#include "sim/serving/engine.h"
#include "tests/sim/serving/test_systems.h"

namespace sparseserve::serving {

// How long an iteration takes that works on these requests.
using ServiceTime =
    std::function<Seconds(const IterationPlan& plan, const std::vector<RequestState>& table)>;

class StubService : public Executor {
 public:
  explicit StubService(ServiceTime time) : time_(std::move(time)) {}
  void BeginDecode(RequestIndex, const RequestState&) override {}
  void EndDecode(RequestIndex) override {}
  IterationResult Execute(SimTime, const IterationPlan& plan,
                          const std::vector<RequestState>& table) override {
    IterationResult result;
    result.time.duration = result.time.compute = time_(plan, table);
    return result;
  }
  SimTime SavesDone() const override { return SimTime(); }
  void CompleteSaves(SimTime) override {}

 private:
  ServiceTime time_;
};

struct QueueConfig {
  std::int32_t servers = 1;
  const char* router = "round-robin";
  std::int64_t max_requests = 1;  // served at once by one server
};

inline metrics::Collector Serve(Requests requests, const ServiceTime& service,
                                const QueueConfig& config = {}) {
  scheduler::KvGeometry geometry;
  geometry.num_layers = geometry.heads = 1;
  geometry.unit_bytes = Bytes(1024);
  scheduler::SchedulerConfig scheduling;
  scheduling.max_requests = config.max_requests;
  scheduling.max_batch_tokens = Tokens(16) * config.max_requests;
  metrics::Collector collector;
  std::vector<std::unique_ptr<Replica>> replicas;
  for (std::int32_t i = 0; i < config.servers; ++i) {
    replicas.push_back(std::make_unique<Replica>(
        i, scheduling, 1,
        std::make_unique<scheduler::PagedMemory>(geometry, Bytes(1 << 20) * config.max_requests),
        std::make_unique<StubService>(service), collector));
  }
  FixedStream stream(std::move(requests));
  Engine engine(std::move(replicas), MakeRouter(config.router, config.max_requests), stream,
                collector);
  engine.Run();
  return collector;
}

// One token each, so that an iteration is a service, whose time is told by the request's id.
inline metrics::Collector Serve(const std::vector<SimTime>& arrivals,
                                const std::function<Seconds(std::int64_t id)>& service,
                                const QueueConfig& config = {}) {
  Requests requests;
  for (const SimTime at : arrivals)
    requests.push_back({static_cast<std::int64_t>(requests.size()), at, Tokens(16), Tokens(1)});
  return Serve(
      std::move(requests),
      [&service](const IterationPlan& plan, const std::vector<RequestState>& table) {
        return service(table[static_cast<std::size_t>(plan.prefills.front().request)].id);
      },
      config);
}

}  // namespace sparseserve::serving
