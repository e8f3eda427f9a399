// Turns parts into events: a stream of requests, a router and replicas on one clock.
//
// The engine pulls one request ahead from the stream, so memory does not grow with its length. It
// ends when the stream is empty and every request has finished or failed, and then checks that
// nothing was lost.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "sim/des/event_queue.h"
#include "sim/metrics/collector.h"
#include "sim/serving/replica.h"
#include "sim/serving/router.h"
#include "traces/request.h"

namespace sparseserve::serving {

// Called after each finished request, with the number finished so far.
using ProgressFunction = std::function<void(std::int64_t finished)>;
// Called before each event with its time; a live run waits here for the wall clock.
using PaceFunction = std::function<void(SimTime at)>;

struct EngineHooks {
  ProgressFunction progress = nullptr;
  PaceFunction pace = nullptr;
};

class Engine {
 public:
  Engine(std::vector<std::unique_ptr<Replica>> replicas, std::unique_ptr<Router> router,
         traces::RequestStream& requests, metrics::Collector& collector, EngineHooks hooks = {});

  // Throws InputError when the stream meets a bad row or a request that no replica can ever serve.
  void Run();

  std::uint64_t num_events() const { return events_.num_pushed(); }
  const std::vector<std::unique_ptr<Replica>>& replicas() const { return replicas_; }

 private:
  void PullArrival();
  void HandleArrival();
  // Hands the request to the replica that the router chooses; false if it chooses none.
  bool TrySubmit(const traces::Request& request, SimTime now);
  void Wake(std::size_t replica, SimTime now);

  std::vector<std::unique_ptr<Replica>> replicas_;
  std::unique_ptr<Router> router_;
  traces::RequestStream& requests_;
  metrics::Collector& collector_;
  EngineHooks hooks_;
  des::EventQueue events_;
  std::optional<traces::Request> next_;
  std::deque<traces::Request> held_;  // arrived, and no replica took them yet
};

}  // namespace sparseserve::serving
