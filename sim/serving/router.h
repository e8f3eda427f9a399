// Sends each arriving request to a replica.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/serving/replica.h"

namespace sparseserve::serving {

class Router {
 public:
  virtual ~Router() = default;
  // Returns the index of the replica that gets the next request, or nothing: then it waits in front
  // of the replicas and the router is asked again when one of them has finished an iteration.
  // REQUIRES: at least one replica.
  virtual std::optional<std::size_t> Route(
      const std::vector<std::unique_ptr<Replica>>& replicas) = 0;
};

// "round-robin": in turn. "least-loaded": the replica with the fewest unfinished requests, the
// first of equals. "central-queue": the same, but no replica gets more than `max_requests`; the
// rest wait in one queue, so that no request waits while another replica has room. Throws
// InputError naming the known ones.
std::unique_ptr<Router> MakeRouter(std::string_view name, std::int64_t max_requests);
std::vector<std::string> RouterNames();

}  // namespace sparseserve::serving
