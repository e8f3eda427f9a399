// Sends each arriving request to a replica.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/serving/replica.h"

namespace sparseserve::serving {

class Router {
 public:
  virtual ~Router() = default;
  // Returns the index of the replica that gets the next request. REQUIRES: at least one replica.
  virtual std::size_t Route(const std::vector<std::unique_ptr<Replica>>& replicas) = 0;
};

// "round-robin": in turn. "least-loaded": the replica with the fewest unfinished requests, the
// first of equals. Throws InputError naming the known ones.
std::unique_ptr<Router> MakeRouter(std::string_view name);
std::vector<std::string> RouterNames();

}  // namespace sparseserve::serving
